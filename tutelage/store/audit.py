"""`Audit`: what was done, by whom, in lines that each carry the hash of the one before.

Whoever changes or takes out a line breaks every hash behind it; whoever cuts off the end leaves a head that differs from
the one last written down elsewhere (`head`). A line holds ids and words of the program, never what people wrote, so
that erasing a person's texts does not break the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, text

from tutelage.lineage import canonical_json
from tutelage.store.database import Database
from tutelage.store.schema_accounts import audit

FIRST = "0" * 64
_LOCK = 0x54757466          # PostgreSQL's advisory lock of whoever writes the next line; always taken last


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    number: int                # 1, 2, 3 …
    at: float                  # seconds since 1970 (UTC)
    actor: str                 # a person's id, "" where nobody had come in
    action: str                # campaign.create, session.begin …
    subjects: tuple[str, ...]  # ids of what it was done to
    previous: str
    hash: str


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, now: float, actor: str | None, action: str, subjects: Sequence[str] = ()) -> None:
        """One more line. What this room does itself (roles, campaigns, links …) it writes down itself."""
        with self._database.sharing() as connection:
            write_line(connection, now, actor, action, subjects)

    def lines(self, newest_first: bool = False, limit: int | None = None) -> Iterator[Line]:
        query = select(audit).order_by(audit.c.number.desc() if newest_first else audit.c.number).limit(limit)
        with self._database.reading() as connection:
            for row in connection.execution_options(yield_per=500).execute(query).mappings():
                yield Line(**{**row, "subjects": tuple(json.loads(row["subjects"]))})

    def head(self) -> str:
        """Hash of the last line: keep it elsewhere, and a shortened chain shows."""
        return next((line.hash for line in self.lines(newest_first=True, limit=1)), FIRST)

    def verify(self, head: str | None = None) -> list[str]:
        """What is wrong with the chain, in words; empty when all is well. `head` is one that was written down before."""
        previous, expected, seen = FIRST, 1, head in (None, FIRST)
        for line in self.lines():
            content = _hash(line.number, line.at, line.actor, line.action, canonical_json(list(line.subjects)), line.previous)
            if line.number != expected:
                return [f"line {expected} is missing: the next one is {line.number}."]
            if line.previous != previous or line.hash != content:
                return [f"line {line.number} is not what was written: its hash or the one before it does not fit."]
            previous, expected, seen = line.hash, expected + 1, seen or line.hash == head
        return [] if seen else [f"the line whose hash was {head} is gone: the chain was cut or begun anew."]


def write_line(connection: Connection, now: float, actor: str | None, action: str, subjects: Sequence[str]) -> None:
    """Inside the transaction of what is done, so that both stand or neither."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = connection.execute(select(audit.c.number, audit.c.hash).order_by(audit.c.number.desc()).limit(1)).first()
    number, previous = (last.number + 1, last.hash) if last else (1, FIRST)
    row = {"number": number, "at": float(now), "actor": actor or "", "action": action,
           "subjects": canonical_json(list(subjects)), "previous": previous}
    connection.execute(insert(audit), [{**row, "hash": _hash(*row.values())}])


def _hash(*content: object) -> str:
    """number, at, actor, action, subjects, previous."""
    return hashlib.sha256(canonical_json(list(content)).encode("utf-8", "surrogatepass")).hexdigest()
