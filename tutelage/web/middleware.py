"""What stands around every request, as plain callables that wrap callables: headers, sizes, where it comes from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing from elsewhere, nothing written into a page. Pico draws its small signs (a tick, a chevron) as data: images.
POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
          "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'")
# A whole page that is no page of ours, such as a report: it has no origin and runs no script, not even its own.
SANDBOX = ("sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; base-uri 'none'; "
           "frame-ancestors 'none'")
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # A set-up link stands in the address: it goes to nobody else. ("no-referrer" would take the Origin off our forms.)
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), browsing-topics=()",
}
CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class SecurityHeaders:
    """Adds `HEADERS` to every response, and "keep no copy" to those that set nothing of their own.

    A response that sets a content policy of its own keeps it only where it is `SANDBOX`.
    """

    def __init__(self, app: ASGIApp, https: bool = False) -> None:
        self.app, self.https = app, https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                sandboxed = headers.get("content-security-policy") == SANDBOX
                for name, value in HEADERS.items():
                    headers[name] = value
                if sandboxed:
                    headers["content-security-policy"] = SANDBOX
                headers.setdefault("cache-control", "no-store")
                if self.https:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)
        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)


class KnownOrigin:
    """Refuses a request for another host, and a changing one that another site's page has sent.

    `hosts` are the names this server answers to, without port; empty is any. A browser says in `Origin` (or at least
    in `Sec-Fetch-Site`) whose page sends; a program that is no browser says neither, and carries no cookie either.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = ()) -> None:
        self.app, self.hosts = app, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (wrong := self._wrong(scope)):
            await PlainTextResponse(wrong, status_code=403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _wrong(self, scope: Scope) -> str:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts and _name(host) not in self.hosts:
            return f"This server does not answer to {host[:100]!r}."
        if scope["method"] not in CHANGING:
            return ""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != f"{scope['scheme']}://{host}":
            return "Another site's page sent this; nothing was done."
        if origin is None and (site not in (None, "same-origin") or "cookie" in headers):
            return "The browser did not say whose page sent this; nothing was done."
        return ""


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


class BodyLimit:
    """Refuses a body of more than `limit` bytes, by path prefix; whether its length was announced or not."""

    def __init__(self, app: ASGIApp, limit: int = 1 << 20, larger: Mapping[str, int] | None = None) -> None:
        self.app, self.limit, self.larger = app, limit, dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = next((size for prefix, size in self.larger.items() if scope["path"].startswith(prefix)), self.limit)
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limit:
            await _too_large(limit)(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                raise TooLarge
            return message

        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, counted, noted)
        except TooLarge:
            if begun:
                raise
            await _too_large(limit)(scope, receive, send)


class TooLarge(Exception):
    """A body turned out to be larger than was allowed."""


def _too_large(limit: int) -> PlainTextResponse:
    return PlainTextResponse(f"What was sent is larger than {limit / (1 << 20):g} MiB; nothing was kept.", status_code=413)
