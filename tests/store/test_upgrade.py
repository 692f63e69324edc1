"""A store that people have filled is brought to today's schema, on both engines: nothing of theirs changes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from campaign_records import a_campaign, answer_all
from sqlalchemy import text
from store_records import a_judgment, a_sample

from tutelage.errors import StoreError
from tutelage.store import Store, opening, postgresql, schema, sqlite
from tutelage.store.database import Database

OLD_TABLES = ("people", "consents", "prompts", "samples", "judgments", "judgment_samples")


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Callable[[], Path | str]:
    """Places with nothing in them, not even a schema."""
    if engine == "postgresql":
        return request.getfixturevalue("postgres").new_database
    return lambda: tmp_path / "feedback.db"


def connect(place: Path | str) -> Database:
    return postgresql.connect(place, 15.0) if isinstance(place, str) else sqlite.connect(place, 15.0)


def rows_of(database: Database) -> dict[str, list[object]]:
    with database.reading() as connection:
        return {table: sorted(map(tuple, connection.execute(text(f"SELECT * FROM {table}")))) for table in OLD_TABLES}


def fill(database: Database) -> None:
    store = Store(database)
    store.add_person("ada", "human", "Ada", consent_version="1", consent_text="I agree.", language="en")
    store.add_samples([a_sample("s1", text="第一行\n\0 “quoted” 🙂 \ue000"), a_sample("s2")])
    store.add_judgments([a_judgment("j1"), a_judgment("j2", answer={"winner": "tie"}, supersedes="j1")])


def test_a_filled_store_of_the_first_schema_comes_through_an_upgrade_unchanged(place: Path | str) -> None:
    old = connect(place)
    opening.upgrade(old, "0001")
    fill(old)
    before = rows_of(old)
    assert old.flavour.revision(old.reader, old.where) == "0001" and len(before["judgments"]) == 2
    old.close()
    with Store.open(place) as store:
        assert rows_of(store._database) == before
        assert [judgment.id for judgment in store.judgments()] == ["j2"]
        assert len(answer_all(store, "ada", a_campaign(store))) == 6          # and what is new works beside it
        digest = store.digest()
    with Store.open(place) as store:
        assert store.digest() == digest


def test_a_file_is_copied_before_it_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "feedback.db"
    old = sqlite.connect(path, 15.0)
    opening.upgrade(old, "0001")
    fill(old)
    before = rows_of(old)
    old.close()
    Store.open(path).close()
    copy = sqlite.connect(tmp_path / f"feedback.db.before-{schema.REVISION}", 15.0)
    assert copy.flavour.revision(copy.reader, copy.where) == "0001" and rows_of(copy) == before
    copy.close()
    assert {file.name for file in tmp_path.glob("*before*")} == {f"feedback.db.before-{schema.REVISION}"}


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(place: Path | str) -> None:
    old = connect(place)
    opening.upgrade(old, "0001")
    with old.writing() as connection:
        connection.execute(text("CREATE TABLE audit (mine INTEGER)"))          # the last table the upgrade makes
    with pytest.raises(Exception, match="already exists"):
        opening.upgrade(old)
    assert old.flavour.revision(old.reader, old.where) == "0001"
    with old.reading() as connection, pytest.raises(Exception, match="campaigns"):
        connection.execute(text("SELECT * FROM campaigns"))
    old.close()


def test_migrations_make_what_the_schema_says(place: Path | str) -> None:
    with Store.open(place) as store, store._reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION


def test_a_store_of_a_newer_schema_is_refused(place: Path | str) -> None:
    with Store.open(place) as store, store._writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match="its schema is 9999"):
        Store.open(place)


def test_every_table_that_is_to_stay_is_guarded(place: Path | str) -> None:
    tables = set(schema.metadata.tables)
    changing = {"people", "campaigns", "items", "tasks", "roles", "abilities", "person_settings", "passwords", "sessions",
                "links", "api_keys"}
    assert tables - changing == set(schema.APPEND_ONLY)
    with Store.open(place) as store:
        if isinstance(place, str):
            query = "SELECT c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname LIKE '%_no_change'"
        else:
            query = "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name LIKE '%_no_update'"
        with store._reading() as connection:
            assert set(connection.execute(text(query)).scalars()) == set(schema.APPEND_ONLY)
