"""PostgreSQL as the engine, for teams: `postgresql://person@host/database`, with the extra `tutelage[pg]`.

Reading is REPEATABLE READ, one state however long it takes. Writing is READ COMMITTED behind a lock that the
transaction holds until its end (`alone`), or behind locks of the rows that matter.
"""

from __future__ import annotations

import sys

from sqlalchemy import URL, Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tutelage.errors import StoreError, StoreUnavailable
from tutelage.store import schema
from tutelage.store.database import Database, Flavour

NAME = "postgresql"
_LOCK = 0x54757465                     # "Tute": the advisory lock of whoever writes alone
_MANY = {"pool_size": 10, "max_overflow": 20, "pool_timeout": 30, "pool_pre_ping": True}      # of 100 that a server takes


def connect(url: str, busy_timeout_s: float) -> Database:
    """Engines for the database at `url`, which is not looked at yet."""
    parsed = _parse(url)
    where = parsed.set(drivername="postgresql").render_as_string(hide_password=True)
    limit = f"-c lock_timeout={int(busy_timeout_s * 1000)}"
    try:
        engine = create_engine(parsed, connect_args={"options": limit, "connect_timeout": 10}, **_MANY)
    except ModuleNotFoundError:
        raise StoreError(f"{where} needs the library psycopg. Install it: pip install 'tutelage[pg]'") from None
    reader = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    writer = engine.execution_options(isolation_level="READ COMMITTED")
    flavour: Flavour = sys.modules[__name__]                   # type: ignore[assignment]
    return Database(where, flavour, reader, writer, busy_timeout_s)


def prepare(_: Database) -> None:
    """Nothing to set."""


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError("the store's URL cannot be read. Wanted postgresql://person:password@host/database.") from None
    if parsed.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise StoreError(f"a store cannot be at {parsed.drivername}://. Wanted postgresql://person@host/database, or a "
                         "file's path for SQLite.")
    return parsed.set(drivername="postgresql+psycopg")


def alone(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})


def revision(engine: Engine, where: str) -> str | None:
    """The migration the database stands at; None if it holds no table. Writes nothing."""
    with engine.connect() as connection:
        names = set(connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")).scalars())
        if not names:
            return None
        comment = connection.execute(text("SELECT obj_description(to_regclass('judgments'), 'pg_class')")).scalar()
        if "alembic_version" not in names or comment != schema.APPLICATION_COMMENT:
            raise StoreError(f"{where} holds tables of something else. Name an empty database, or make one with createdb.")
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def in_words(error: BaseException | None, where: str) -> StoreError | None:
    import psycopg

    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate or ""
    said = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if "is append-only" in said:
        return StoreError(f"{where} refused to change what was said: {said}. A changed mind is a new judgment that "
                          "supersedes.")
    if "NUL" in said:
        return StoreError(f"a text for {where} holds a NUL character, which PostgreSQL cannot keep. Nothing was kept.")
    if state in ("55P03", "40P01"):                 # lock_timeout, deadlock
        return StoreUnavailable(f"{where} is locked: others have been writing to it for too long. Try again; nothing of this "
                          "was kept.")
    if state in ("42501", "25006"):
        return StoreUnavailable(f"{where} is read-only for this user: {said}. Grant it the right to write.")
    if state.startswith("53"):
        return StoreUnavailable(f"{where} has run out of something: {said}. Nothing of this was kept.")
    if isinstance(error, psycopg.OperationalError):
        return StoreUnavailable(f"{where} cannot be reached: {said}. Check that the server runs and the URL is right; nothing "
                          "of this was kept.")
    return None
