"""What the shell keeps out: other sites' pages, other hosts, large bodies, guesses, addresses without TLS."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from web_browser import HOST, ORIGIN, Browser

from tutelage.errors import UsageError
from tutelage.project import Project
from tutelage.store import Store
from tutelage.studio.config import Studio
from tutelage.studio.room import studio_room
from tutelage.web import EVERYBODY, Room, Routes, Shell, create_app
from tutelage.web.limits import RateLimit
from tutelage.web.passwords import check_password, hash_password
from tutelage.web.serve import check_address, hosts_of

PASSWORD = "correct horse battery"


def test_every_answer_carries_the_policy(browser) -> None:  # type: ignore[no-untyped-def]
    for path in ("/sign-in", "/nowhere", "/static/x/nothing.js", "/api/campaigns/x/tasks"):
        headers = browser().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy and "style-src 'self';" in policy
        assert "unsafe" not in policy and "http" not in policy and "*" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"


def test_an_unforeseen_error_says_nothing_of_the_inside_and_carries_the_policy(store: Store, tmp_path: Path) -> None:
    routes = Routes()

    @routes.get("/broken", roles=EVERYBODY)
    def broken() -> None:
        raise RuntimeError("the secret recipe")
    app = create_app(Shell(store=store), [Room(name="room", routes=routes, folder=tmp_path)])
    answer = TestClient(app, base_url=ORIGIN).get("/broken", headers={"accept": "text/html"})
    assert answer.status_code == 500 and "secret" not in answer.text and "Something broke on our side" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_form_without_the_token_changes_nothing(browser, store: Store) -> None:  # type: ignore[no-untyped-def]
    lead = browser("lead")
    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "ünsinn"}):
        answer = lead.client.post("/people/invite", data={"roles": "annotator", **data}, headers={"origin": ORIGIN})
        assert answer.status_code == 403
    assert not [line for line in store.audit.lines() if line.action == "link.invitation"]
    assert lead.post("/people/invite", {"roles": "annotator"}).status_code == 200


def test_anothers_token_does_not_do(browser) -> None:  # type: ignore[no-untyped-def]
    lead, annotator = browser("lead"), browser("annotator")
    data = {"roles": "annotator", "csrf": annotator.csrf}
    assert lead.client.post("/people/invite", data=data, headers={"origin": ORIGIN}).status_code == 403


@pytest.mark.parametrize("headers", [
    {"origin": "https://evil.example"}, {"origin": "null"}, {"origin": f"https://{HOST}"}, {"origin": f"{ORIGIN}.evil.example"},
    {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {}])
def test_another_sites_page_changes_nothing(browser, headers: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    lead = browser("lead")
    answer = lead.client.post("/people/invite", data={"roles": "annotator", "csrf": lead.csrf}, headers=headers)
    assert answer.status_code == 403


def test_another_host_is_not_answered(app: FastAPI) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "[", ""):
        client = TestClient(app, base_url=ORIGIN)
        assert client.get("/sign-in", headers={"host": host}).status_code == 403
    assert TestClient(app, base_url=f"{ORIGIN}:8321").get("/sign-in").status_code == 200


def test_a_body_beyond_the_limit_is_refused_whether_announced_or_not(browser) -> None:  # type: ignore[no-untyped-def]
    lead = browser("lead")
    assert lead.post("/people/invite", {"name": "x" * (1 << 20)}).status_code == 413

    def parts():  # type: ignore[no-untyped-def]
        for _ in range(20):
            yield b"x" * 100_000
    headers = {"origin": ORIGIN, "x-csrf-token": lead.csrf, "content-type": "application/x-www-form-urlencoded"}
    assert lead.client.post("/people/invite", content=parts(), headers=headers).status_code == 413


def test_a_new_campaign_may_be_larger_up_to_its_own_limit(store: Store, tmp_path: Path) -> None:
    shell = Shell(store=store, hosts=(HOST,), larger_bodies={"/campaigns/new": 2 << 20})
    made = create_app(shell, [studio_room(Project.init(tmp_path / "project"), Studio())])
    lead = Browser(made, store.access.begin_session("lead", time.time(), 3600), "en")
    for address, size, status in (("/campaigns/new", 3 << 19, 422), ("/campaigns/new", 3 << 20, 413),
                                  ("/people/invite", 3 << 19, 413)):
        assert lead.post(address, {"name": "", "typed": "x" * size}).status_code == status


def test_files_are_served_by_name_and_no_path_leads_elsewhere(browser) -> None:  # type: ignore[no-untyped-def]
    for name in ("../app.py", "..%2fapp.py", "web/../../app.py", "web/../templates/layout.html.j2", "/etc/passwd", "vendor/"):
        assert browser().get(f"/static/x/{name}").status_code == 404, name
    answer = browser().get("/static/x/web/shell.css")
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-cache"


def test_signing_in_and_out(browser, store: Store) -> None:  # type: ignore[no-untyped-def]
    store.accounts.set_password("annotator", hash_password(PASSWORD), None, time.time())
    nobody = browser()
    nobody.get("/sign-in")
    wrong = nobody.post("/sign-in", {"person": "annotator", "password": "wrong password"})
    assert wrong.status_code == 401 and "tutelage-session" not in wrong.cookies
    unknown = nobody.post("/sign-in", {"person": "who", "password": PASSWORD})
    assert unknown.status_code == 401
    right = nobody.post("/sign-in", {"person": "annotator", "password": PASSWORD, "next": "/me"})
    assert (right.status_code, right.headers["location"]) == (303, "/me")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    inside = Browser(nobody.client.app, right.cookies["tutelage-session"])
    assert inside.get("/me").status_code == 200
    inside.post("/sign-out")
    assert Browser(nobody.client.app, inside.token).get("/me").status_code == 303


@pytest.mark.parametrize("target", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a b"])
def test_signing_in_leads_to_pages_of_ours_only(browser, store: Store, target: str) -> None:  # type: ignore[no-untyped-def]
    store.accounts.set_password("annotator", hash_password(PASSWORD), None, time.time())
    nobody = browser()
    nobody.get("/sign-in")
    answer = nobody.post("/sign-in", {"person": "annotator", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_guessing_is_slow(browser) -> None:  # type: ignore[no-untyped-def]
    nobody = browser()
    nobody.get("/sign-in")
    statuses = [nobody.post("/sign-in", {"person": "annotator", "password": "x" * 201}).status_code for _ in range(12)]
    assert statuses[:10] == [401] * 10 and statuses[-1] == 429
    assert nobody.post("/sign-in", {"person": "lead", "password": "x" * 201}).status_code == 401     # others are not locked out


def test_the_cookie_is_bound_to_the_host_over_tls(app: FastAPI, store: Store) -> None:
    store.accounts.set_password("annotator", hash_password(PASSWORD), None, time.time())
    client = TestClient(app, base_url=f"https://{HOST}", headers={"accept": "text/html"}, follow_redirects=False)
    client.get("/sign-in")
    from tutelage.web.visitors import csrf_of

    csrf = csrf_of(client.cookies["__Host-tutelage-visit"])
    answer = client.post("/sign-in", data={"person": "annotator", "password": PASSWORD, "csrf": csrf}, headers={"origin": f"https://{HOST}"})
    assert answer.headers["set-cookie"].startswith("__Host-tutelage-session=") and "Secure" in answer.headers["set-cookie"]


def test_a_password_is_kept_as_argon2id_and_nobody_has_a_default_one() -> None:
    kept = hash_password(PASSWORD)
    assert kept.startswith("$argon2id$") and PASSWORD not in kept
    assert check_password(PASSWORD, kept) and not check_password(PASSWORD + "x", kept)
    assert not check_password("\0nobody", None) and not check_password("", None) and not check_password(PASSWORD, "nonsense")
    with pytest.raises(UsageError, match="10 to 200"):
        hash_password("short")


def test_an_address_that_others_reach_needs_tls_or_a_proxy() -> None:
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        check_address(host, has_tls=False, behind_proxy=False)
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org", "127.0.0.1.example.org"):
        with pytest.raises(UsageError, match="--tls-cert"):
            check_address(host, has_tls=False, behind_proxy=False)
        check_address(host, has_tls=True, behind_proxy=False)
        check_address(host, has_tls=False, behind_proxy=True)


def test_alone_on_this_machine_the_server_has_its_own_names_only() -> None:
    assert "127.0.0.1" in hosts_of("127.0.0.1", "", False) and "evil.example" not in hosts_of("127.0.0.1", "", False)
    assert hosts_of("0.0.0.0", "", True) == ()
    assert hosts_of("127.0.0.1", "https://studio.example.org", True)[0] == "studio.example.org"
    with pytest.raises(UsageError, match="public-url"):
        hosts_of("127.0.0.1", "studio", True)


def test_an_api_key_needs_no_token_and_a_revoked_one_opens_nothing(app: FastAPI, store: Store) -> None:
    key, row = store.access.make_api_key("annotator", "robot", time.time())
    client = TestClient(app, base_url=ORIGIN)
    headers = {"authorization": f"Bearer {key}"}
    body = {"person": "annotator", "entries": [{"op": "skip", "key": "k" * 16, "task": "none"}]}
    assert client.post("/api/outbox", json=body, headers=headers).json()["results"][0]["status"] == "refused"
    store.access.revoke_api_key(row.id, "annotator", time.time())
    assert client.post("/api/outbox", json=body, headers=headers).status_code == 401
    assert key not in str(list(store.audit.lines()))


def test_a_bucket_empties_and_fills_and_forgets() -> None:
    now = 0.0
    limit = RateLimit(burst=2, per_minute=60, max_keys=2, clock=lambda: now)
    assert [limit.take("a"), limit.take("a")] == [0.0, 0.0]
    assert limit.take("a") == pytest.approx(1.0)
    assert limit.take("b") == 0.0
    now = 1.0
    assert limit.take("a") == 0.0 and limit.take("a") > 0
    limit.forgive("a")
    assert limit.take("a") == 0.0
    limit.take("c"), limit.take("d")
    assert len(limit._left) == 2
