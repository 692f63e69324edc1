"""A client that behaves as a browser does: cookies, Origin, and the token that a page shows."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from httpx import Response
from starlette.testclient import TestClient

from tutelage.web.visitors import csrf_of

HOST = "127.0.0.1"
ORIGIN = f"http://{HOST}"


class Browser:
    """A client with a session, which shows its token the way a page does."""

    def __init__(self, app: FastAPI, token: str = "", language: str = "en") -> None:
        self.client = TestClient(app, base_url=ORIGIN, follow_redirects=False,
                                 headers={"accept": "text/html", "accept-language": language})
        self.token = token
        if token:
            self.client.cookies.set("tutelage-session", token)

    @property
    def csrf(self) -> str:
        return csrf_of(self.token or self.client.cookies.get("tutelage-visit", ""))

    def get(self, path: str, **options: Any) -> Response:
        return self.client.get(path, **options)

    def post(self, path: str, data: dict[str, Any] | None = None, **options: Any) -> Response:
        headers = {"origin": ORIGIN, **options.pop("headers", {})}
        return self.client.post(path, data={"csrf": self.csrf, **(data or {})}, headers=headers, **options)

    def send(self, path: str, value: object, **options: Any) -> Response:
        """JSON, as the page's scripts send it."""
        headers = {"origin": ORIGIN, "x-csrf-token": self.csrf, **options.pop("headers", {})}
        return self.client.post(path, json=value, headers=headers, **options)
