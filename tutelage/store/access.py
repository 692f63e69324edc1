"""`Access`: sessions, one-time links and API keys. A secret is handed out once; what stays here is its sha256.

    token = store.access.make_link("invitation", {"roles": ["annotator"]}, by="lea", now=now, lasts_s=86400)
    store.access.use_link(token, "invitation", "ada", now, name="Ada", roles=["annotator"])      # once, or StoreError
    token = store.access.begin_session("ada", now, lasts_s=43200)
    visitor = store.access.visitor(token, now)                                   # None where it has ended
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select, update

from tutelage.errors import StoreError
from tutelage.messages import record_id
from tutelage.store import rows
from tutelage.store.accounts import Role, make_known, roles_of, settings_of
from tutelage.store.audit import write_line
from tutelage.store.database import Database
from tutelage.store.people import find_person
from tutelage.store.schema_accounts import api_keys, links, sessions

LinkPurpose = Literal["setup", "invitation", "password"]
SEEN_EVERY_S = 60.0        # how exact `last_seen` and `last_used` are: not every request is a write


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who is asking, and as what they may."""

    person: str
    name: str
    roles: frozenset[Role]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    id: str
    person: str
    name: str
    created_at: float
    last_used: float | None
    revoked_at: float | None


class Access:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin_session(self, person: str, now: float, lasts_s: float) -> str:
        """A new session's token, for the cookie. The store keeps its hash only."""
        token = secrets.token_urlsafe(32)
        with self._database.writing() as connection:
            find_person(connection, person)
            connection.execute(delete(sessions).where(sessions.c.expires < now))
            connection.execute(insert(sessions), [{"hash": _sha256(token), "person_id": person, "created_at": now,
                                                   "expires": now + lasts_s, "last_seen": now}])
            write_line(connection, now, person, "session.begin", [])
        return token

    def visitor(self, token: str, now: float) -> Visitor | None:
        """Who this session's token belongs to; None where it is unknown or has ended."""
        query = select(sessions).where(sessions.c.hash == _sha256(token), sessions.c.expires >= now)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            found = _visitor(connection, row.person_id)
        if now - row.last_seen >= SEEN_EVERY_S:
            with self._database.sharing() as connection:
                connection.execute(update(sessions).where(sessions.c.hash == row.hash).values(last_seen=now))
        return found

    def end_session(self, token: str, now: float) -> None:
        with self._database.sharing() as connection:
            gone = delete(sessions).where(sessions.c.hash == _sha256(token)).returning(sessions.c.person_id)
            if person := connection.execute(gone).scalar():
                write_line(connection, now, person, "session.end", [])

    def make_link(self, purpose: LinkPurpose, body: Mapping[str, Any], by: str | None, now: float, lasts_s: float) -> str:
        """The token of a link that works once, until it expires. A new set-up link takes the place of the one before."""
        token = secrets.token_urlsafe(32)
        row: dict[str, Any] = {
            "hash": _sha256(token), "purpose": purpose, "body": rows.plain_json(body, "what a link says"),
            "created_by": by, "created_at": now, "expires": now + lasts_s, "used_by": None, "used_at": None}
        with self._database.writing() as connection:
            if purpose == "setup":
                still_open = (links.c.purpose == "setup", links.c.used_at.is_(None), links.c.expires > now)
                connection.execute(update(links).where(*still_open).values(expires=now))
            connection.execute(insert(links), [row])
            write_line(connection, now, by, f"link.{purpose}", [row["hash"][:16]])
        return token

    def link(self, token: str, purpose: LinkPurpose, now: float) -> dict[str, Any]:
        """What a link that still works says. Raises StoreError if it was used, has expired or never was: not which."""
        with self._database.reading() as connection:
            return _open_link(connection, token, purpose, now)

    def use_link(self, token: str, purpose: LinkPurpose, person: str, now: float, name: str | None = None,
                 roles: Collection[Role] = ()) -> dict[str, Any]:
        """Use the link up, for good, and in the same transaction make `person` known under `name` with `roles`.

        Returns what the link says.

        Raises:
            StoreError: if it does not work any more, or the person's id is taken.
        """
        with self._database.writing() as connection:
            body = _open_link(connection, token, purpose, now)
            if name is not None:
                make_known(connection, person, name, roles, now)
            find_person(connection, person)
            connection.execute(update(links).where(links.c.hash == _sha256(token)).values(used_by=person, used_at=now))
            write_line(connection, now, person, f"link.used.{purpose}", [_sha256(token)[:16]])
        return body

    def make_api_key(self, person: str, name: str, now: float) -> tuple[str, ApiKey]:
        """The key, which is shown this once, and its row."""
        key = f"tutelage_{secrets.token_urlsafe(32)}"
        row: dict[str, Any] = {"id": record_id("api key", _sha256(key)), "person_id": person, "name": name, "created_at": now,
               "last_used": None, "revoked_at": None}
        with self._database.writing() as connection:
            find_person(connection, person)
            connection.execute(insert(api_keys), [{**row, "hash": _sha256(key)}])
            write_line(connection, now, person, "api key.make", [row["id"]])
        return key, _api_key(row)

    def api_keys(self, person: str) -> list[ApiKey]:
        query = select(api_keys).where(api_keys.c.person_id == person).order_by(api_keys.c.created_at, api_keys.c.id)
        with self._database.reading() as connection:
            return [_api_key(dict(row)) for row in connection.execute(query).mappings()]

    def revoke_api_key(self, id: str, person: str, now: float) -> None:
        """End the person's key. Raises StoreError if they have none of this id."""
        ended = update(api_keys).where(api_keys.c.id == id, api_keys.c.person_id == person).values(revoked_at=now)
        with self._database.writing() as connection:
            if not connection.execute(ended).rowcount:
                raise StoreError(f"{person!r} has no API key {id!r}.")
            write_line(connection, now, person, "api key.revoke", [id])

    def visitor_by_key(self, key: str, now: float) -> Visitor | None:
        """Who an API key belongs to; None where it is unknown or revoked."""
        query = select(api_keys).where(api_keys.c.hash == _sha256(key), api_keys.c.revoked_at.is_(None))
        with self._database.reading() as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            found = _visitor(connection, row.person_id)
        if row.last_used is None or now - row.last_used >= SEEN_EVERY_S:
            with self._database.sharing() as connection:
                connection.execute(update(api_keys).where(api_keys.c.id == row.id).values(last_used=now))
        return found


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _visitor(connection: Connection, person: str) -> Visitor:
    return Visitor(person=person, name=find_person(connection, person)["name"], roles=roles_of(connection, person),
                   settings=settings_of(connection, person))


def _open_link(connection: Connection, token: str, purpose: str, now: float) -> dict[str, Any]:
    query = select(links.c.body).where(links.c.hash == _sha256(token), links.c.purpose == purpose,
                                       links.c.used_at.is_(None), links.c.expires > now)
    body = connection.execute(query).scalar()
    if body is None:
        raise StoreError("this link does not work, or not any more. Ask for a new one.")
    return dict(json.loads(body))


def _api_key(row: Mapping[str, Any]) -> ApiKey:
    return ApiKey(**{name: row["person_id" if name == "person" else name] for name in ApiKey.__dataclass_fields__})
