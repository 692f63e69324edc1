"""The ways in and out: the set-up link, invitations, signing in and out, and how the pages look to somebody."""

from __future__ import annotations

import re
import time
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from tutelage.errors import StoreError, UsageError
from tutelage.store import Store
from tutelage.store.access import LinkPurpose
from tutelage.web import consent, i18n
from tutelage.web.i18n import N_
from tutelage.web.limits import RateLimit
from tutelage.web.pages import render, say, values_of
from tutelage.web.passwords import MAX_LENGTH, MIN_LENGTH, check_password, hash_password
from tutelage.web.routes import EVERYBODY, SIGNED_IN, Routes
from tutelage.web.visitors import (
    LOOK_S,
    SESSION_S,
    THEMES,
    Refused,
    Visitor,
    cookie_name,
    drop_cookie,
    set_cookie,
)

SETUP_S = 24 * 3600.0
SETUP_ROLES = ("admin", "lead", "reviewer", "annotator")
_PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def setup_path(store: Store) -> str | None:
    """The path of a fresh set-up link, or None where somebody has been in already."""
    if not store.accounts.is_empty():
        return None
    return f"/set-up/{store.access.make_link('setup', {'roles': SETUP_ROLES}, None, time.time(), SETUP_S)}"


def add_routes(routes: Routes) -> None:
    @routes.get("/sign-in", roles=EVERYBODY)
    def sign_in_page(request: Request) -> Response:
        if request.state.visitor.person:
            return _to(_inside(request.query_params.get("next", "")))
        return _sign_in_page(request)

    @routes.post("/sign-in", roles=EVERYBODY)
    def sign_in(request: Request) -> Response:
        given = values_of(request.state.form, "person", "password", "next")
        _slow_down(request, given["person"])
        store: Store = request.app.state.store
        if not check_password(given["password"], store.accounts.password_hash(given["person"])):
            store.audit.add(time.time(), None, "session.refused")
            return _sign_in_page(request, 401, say(request, "The name or the password is wrong."), given["person"])
        if not store.accounts.roles(given["person"]):
            raise Refused(403, N_("This account has been closed. Ask whoever leads the project."))
        _limit(request.app).forgive(_who(request, given["person"]))
        return _begin(request, given["person"], _inside(given["next"]))

    @routes.post("/sign-out", roles=SIGNED_IN)
    def sign_out(request: Request) -> Response:
        store: Store = request.app.state.store
        store.access.end_session(request.cookies.get(cookie_name(request, "session"), ""), time.time())
        response = _to("/sign-in")
        drop_cookie(request, response, "session")
        return response

    @routes.get("/set-up/{token}", roles=EVERYBODY)
    def set_up_page(request: Request, token: str) -> Response:
        return _welcome(request, "setup", token)

    @routes.post("/set-up/{token}", roles=EVERYBODY)
    def set_up(request: Request, token: str) -> Response:
        return _come_in(request, "setup", token)

    @routes.get("/invitation/{token}", roles=EVERYBODY)
    def invitation_page(request: Request, token: str) -> Response:
        return _welcome(request, "invitation", token)

    @routes.post("/invitation/{token}", roles=EVERYBODY)
    def invitation(request: Request, token: str) -> Response:
        return _come_in(request, "invitation", token)

    @routes.get("/password/{token}", roles=EVERYBODY)
    def password_page(request: Request, token: str) -> Response:
        link = _open_link(request, "password", token)
        return render(request, "web/password.html.j2", person=link["person"], message="")

    @routes.post("/password/{token}", roles=EVERYBODY)
    def password(request: Request, token: str) -> Response:
        return _new_password(request, token)

    @routes.post("/preferences", roles=EVERYBODY)
    def preferences(request: Request) -> Response:
        return _set_look(request)


def _sign_in_page(request: Request, status: int = 200, message: str = "", person: str = "") -> Response:
    following = request.query_params.get("next", "") or values_of(getattr(request.state, "form", {}), "next")["next"]
    return render(request, "web/sign_in.html.j2", status, next=_inside(following), message=message, person=person)


def _begin(request: Request, person: str, path: str) -> Response:
    store: Store = request.app.state.store
    response = _to(path)
    set_cookie(request, response, "session", store.access.begin_session(person, time.time(), SESSION_S), int(SESSION_S))
    return response


def _open_link(request: Request, purpose: LinkPurpose, token: str) -> dict[str, Any]:
    _slow_down(request, "")
    store: Store = request.app.state.store
    try:
        return store.access.link(token, purpose, time.time())
    except StoreError:
        raise Refused(410, N_("This link does not work, or not any more. Each works once; ask for a new one.")) from None


def _welcome(request: Request, purpose: LinkPurpose, token: str, status: int = 200, message: str = "",
             **given: str) -> Response:
    link = _open_link(request, purpose, token)
    return render(request, "web/welcome.html.j2", status, first=purpose == "setup", message=message,
                  person=given.get("person", ""), name=given.get("name", "") or link.get("name", ""),
                  consent=consent.TEXT[request.state.visitor.language], consent_version=consent.VERSION)


def _come_in(request: Request, purpose: LinkPurpose, token: str) -> Response:
    """Make the account: the link is used up, the consent kept and the session begun, or a message says what is wrong."""
    given = values_of(request.state.form, "person", "name", "password", "consent")
    if wrong := _wrong_with(request, given):
        return _welcome(request, purpose, token, 422, wrong, person=given["person"], name=given["name"])
    store: Store = request.app.state.store
    link, now, language = _open_link(request, purpose, token), time.time(), request.state.visitor.language
    person, name = given["person"], given["name"].strip()
    hashed = hash_password(given["password"])
    try:
        store.access.use_link(token, purpose, person, now, name, link["roles"])
    except StoreError:
        taken = say(request, "The name %(name)s is taken. Choose another.", name=person)
        return _welcome(request, purpose, token, 422, taken, person=person, name=name)
    store.accounts.set_password(person, hashed, person, now)
    store.add_person(person, "human", name, consent.VERSION, "\n".join(consent.TEXT[language]), language, consent.PURPOSES)
    store.accounts.set_abilities(person, link.get("tags", ()), link.get("languages", ()))
    store.accounts.set_settings(person, {"language": language, "theme": request.state.visitor.theme})
    return _begin(request, person, "/")


def _wrong_with(request: Request, given: dict[str, str]) -> str:
    if not _PERSON.fullmatch(given["person"]):
        return say(request, "The name to sign in with has Latin letters, digits, dots, dashes or underscores.")
    if not 1 <= len(given["name"].strip()) <= 80:
        return say(request, "The name to show has from 1 to 80 characters.")
    if not MIN_LENGTH <= len(given["password"]) <= MAX_LENGTH:
        return say(request, "The password has from %(low)s to %(high)s characters.", low=MIN_LENGTH, high=MAX_LENGTH)
    if given["password"].casefold() in (given["person"].casefold(), given["name"].strip().casefold()):
        return say(request, "The password must not be your name.")
    if given["consent"] != "yes":
        return say(request, "Without your agreement nothing may be kept, so there is no account without it.")
    return ""


def _new_password(request: Request, token: str) -> Response:
    store: Store = request.app.state.store
    link, now = _open_link(request, "password", token), time.time()
    try:
        hashed = hash_password(values_of(request.state.form, "password")["password"])
    except UsageError:
        wrong = say(request, "The password has from %(low)s to %(high)s characters.", low=MIN_LENGTH, high=MAX_LENGTH)
        return render(request, "web/password.html.j2", 422, person=link["person"], message=wrong)
    store.access.use_link(token, "password", link["person"], now)
    store.accounts.set_password(link["person"], hashed, link["person"], now)
    return _begin(request, link["person"], "/")


def _set_look(request: Request) -> Response:
    given = values_of(request.state.form, "language", "theme", "back")
    visitor: Visitor = request.state.visitor
    language = given["language"] if given["language"] in i18n.LANGUAGES else visitor.language
    theme = given["theme"] if given["theme"] in THEMES else visitor.theme
    response = _to(_inside(given["back"]))
    if visitor.person:
        store: Store = request.app.state.store
        store.accounts.set_settings(visitor.person, {**visitor.settings, "language": language, "theme": theme})
    set_cookie(request, response, "look", f"{language}.{theme}", LOOK_S)
    return response


def _limit(app: FastAPI) -> RateLimit:
    limit: RateLimit = app.state.sign_in_limit
    return limit


def _who(request: Request, person: str) -> str:
    return f"{request.client.host if request.client else ''} {person[:100]}"


def _slow_down(request: Request, person: str) -> None:
    """One bucket for each address and name: guessing is slow, and nobody is locked out by a stranger's guesses."""
    if wait := _limit(request.app).take(_who(request, person)):
        raise Refused(429, N_("Too many tries. Wait %(wait)s seconds."), wait=int(wait) + 1)


def _inside(path: str) -> str:
    """`path` if it leads to a page of ours, else the first page."""
    return path if re.fullmatch(r"/(?![/\\])[^\s\\]*", path) else "/"


def _to(path: str) -> Response:
    return RedirectResponse(path, status_code=303)
