"""SQLite as the engine: the pragmas, the transactions, and its errors in words.

The driver's own transactions lose updates: it begins late, and a reader that turns writer meets "database is locked"
whatever the timeout. So its BEGIN is switched off and ours is sent (SQLAlchemy's documented recipe), at once and for
writing (BEGIN IMMEDIATE) wherever something will be written.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from tutelage.errors import StoreError, StoreUnavailable
from tutelage.store import schema
from tutelage.store.database import Database, Flavour

NAME = "sqlite"


def connect(path: Path, busy_timeout_s: float) -> Database:
    """Engines for the file at `path`, which is not looked at yet."""
    reader = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_timeout_s})
    event.listen(reader, "connect", _on_connect)
    event.listen(reader, "begin", _on_begin)
    writer = reader.execution_options(begin="IMMEDIATE")       # shares the pool and the events
    flavour: Flavour = sys.modules[__name__]                   # type: ignore[assignment]
    return Database(str(path), flavour, reader, writer, busy_timeout_s)


def alone(_: Connection) -> None:
    """BEGIN IMMEDIATE has seen to it."""


def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None                       # the driver sends no BEGIN of its own
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")         # an answer that was acknowledged survives a power cut
    connection.execute("PRAGMA recursive_triggers = ON")    # REPLACE fires the delete triggers too


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


def revision(engine: Engine, where: str) -> str | None:
    """The migration the file stands at; None if it is empty. Writes nothing: a stranger's file stays as it was."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        if not cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # type: ignore[func-returns-value]
            return None
        if cursor.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:  # type: ignore[func-returns-value]
            raise StoreError(f"{where} is a SQLite database, but not a feedback store of Tutelage. Name another file.")
        return str(cursor.execute("SELECT version_num FROM alembic_version").fetchone()[0])  # type: ignore[func-returns-value]


def prepare(database: Database) -> None:
    """A copy of a file that is about to be upgraded, and WAL."""
    if revision(database.reader, database.where) is not None:
        _keep_copy(database, f"{database.where}.before-{schema.REVISION}")
    _use_wal(database)


def _use_wal(database: Database) -> None:
    """WAL: readers and one writer at a time without waiting for each other. The file remembers it."""
    give_up = time.monotonic() + database.busy_timeout_s
    with closing(database.reader.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:       # SQLite asks nobody to wait here, so we do
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)


def _keep_copy(database: Database, copy: str) -> None:
    """The file as it stands, beside it: an upgrade is whole or not at all, but a copy lets people go back."""
    if os.path.exists(copy) or not os.access(os.path.dirname(os.path.abspath(copy)), os.W_OK):
        return
    draft = f"{copy}.{os.getpid()}.draft"
    with closing(database.reader.raw_connection()) as connection:
        connection.cursor().execute("VACUUM INTO ?", (draft,))
    os.replace(draft, copy)


def in_words(error: BaseException | None, where: str) -> StoreError | None:
    code = getattr(error, "sqlite_errorcode", 0)
    words = {
        sqlite3.SQLITE_NOTADB: f"{where} is not a database. Name another file, or restore it from a copy.",
        sqlite3.SQLITE_CORRUPT: f"{where} is damaged: {error}. Restore it from a copy.",
        sqlite3.SQLITE_BUSY: f"{where} is locked: another process has been writing to it for too long. Try again when "
                             "it is done; nothing of this was kept.",
        sqlite3.SQLITE_READONLY: f"{where} is read-only. Make the file and its directory writable, or work on a copy.",
        sqlite3.SQLITE_CANTOPEN: f"{where} cannot be opened. Its directory must exist and be writable.",
        sqlite3.SQLITE_FULL: f"the disk that holds {where} is full. Nothing of this was kept.",
        sqlite3.SQLITE_IOERR: f"{where} cannot be read or written: {error}. Check the disk; nothing of this was kept.",
    }
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return StoreError(f"{where} refused to change what was said: {error}. A changed mind is a new "
                          "judgment that supersedes.")
    if (code & 0xFF) in words:                       # the low byte is the error, the rest its variant
        return StoreUnavailable(words[code & 0xFF])
    return None
