"""Opening a SQLite file as a store: the pragmas, the transactions, the upgrade, and errors in words.

The driver's own transactions lose updates: it begins late, and a reader that turns writer meets "database is locked"
whatever the timeout. So its BEGIN is switched off and ours is sent (SQLAlchemy's documented recipe), at once and for
writing (BEGIN IMMEDIATE) wherever something will be written.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from tutelage.errors import StoreError
from tutelage.store import schema

BUSY_TIMEOUT_S = 15.0      # 5 s proved too short with twenty writers


def open_engines(path: Path, busy_timeout_s: float) -> tuple[Engine, Engine]:
    """The file at `path`, made or upgraded as needed: an engine that reads and one that writes, on one pool.

    Raises:
        StoreError: if it is no database of ours, was written by newer code, or cannot be read or made.
    """
    reader = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_timeout_s})
    event.listen(reader, "connect", _on_connect)
    event.listen(reader, "begin", _on_begin)
    writer = reader.execution_options(begin="IMMEDIATE")       # shares the pool and the events
    try:
        with refusals(path):
            revision = _revision(reader, path)
            if revision != schema.REVISION:
                _use_wal(reader, busy_timeout_s)
                upgrade(writer, path)
    except BaseException:
        reader.dispose()
        raise
    return reader, writer


def _on_connect(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None                       # the driver sends no BEGIN of its own
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")         # an answer that was acknowledged survives a power cut
    connection.execute("PRAGMA recursive_triggers = ON")    # REPLACE fires the delete triggers too


def _on_begin(connection: Connection) -> None:
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")


def _revision(engine: Engine, path: Path) -> str | None:
    """The migration the file stands at; None if it is empty. Writes nothing: a stranger's file stays as it was."""
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        if not cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:  # type: ignore[func-returns-value]
            return None
        if cursor.execute("PRAGMA application_id").fetchone()[0] != schema.APPLICATION_ID:  # type: ignore[func-returns-value]
            raise StoreError(f"{path} is a SQLite database, but not a feedback store of Tutelage. Name another file.")
        return str(cursor.execute("SELECT version_num FROM alembic_version").fetchone()[0])  # type: ignore[func-returns-value]


def _use_wal(engine: Engine, timeout_s: float) -> None:
    """Readers and one writer at a time without waiting for each other. The file remembers it."""
    give_up = time.monotonic() + timeout_s
    with closing(engine.raw_connection()) as connection:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:       # SQLite asks nobody to wait here, so we do
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)


def upgrade(writer: Engine, path: Path) -> None:
    """Bring the file to `schema.REVISION` in one transaction. Another process doing the same is waited for."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = _revision(writer, path)
    if revision is not None and revision not in known:
        raise StoreError(f"{path} was written by a newer version of Tutelage: its schema is {revision}, this code "
                         f"knows {schema.REVISION}. Upgrade Tutelage; the file was left as it is.")
    with writer.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn what SQLite refuses into a `StoreError` that says what to do; anything else passes through."""
    try:
        yield
    except DBAPIError as error:
        raise (_in_words(error.orig, path) or error) from None
    except sqlite3.Error as error:
        raise (_in_words(error, path) or error) from None
    except UnicodeEncodeError as error:
        raise StoreError(f"a text for {path} is not valid Unicode: {error.reason} at {error.start}. Nothing was kept; "
                         "mend the text and send it again.") from None


def _in_words(error: BaseException | None, path: Path) -> StoreError | None:
    code = getattr(error, "sqlite_errorcode", 0)
    words = {
        sqlite3.SQLITE_NOTADB: f"{path} is not a database. Name another file, or restore it from a copy.",
        sqlite3.SQLITE_CORRUPT: f"{path} is damaged: {error}. Restore it from a copy.",
        sqlite3.SQLITE_BUSY: f"{path} is locked: another process has been writing to it for too long. Try again when "
                             "it is done; nothing of this was kept.",
        sqlite3.SQLITE_READONLY: f"{path} is read-only. Make the file and its directory writable, or work on a copy.",
        sqlite3.SQLITE_CANTOPEN: f"{path} cannot be opened. Its directory must exist and be writable.",
        sqlite3.SQLITE_FULL: f"the disk that holds {path} is full. Nothing of this was kept.",
        sqlite3.SQLITE_IOERR: f"{path} cannot be read or written: {error}. Check the disk; nothing of this was kept.",
    }
    if code == sqlite3.SQLITE_CONSTRAINT_TRIGGER:
        return StoreError(f"{path} refused to change what was said: {error}. A changed mind is a new "
                          "judgment that supersedes.")
    if (code & 0xFF) in words:                       # the low byte is the error, the rest its variant
        return StoreError(words[code & 0xFF])
    return None
