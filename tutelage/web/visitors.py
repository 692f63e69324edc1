"""Who is asking, and whether they may. Below the routes: an endpoint is reached only by those its route names.

A browser carries a session in a cookie (HttpOnly, SameSite=Lax), and shows the token of that cookie with everything that
changes something: in the form's field `csrf` or the header `X-CSRF-Token`. A program carries an API key in
`Authorization: Bearer`, no cookie, and so needs no token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from tutelage.store import Store
from tutelage.web import i18n
from tutelage.web.i18n import N_
from tutelage.web.middleware import CHANGING

EVERYBODY, SIGNED_IN, FILES = "everybody", "signed in", "files"
THEMES = ("auto", "light", "dark")
MOST_OF_A_FIELD = 1 << 30              # bytes; the limit of the whole body (`BodyLimit`) is what counts
SESSION_S = 7 * 24 * 3600.0            # then one signs in again
LOOK_S = 365 * 24 * 3600               # how long a browser remembers language and colours of somebody not signed in


class Refused(Exception):
    """An answer of another status than 200, with words for people. `message` is in the catalogue."""

    def __init__(self, status: int, message: str, **values: object) -> None:
        super().__init__(message)
        self.status, self.message, self.values = status, message, values


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody, or nobody yet (`person` is ""). `csrf` goes into every form."""

    person: str = ""
    name: str = ""
    roles: frozenset[str] = frozenset()
    language: str = i18n.DEFAULT
    theme: str = "auto"
    csrf: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    new_visit: str = ""                # a token to leave in the browser, where it came without one
    by_key: bool = False

    def may(self, wanted: Collection[str]) -> bool:
        return EVERYBODY in wanted or bool(self.person and (SIGNED_IN in wanted or self.roles & set(wanted)))

    def leave_cookies(self, request: Request, response: Response) -> None:
        if self.new_visit:
            set_cookie(request, response, "visit", self.new_visit, None)


async def admit(request: Request, wanted: frozenset[str]) -> None:
    """Put the visitor into `request.state.visitor` and a form's fields into `request.state.form`.

    Raises:
        Refused: 401 without a session, 403 without the role or the token.
    """
    if FILES in wanted:                    # stylesheets and scripts: the same for all, so nobody is looked up
        return
    visitor = request.state.visitor = await run_in_threadpool(find_visitor, request)
    if not visitor.may(wanted):
        if not visitor.person:
            raise Refused(401, N_("Sign in first."))
        raise Refused(403, N_("Your account may not do this."))
    if request.method not in CHANGING:
        return
    shown = request.headers.get("x-csrf-token", "")
    if is_form(request):
        request.state.form = await request.form(max_part_size=MOST_OF_A_FIELD)
        shown = shown or str(request.state.form.get("csrf", ""))
    if not visitor.by_key and not hmac.compare_digest(shown.encode(), visitor.csrf.encode()):
        raise Refused(403, N_("This page has been open since before you signed in. Load it again."))


def find_visitor(request: Request) -> Visitor:
    store: Store = request.app.state.store
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    by_key = scheme.lower() == "bearer" and bool(key)
    token = "" if by_key else request.cookies.get(cookie_name(request, "session"), "")
    now = time.time()
    known = store.access.visitor_by_key(key.strip(), now) if by_key else token and store.access.visitor(token, now)
    if not known:
        return _unknown(request)
    language = i18n.choose(request.headers.get("accept-language", ""), str(known.settings.get("language", "")))
    theme = known.settings.get("theme")
    return Visitor(person=known.person, name=known.name, roles=frozenset(known.roles), language=language,
                   theme=theme if theme in THEMES else "auto", csrf=csrf_of(token), settings=known.settings, by_key=by_key)


def _unknown(request: Request) -> Visitor:
    visit = request.cookies.get(cookie_name(request, "visit"), "")
    new = "" if len(visit) >= 32 else secrets.token_urlsafe(32)
    language, _, theme = request.cookies.get(cookie_name(request, "look"), "").partition(".")
    return Visitor(language=i18n.choose(request.headers.get("accept-language", ""), language),
                   theme=theme if theme in THEMES else "auto", csrf=csrf_of(new or visit), new_visit=new)


def csrf_of(token: str) -> str:
    """What a page shows to prove that it is ours: made of the cookie, which no other site can read or set."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest() if token else ""


def is_form(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind in ("application/x-www-form-urlencoded", "multipart/form-data")


def cookie_name(request: Request, name: str) -> str:
    """`__Host-` has the browser itself refuse the cookie over plain http or from a sister domain."""
    return f"__Host-tutelage-{name}" if request.url.scheme == "https" else f"tutelage-{name}"


def set_cookie(request: Request, response: Response, name: str, value: str, max_age: int | None) -> None:
    response.set_cookie(cookie_name(request, name), value, max_age=max_age, path="/", httponly=True, samesite="lax",
                        secure=request.url.scheme == "https")


def drop_cookie(request: Request, response: Response, name: str) -> None:
    set_cookie(request, response, name, "", 0)
