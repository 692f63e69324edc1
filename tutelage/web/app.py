"""`create_app`: the shell, with the rooms it is given."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tutelage import reporting
from tutelage.errors import StoreUnavailable, TutelageError
from tutelage.store import Store
from tutelage.web import entrance, static
from tutelage.web.assets import Assets
from tutelage.web.i18n import N_, Words
from tutelage.web.limits import RateLimit
from tutelage.web.middleware import BodyLimit, KnownOrigin, SecurityHeaders, TooLarge
from tutelage.web.pages import Pages
from tutelage.web.rooms import Room
from tutelage.web.routes import Routes, doors
from tutelage.web.visitors import Refused, Visitor, find_visitor

_HERE = Path(__file__).parent
_LOG = logging.getLogger("tutelage.web")
LONGEST_BODY = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """What the app stands on. `hosts` are the names it answers to (empty: any); `https` is what browsers see."""

    store: Store
    hosts: tuple[str, ...] = ()
    https: bool = False
    larger_bodies: Mapping[str, int] = field(default_factory=dict)     # path prefix -> bytes


def create_app(shell: Shell, rooms: Sequence[Room]) -> FastAPI:
    """The app. Every route of it says who may take it, or this raises ValueError."""
    app = FastAPI(title="Tutelage", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    own = Room(name="web", routes=Routes(), folder=_HERE)
    everything = (own, *rooms)
    assets = Assets({"vendor": _HERE / "vendor", "plots": Path(reporting.__file__).parent / "vendor",
                     **{room.name: room.folder / "static" for room in everything}})
    app.state.store = shell.store
    app.state.pages = Pages(everything, Words(room.folder for room in everything), assets)
    app.state.stopping = [each for room in everything for each in room.stopping]
    app.state.sign_in_limit = RateLimit(burst=10, per_minute=6)
    app.state.request_limit = RateLimit(burst=200, per_minute=1800)
    entrance.add_routes(own.routes)
    static.add_routes(own.routes, assets)
    for room in everything:
        room.routes.attach(app)
    doors(app)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(TutelageError, _wrong)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _plain)
    app.add_middleware(_LastResort)
    app.add_middleware(BodyLimit, limit=LONGEST_BODY, larger=shell.larger_bodies)
    app.add_middleware(KnownOrigin, hosts=shell.hosts)
    app.add_middleware(SecurityHeaders, https=shell.https)
    return app


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    if error.status == 401 and request.method == "GET" and not _wants_json(request):
        return RedirectResponse(f"/sign-in?next={quote(request.url.path)}", status_code=303)
    return _answer(request, error.status, error.message, True, **error.values)


def _wrong(request: Request, error: Exception) -> Response:
    # 503: it was right to ask, and right to ask again.
    return _answer(request, 503 if isinstance(error, StoreUnavailable) else 400, str(error), False)


def _unreadable(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:]))
    return _answer(request, 422, N_("What was sent cannot be read: %(where)s: %(what)s"), where=where, what=first["msg"])


def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: N_("There is nothing at this address."), 405: N_("This address takes no such request.")}
    return _answer(request, error.status_code, words.get(error.status_code, N_("The request could not be answered.")))


class _LastResort:
    """What went wrong unforeseen is answered here, inside the other layers: an error page carries the policy too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except TooLarge:
            raise
        except Exception as error:
            if scope["type"] != "http" or begun:
                raise
            answer = await run_in_threadpool(_bug, Request(scope), error)
            await answer(scope, receive, send)


def _bug(request: Request, error: Exception) -> Response:
    _LOG.error("a request failed: %s %s", request.method, request.url.path, exc_info=error)
    return _answer(request, 500, N_("Something broke on our side; nothing of this was kept. The log says more."))


def _answer(request: Request, status: int, message: str, is_ours: bool = True, /, **values: object) -> Response:
    """The error as the asker reads it: JSON for programs, a page for people."""
    visitor = getattr(request.state, "visitor", None)
    if visitor is None:
        try:
            visitor = find_visitor(request)
        except Exception:                       # the error page must not need what has just broken
            visitor = Visitor()
        request.state.visitor = visitor
    pages: Pages = request.app.state.pages
    said = pages.words.say(visitor.language, message, **values) if is_ours else pages.words.error(visitor.language, message)
    headers = {"Retry-After": str(values["wait"])} if "wait" in values else None
    if _wants_json(request):
        return JSONResponse({"error": said}, status_code=status, headers=headers)
    title = pages.words.say(visitor.language, N_("That did not work"))
    page = pages.render(request, "web/refused.html.j2", status, title=title, message=said)
    page.headers.update(headers or {})
    return page


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", "*/*")
