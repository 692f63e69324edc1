"""`Accounts`: people with roles, what they are able to, what they like, and their passwords.

A password is kept as the argon2id hash that the web room makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from tutelage.errors import StoreError
from tutelage.store import rows
from tutelage.store.audit import write_line
from tutelage.store.database import Database
from tutelage.store.people import find_person
from tutelage.store.schema import people
from tutelage.store.schema_accounts import abilities, passwords, person_settings, roles, sessions

Role = Literal["annotator", "reviewer", "lead", "admin"]
ROLES: tuple[Role, ...] = ("annotator", "reviewer", "lead", "admin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    person: str
    name: str
    roles: tuple[Role, ...]
    tags: tuple[str, ...]
    languages: tuple[str, ...]
    has_password: bool


class Accounts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def is_empty(self) -> bool:
        """True until somebody has a role: the first run, which prints a set-up link."""
        with self._database.reading() as connection:
            return connection.execute(select(roles).limit(1)).first() is None

    def set_roles(self, person: str, wanted: Collection[Role], by: str | None, now: float) -> None:
        """The person has these roles and no other. The last admin cannot be taken away.

        Raises:
            StoreError: for an unknown person or role, or if no admin would be left.
        """
        check_roles(wanted)
        with self._database.writing() as connection:
            find_person(connection, person)
            before = roles_of(connection, person)
            if before == frozenset(wanted):
                return
            admins = set(connection.execute(select(roles.c.person_id).where(roles.c.role == "admin")).scalars())
            if admins == {person} and "admin" not in wanted:
                raise StoreError(f"{person!r} is the only admin. Make somebody else one first.")
            connection.execute(delete(roles).where(roles.c.person_id == person))
            if wanted:
                connection.execute(insert(roles), [{"person_id": person, "role": role, "granted_by": by, "granted_at": now}
                                                   for role in sorted(set(wanted))])
            else:
                connection.execute(delete(sessions).where(sessions.c.person_id == person))
            for word, some in (("grant", frozenset(wanted) - before), ("revoke", before - frozenset(wanted))):
                for role in sorted(some):
                    write_line(connection, now, by, f"role.{word}.{role}", [person])

    def roles(self, person: str) -> frozenset[Role]:
        with self._database.reading() as connection:
            return roles_of(connection, person)

    def set_abilities(self, person: str, tags: Collection[str] = (), languages: Collection[str] = ()) -> None:
        """What the person is expert in, and which languages they read. A person who names no language may get any."""
        with self._database.writing() as connection:
            find_person(connection, person)
            connection.execute(delete(abilities).where(abilities.c.person_id == person))
            new = [{"person_id": person, "kind": kind, "value": value}
                   for kind, values in (("tag", tags), ("language", languages)) for value in sorted(set(values))]
            if new:
                connection.execute(insert(abilities), new)

    def all(self) -> list[Account]:
        """Everybody who has a role, by id."""
        with self._database.reading() as connection:
            holders = connection.execute(select(people).where(people.c.id.in_(select(roles.c.person_id)))
                                         .order_by(people.c.id)).all()
            return [_account(connection, row.id, row.name) for row in holders]

    def get(self, person: str) -> Account:
        """Raises StoreError for an unknown person."""
        with self._database.reading() as connection:
            return _account(connection, person, find_person(connection, person)["name"])

    def set_settings(self, person: str, settings: Mapping[str, Any]) -> None:
        """Replace what the person likes: language, keys, theme …"""
        body = rows.plain_json(settings, "settings")
        with self._database.writing() as connection:
            find_person(connection, person)
            connection.execute(delete(person_settings).where(person_settings.c.person_id == person))
            connection.execute(insert(person_settings), [{"person_id": person, "body": body}])

    def settings(self, person: str) -> dict[str, Any]:
        with self._database.reading() as connection:
            return settings_of(connection, person)

    def set_password(self, person: str, hashed: str, by: str | None, now: float) -> None:
        """Keep the argon2id hash and end the person's sessions. Anything that is not such a hash is refused."""
        if not hashed.startswith("$argon2id$"):
            raise StoreError("a password is kept as an argon2id hash and nothing else; this is none.")
        with self._database.writing() as connection:
            find_person(connection, person)
            connection.execute(delete(passwords).where(passwords.c.person_id == person))
            connection.execute(delete(sessions).where(sessions.c.person_id == person))
            connection.execute(insert(passwords), [{"person_id": person, "hash": hashed, "set_at": now}])
            write_line(connection, now, by, "password.set", [person])

    def password_hash(self, person: str) -> str | None:
        """None for somebody who has none, or who is unknown: let the answer take as long either way."""
        with self._database.reading() as connection:
            return connection.execute(select(passwords.c.hash).where(passwords.c.person_id == person)).scalar()


def roles_of(connection: Connection, person: str) -> frozenset[Role]:
    return frozenset(connection.execute(select(roles.c.role).where(roles.c.person_id == person)).scalars())


def settings_of(connection: Connection, person: str) -> dict[str, Any]:
    body = connection.execute(select(person_settings.c.body).where(person_settings.c.person_id == person)).scalar()
    return {} if body is None else dict(json.loads(body))


def _account(connection: Connection, person: str, name: str) -> Account:
    able = connection.execute(select(abilities).where(abilities.c.person_id == person).order_by(abilities.c.value)).all()
    known = connection.execute(select(passwords.c.person_id).where(passwords.c.person_id == person)).first()
    return Account(person=person, name=name, roles=tuple(role for role in ROLES if role in roles_of(connection, person)),
                   tags=tuple(row.value for row in able if row.kind == "tag"),
                   languages=tuple(row.value for row in able if row.kind == "language"), has_password=known is not None)


def check_roles(wanted: Collection[Role]) -> None:
    if unknown := sorted(set(wanted) - set(ROLES)):
        raise StoreError(f"there is no role {unknown[0]!r}; wanted some of {', '.join(ROLES)}.")


def make_known(connection: Connection, person: str, name: str, wanted: Collection[Role], now: float) -> None:
    if not person or connection.execute(select(people.c.id).where(people.c.id == person)).first():
        raise StoreError(f"the name {person!r} is empty or taken. Choose another.")
    check_roles(wanted)
    connection.execute(insert(people), [{"id": person, "annotator": "human", "name": name, "created_by": "studio"}])
    for role in sorted(set(wanted)):
        connection.execute(insert(roles), [{"person_id": person, "role": role, "granted_by": None, "granted_at": now}])
        write_line(connection, now, person, f"role.grant.{role}", [person])
