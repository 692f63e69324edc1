"""Opening a store, wherever it is: making it, or bringing it to the schema of this version of the code."""

from __future__ import annotations

from pathlib import Path

from tutelage.errors import StoreError
from tutelage.store import postgresql, schema, sqlite
from tutelage.store.database import BUSY_TIMEOUT_S, Database


def open_database(place: Path | str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Database:
    """The database at `place`: a SQLite file, or `postgresql://…`; made or upgraded as needed.

    Raises:
        StoreError: if it is no store of ours, was written by newer code, or cannot be read, made or reached.
    """
    if isinstance(place, str) and "://" in place:
        database = postgresql.connect(place, busy_timeout_s)
    else:
        database = sqlite.connect(Path(place), busy_timeout_s)
    try:
        with database.refusals():
            if database.flavour.revision(database.reader, database.where) != schema.REVISION:
                upgrade(database)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(database: Database, target: str = "head") -> None:
    """Bring it to `target` in one transaction. Another process doing the same is waited for.

    Raises:
        StoreError: if newer code wrote it; it is left as it is.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    revision = database.flavour.revision(database.reader, database.where)
    if revision is not None and revision not in known:
        raise StoreError(f"{database.where} was written by a newer version of Tutelage: its schema is {revision}, this "
                         f"code knows {schema.REVISION}. Upgrade Tutelage; the store was left as it is.")
    database.flavour.prepare(database)
    with database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, target)
