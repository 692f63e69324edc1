"""The file itself: made and upgraded from nothing, append-only whoever opens it, and honest about what is wrong."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from store_records import a_judgment, a_sample

from tutelage.errors import StoreError
from tutelage.store import Store, schema


@pytest.fixture
def place(path: Path) -> Path:
    """Files only, here."""
    return path


def test_a_new_file_is_what_the_schema_says(path: Path) -> None:
    with Store.open(path) as store, store._reader.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True, "compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION


def test_the_newest_migration_is_the_one_the_schema_names() -> None:
    files = (Path(schema.__file__).parent / "migrations" / "versions").glob("r*.py")
    assert max(file.name[1:5] for file in files) == schema.REVISION


def test_a_half_made_file_is_finished_and_opening_again_changes_nothing(path: Path) -> None:
    path.touch()                                    # what a killed process may leave: a file with nothing in it
    with Store.open(path) as store:
        store.add_samples([a_sample("s1")])
    before = path.read_bytes()
    for _ in range(2):
        with Store.open(path) as store:
            assert [sample.id for sample in store.samples()] == ["s1"]
    assert path.read_bytes() == before


def test_the_settings_that_keep_answers_safe_are_on(store: Store, path: Path) -> None:
    with store._writing() as connection:
        settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                    for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")}
    assert settings == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 15_000}


def test_a_writer_holds_the_file_from_its_first_word(store: Store, path: Path) -> None:
    with store._writing(), pytest.raises(sqlite3.OperationalError, match="locked"), \
            sqlite3.connect(path, timeout=0, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
    with store._reading() as connection, sqlite3.connect(path, timeout=0, isolation_level=None) as other:
        connection.exec_driver_sql("SELECT count(*) FROM samples")
        other.execute("BEGIN IMMEDIATE")            # a reader is in nobody's way
        other.execute("ROLLBACK")


@pytest.mark.parametrize("statement", [
    "UPDATE samples SET text = 'other' WHERE id = 's1'",
    "DELETE FROM samples WHERE id = 's1'",
    "UPDATE judgments SET answer = '{}'",
    "DELETE FROM judgments",
    "DELETE FROM judgment_samples",
    "UPDATE judgment_samples SET position = 1 - position",
    "UPDATE prompts SET body = '{}'",
    "DELETE FROM consents",
    "INSERT OR REPLACE INTO samples SELECT id, prompt_hash, prompt_id, policy, 'other', body, hash FROM samples",
    "INSERT OR REPLACE INTO judgments SELECT id, kind, person_id, annotator, prompt_hash, prompt_id, '{}', guideline, "
    "supersedes, consent_version, idempotency_key, hash FROM judgments",
    "INSERT OR REPLACE INTO judgments SELECT 'new', kind, person_id, annotator, prompt_hash, prompt_id, '{}', "
    "guideline, supersedes, consent_version, idempotency_key, hash FROM judgments",
])
def test_nobody_changes_what_was_said_not_even_from_outside(store: Store, path: Path, statement: str) -> None:
    store.add_judgments([a_judgment("j1")])
    before = store.digest(), list(store.samples())
    with sqlite3.connect(path) as raw, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        raw.execute(statement)
    with store._writing() as connection, pytest.raises(Exception, match="append-only"):
        connection.exec_driver_sql(statement)
    assert (store.digest(), list(store.samples())) == before


def test_a_row_changed_behind_the_triggers_is_found(store: Store, path: Path) -> None:
    store.add_judgments([a_judgment("j1")])
    with sqlite3.connect(path) as raw:
        raw.execute("DROP TRIGGER judgments_no_update")
        raw.execute("UPDATE judgments SET answer = '{\"winner\":\"tie\"}'")
    with pytest.raises(StoreError, match="was changed after it was written"):
        store.digest()


def test_what_is_no_store_is_left_as_it_was(tmp_path: Path) -> None:
    text, stranger = tmp_path / "notes.db", tmp_path / "music.db"
    text.write_text("these are notes, and long enough to have a header's length " * 4)
    with sqlite3.connect(stranger) as raw:
        raw.execute("CREATE TABLE songs (id INTEGER)")
    for path, words in [(text, "is not a database"), (stranger, "not a feedback store"),
                        (tmp_path / "absent" / "f.db", "cannot be opened"), (tmp_path, "cannot be opened")]:
        before = path.read_bytes() if path.is_file() else b""
        with pytest.raises(StoreError, match=words):
            Store.open(path)
        assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_newer_schema_is_refused_and_left_alone(store: Store, path: Path) -> None:
    store.close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer version of Tutelage: its schema is 9999"):
        Store.open(path)


def test_a_damaged_file_says_so(store: Store, path: Path) -> None:
    store.add_samples([a_sample(f"m{i}", text="x" * 2_000) for i in range(200)])
    store.close()
    content = bytearray(path.read_bytes())
    content[8_192:] = b"\xff" * (len(content) - 8_192)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged"), Store.open(path) as opened:
        list(opened.samples())


def test_a_lock_held_too_long_is_an_error_in_words(path: Path) -> None:
    with Store.open(path, busy_timeout_s=0.1) as store:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="is locked"):
            store.add_samples([a_sample("s1")])
        holder.execute("ROLLBACK")
        holder.close()
        assert store.add_samples([a_sample("s1")]) == 1


_READ_ONLY = """
import os, sys
from pathlib import Path
from store_records import a_sample
from tutelage.errors import StoreError
from tutelage.store import Store
if os.geteuid() == 0:
    os.setuid(65534)                      # the superuser may write to what is read-only
path = Path(sys.argv[1])
with Store.open(path) as store:
    print([sample.id for sample in store.samples()])
    try:
        store.add_samples([a_sample("s2")])
    except StoreError as error:
        print(error)
"""


def test_a_read_only_file_can_be_read_and_says_why_it_cannot_be_written() -> None:
    with tempfile.TemporaryDirectory() as folder:      # pytest's own is closed to other users
        path = Path(folder, "feedback.db")
        with Store.open(path) as store:
            store.add_samples([a_sample("s1")])
        os.chmod(path, 0o444)
        os.chmod(folder, 0o777)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        words = [sys.executable, "-c", _READ_ONLY, str(path)]
        ran = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert ran.stdout.startswith("['s1']"), ran.stderr
    assert "is read-only" in ran.stdout
