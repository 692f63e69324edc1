"""Who is here and as what: invitations, roles, new passwords, and the audit trail."""

from __future__ import annotations

import time
from itertools import islice
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response

from tutelage.store import Store
from tutelage.store.accounts import ROLES
from tutelage.web import Refused, Routes, Visitor
from tutelage.web.i18n import LANGUAGES, N_
from tutelage.web.pages import render, say, values_of

INVITATION_S = 7 * 24 * 3600.0
PASSWORD_S = 24 * 3600.0
GIVES = {"lead": ("annotator", "reviewer"), "admin": ROLES}        # who may hand out which roles
SHOWN_LINES = 300
# What a line of the trail says was done; a line of a word that is not here shows the word.
ACTIONS = {
    "session.begin": N_("signed in"), "session.end": N_("signed out"), "session.refused": N_("a sign-in was refused"),
    "link.setup": N_("made the set-up link"), "link.invitation": N_("made an invitation"),
    "link.password": N_("made a new-password link"), "link.used.setup": N_("used the set-up link"),
    "link.used.invitation": N_("used an invitation"), "link.used.password": N_("used a new-password link"),
    "api key.make": N_("made an API key"), "api key.revoke": N_("revoked an API key"), "password.set": N_("set a password"),
    "role.grant.annotator": N_("gave a role: annotator"), "role.grant.reviewer": N_("gave a role: reviewer"),
    "role.grant.lead": N_("gave a role: lead"), "role.grant.admin": N_("gave a role: admin"),
    "role.revoke.annotator": N_("took a role: annotator"), "role.revoke.reviewer": N_("took a role: reviewer"),
    "role.revoke.lead": N_("took a role: lead"), "role.revoke.admin": N_("took a role: admin"),
    "guideline.publish": N_("published a guideline"), "campaign.create": N_("made a campaign"),
    "campaign.revise": N_("changed a campaign's terms"), "campaign.gold": N_("wrote a known question"),
    "campaign.open": N_("opened a campaign"), "campaign.paused": N_("paused a campaign"),
    "campaign.closed": N_("closed a campaign"), "item.judged": N_("settled an item"),
    "item.upheld": N_("upheld a flag or contest"), "item.dismissed": N_("dismissed a flag or contest")}


def add_routes(routes: Routes) -> None:
    @routes.get("/people", roles={"lead", "admin"})
    def people(request: Request) -> Response:
        return _page(request)

    @routes.post("/people/invite", roles={"lead", "admin"})
    def invite(request: Request) -> Response:
        return _invite(request)

    @routes.post("/people/{person}/roles", roles={"admin"})
    def set_roles(request: Request, person: str) -> Response:
        wanted = [str(role) for role in request.state.form.getlist("roles")]
        store: Store = request.app.state.store
        store.accounts.set_roles(person, wanted, request.state.visitor.person, time.time())  # type: ignore[arg-type]
        return RedirectResponse("/people", status_code=303)

    @routes.post("/people/{person}/abilities", roles={"lead", "admin"})
    def set_abilities(request: Request, person: str) -> Response:
        tags, languages = _abilities(request)
        store: Store = request.app.state.store
        store.accounts.set_abilities(person, tags, languages)
        return RedirectResponse("/people", status_code=303)

    @routes.post("/people/{person}/password", roles={"admin"})
    def new_password(request: Request, person: str) -> Response:
        store: Store = request.app.state.store
        name = store.accounts.get(person).name
        token = store.access.make_link("password", {"person": person}, request.state.visitor.person, time.time(), PASSWORD_S)
        return _page(request, link=_address(request, "password", token), link_for=name)

    @routes.get("/audit", roles={"admin"})
    def audit(request: Request) -> Response:
        store: Store = request.app.state.store
        lines = list(islice(store.audit.lines(newest_first=True), SHOWN_LINES))
        names = {each.id: each.name for each in store.campaigns.all()}
        return render(request, "studio/audit.html.j2", lines=lines, wrong=store.audit.verify(), head=store.audit.head(),
                      actions=ACTIONS, names=names)


def may_give(visitor: Visitor) -> tuple[str, ...]:
    given = {role for own in visitor.roles for role in GIVES.get(own, ())}
    return tuple(role for role in ROLES if role in given)


def _invite(request: Request) -> Response:
    visitor: Visitor = request.state.visitor
    wanted = {str(role) for role in request.state.form.getlist("roles")}
    if not wanted:
        return _page(request, message=say(request, "An invitation needs at least one role."), status=422)
    if wanted - set(may_give(visitor)):
        raise Refused(403, N_("You may not give these roles."))
    name = values_of(request.state.form, "name")["name"].strip()[:80]
    tags, languages = _abilities(request)
    body = {"name": name, "roles": sorted(wanted), "tags": tags, "languages": languages}
    store: Store = request.app.state.store
    token = store.access.make_link("invitation", body, visitor.person, time.time(), INVITATION_S)
    return _page(request, link=_address(request, "invitation", token), link_for=name)


def _abilities(request: Request) -> tuple[list[str], list[str]]:
    tags = sorted({tag.strip()[:60] for tag in values_of(request.state.form, "tags")["tags"].split(",") if tag.strip()})
    return tags, [str(each) for each in request.state.form.getlist("languages") if each in LANGUAGES]


def _address(request: Request, purpose: str, token: str) -> str:
    """A link that works for others: at the address this page was asked at."""
    return f"{request.url.scheme}://{request.headers.get('host', '')}/{purpose}/{token}"


def _page(request: Request, link: str = "", link_for: str = "", message: str = "", status: int = 200) -> Response:
    store: Store = request.app.state.store
    values: dict[str, Any] = {"accounts": store.accounts.all(), "gives": may_give(request.state.visitor), "roles": ROLES,
                              "link": link, "link_for": link_for, "message": message}
    return render(request, "studio/people.html.j2", status, **values)
