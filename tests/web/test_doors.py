"""Who may take which route: every route times every role, against a table that is written down here."""

from __future__ import annotations

import re

import pytest
from fastapi import FastAPI

from tutelage.web import EVERYBODY, Routes, Shell, create_app
from tutelage.web.rooms import Room
from tutelage.web.routes import doors

A, R, L, D = "annotator", "reviewer", "lead", "admin"
ANYBODY, MEMBERS = {"everybody"}, {"signed in"}

# The house's own table. A new route is written down here, or the test of the table fails.
TABLE = {
    "GET /": MEMBERS, "GET /sign-in": ANYBODY, "POST /sign-in": ANYBODY, "POST /sign-out": MEMBERS,
    "GET /set-up/{token}": ANYBODY, "POST /set-up/{token}": ANYBODY, "GET /invitation/{token}": ANYBODY,
    "POST /invitation/{token}": ANYBODY, "GET /password/{token}": ANYBODY, "POST /password/{token}": ANYBODY,
    "POST /preferences": ANYBODY, "GET /static/{digest}/{name:path}": {"files"},
    "GET /annotate/{campaign}": {A}, "GET /api/campaigns/{campaign}/tasks": {A}, "POST /api/outbox": {A},
    "POST /api/keys": MEMBERS,
    "GET /campaigns": {L}, "GET /campaigns/new": {L}, "POST /campaigns/new": {L}, "GET /campaigns/{campaign}": {L},
    "GET /campaigns/{campaign}/progress": {L}, "POST /campaigns/{campaign}/state": {L}, "POST /campaigns/{campaign}/gold": {L},
    "GET /campaigns/{campaign}/export": {L},
    "GET /drawings/{drawing}": {L}, "GET /drawings/{drawing}/progress": {L}, "POST /drawings/{drawing}/stop": {L},
    "POST /drawings/{drawing}/again": {L},
    "GET /review": {R}, "GET /review/{item}": {R}, "POST /review/{item}": {R},
    "GET /me": MEMBERS, "GET /me/download": MEMBERS, "POST /me/contest": MEMBERS, "POST /me/password": MEMBERS,
    "POST /me/api-keys": MEMBERS, "POST /me/api-keys/{key}/revoke": MEMBERS,
    "GET /people": {L, D}, "POST /people/invite": {L, D}, "POST /people/{person}/roles": {D},
    "POST /people/{person}/abilities": {L, D}, "POST /people/{person}/password": {D}, "GET /audit": {D},
    "GET /runs": {L, D}, "GET /runs/table": {L, D}, "GET /runs/compare": {L, D}, "GET /runs/{run}": {L, D},
    "GET /runs/{run}/standing": {L, D}, "GET /runs/{run}/samples": {L, D}, "GET /api/runs/{run}/curves": {L, D},
    "GET /api/events": {L, D}, "GET /artifacts": {L, D}, "GET /artifacts/{kind}/{name}/{version}": {L, D},
    "GET /artifacts/{kind}/{name}/{version}/{file}": {L, D},
}


def test_the_table_is_the_app(app: FastAPI) -> None:
    assert {f"{method} {path}": set(roles) for (method, path), roles in doors(app).items()} == TABLE


def is_shut(visitor, route: str) -> bool:  # type: ignore[no-untyped-def]
    """Whether the visitor is turned away at the door; what an endpoint says behind it does not matter here."""
    method, _, path = route.partition(" ")
    path = re.sub(r"\{[^}]*\}", "nothing", path)
    if path.startswith("/api/") and method == "POST":
        answer = visitor.send(path, {}, headers={"accept": "application/json"})
    else:
        answer = visitor.get(path) if method == "GET" else visitor.post(path)
    if route == "POST /sign-in":                      # 401 there is the endpoint's own word on a wrong password
        return 'name="password"' not in answer.text
    return answer.status_code in (401, 403) or answer.headers.get("location", "").startswith("/sign-in?next=")


@pytest.mark.parametrize("who", ["", A, R, L, D])
def test_a_door_opens_to_its_roles_and_to_no_other(who: str, browser) -> None:  # type: ignore[no-untyped-def]
    wrong = []
    for route, roles in TABLE.items():
        visitor = browser(who)                        # afresh: signing out is one of the routes
        if not who:
            visitor.get("/sign-in")                   # a page has been seen: its token is at hand
        opens = bool(roles & {"everybody", "files", who}) or (bool(who) and "signed in" in roles)
        if is_shut(visitor, route) == opens:
            wrong.append(route)
    assert wrong == []


def test_a_route_that_names_no_roles_cannot_be_added() -> None:
    with pytest.raises(TypeError):
        Routes().get("/secret")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="nobody"):
        Routes().get("/secret", roles=())
    with pytest.raises(ValueError, match="queen"):
        Routes().get("/secret", roles={"queen"})


def test_an_app_with_a_route_that_went_past_the_doors_is_not_made(store, tmp_path, app: FastAPI) -> None:  # type: ignore[no-untyped-def]
    app.add_api_route("/secret", lambda: "")
    with pytest.raises(ValueError, match="/secret"):
        doors(app)
    routes = Routes()
    routes.get("/open", roles=EVERYBODY)(lambda: "")
    create_app(Shell(store=store), [Room(name="room", routes=routes, folder=tmp_path)])


def test_someone_whose_roles_are_taken_away_is_out_at_once(browser, store) -> None:  # type: ignore[no-untyped-def]
    annotator = browser(A)
    assert annotator.get("/me").status_code == 200
    store.accounts.set_roles(A, [], None, 1.0)
    assert annotator.get("/me").headers["location"] == "/sign-in?next=/me"
