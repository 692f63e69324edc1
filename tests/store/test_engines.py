"""What is the same on both engines though they differ, and what PostgreSQL says when something is wrong."""

import os
import threading
from pathlib import Path

import pytest
from campaign_records import ANSWER, NOW, a_campaign, an_item, check
from postgres import NEEDED, Server, programs
from sqlalchemy import text
from store_records import a_judgment, a_sample

from tutelage.errors import ConfigError, StoreError
from tutelage.feedback.assignment import plan
from tutelage.project import Project
from tutelage.store import Store


def test_there_is_a_postgresql_to_try_the_store_on() -> None:
    if programs() is None and not os.environ.get("CI"):
        pytest.skip(NEEDED)
    assert programs() is not None, NEEDED


@pytest.mark.parametrize("statement", [
    "UPDATE samples SET text = 'other'", "DELETE FROM judgments", "UPDATE answers SET received_at = 0",
    "DELETE FROM audit", "UPDATE withdrawals SET withdrawn_at = 0", "DELETE FROM campaign_versions"])
def test_nobody_changes_what_was_said_with_any_statement(store: Store, statement: str) -> None:
    campaign = a_campaign(store, num_items=1)
    task = store.tasks.next("ada", campaign.id, 1, NOW, plan)[0]
    store.tasks.submit(task.id, "ada", ANSWER, "k", NOW)
    store.tasks.undo("ada", "k", NOW)
    before = store.digest()
    with pytest.raises(StoreError, match="append-only"), store._writing() as connection:
        connection.execute(text(statement))
    assert store.digest() == before


def test_ids_are_ordered_by_code_point(store: Store) -> None:
    names = ["Z", "a", "B", "é", "z-1", "z_1", "中", "🙂"]
    store.add_samples(a_sample(name) for name in names)
    assert [sample.id for sample in store.samples(names)] == sorted(names)


def test_a_failure_in_the_middle_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store._writing() as connection:
        connection.execute(text("INSERT INTO people VALUES ('x', 'human', 'X', '')"))
        raise ZeroDivisionError
    assert "x" not in {person.id for person in store.people()}


def test_many_at_once_are_never_given_more_than_there_is(place: Path | str) -> None:
    """Sixteen threads, four of them one person in four tabs; two of the store, as two processes would have it."""
    with Store.open(place) as one, Store.open(place) as two:
        campaign = a_campaign(one, overlap=2, items=[an_item(one, number) for number in range(12)])
        people = [f"p{number:02d}" for number in range(12)] + ["p00"] * 4
        for person in sorted(set(people)):
            one.add_person(person, "human", person)
        errors: list[Exception] = []

        def annotate(number: int, person: str) -> None:
            store = (one, two)[number % 2]
            try:
                while tasks := store.tasks.next(person, campaign.id, 2, NOW, plan):
                    for task in tasks:
                        store.tasks.submit(task.id, person, ANSWER, f"key-{task.id}", NOW)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=annotate, args=each) for each in enumerate(people)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        check(one)
        progress = one.progress.of_campaign(campaign.id)
        assert (progress.num_answered, progress.num_done, progress.num_late) == (24, 12, 0)
        assert len(list(one.judgments(current=False))) == 24


def test_audit_lines_written_at_once_make_one_chain(place: Path | str) -> None:
    with Store.open(place) as store:
        threads = [threading.Thread(target=lambda n=n: [store.audit.add(NOW, f"p{n}", "try") for _ in range(5)])
                   for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.audit.verify() == [] and len(list(store.audit.lines())) == 20


def test_the_project_says_where_the_store_is(tmp_path: Path) -> None:
    project = Project.init(tmp_path)
    assert project.store_place == tmp_path / "feedback.db"
    (tmp_path / "tutelage.toml").write_text('[store]\nurl = "postgresql://h/d"\n')
    assert project.store_place == "postgresql://h/d"
    assert Project.open(tmp_path, "postgresql://other/d").store_place == "postgresql://other/d"
    for table in ('[store]\npath = "x"\n', "[store]\nurl = 3\n", "store = 1\n"):
        (tmp_path / "tutelage.toml").write_text(table)
        with pytest.raises(ConfigError, match="one key, url"):
            _ = project.store_place


@pytest.mark.parametrize(("place", "words"), [
    ("mysql://h/d", "cannot be at mysql"), ("postgresql://u:secret@127.0.0.1:1/d", "cannot be reached"),
    ("postgresql://h:port/d", "cannot be read")])
def test_a_place_that_is_none_is_an_error_without_the_password(place: str, words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        Store.open(place)
    assert "secret" not in str(caught.value)


needs_postgresql = pytest.mark.skipif(programs() is None and not os.environ.get("CI"), reason=NEEDED)


@needs_postgresql
def test_a_database_of_something_else_is_left_as_it_was(postgres: Server) -> None:
    import psycopg

    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as raw:
        raw.execute("CREATE TABLE songs (id INTEGER)")
    with pytest.raises(StoreError, match="tables of something else"):
        Store.open(url)
    with psycopg.connect(url) as raw:
        assert raw.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == [("songs",)]


@needs_postgresql
def test_a_text_with_a_nul_where_none_can_be_is_refused_in_words(postgres: Server) -> None:
    with Store.open(postgres.new_store()) as store, pytest.raises(StoreError, match="NUL"):
        store.add_person("a\0", "human", "A")


@needs_postgresql
def test_a_lock_held_too_long_is_an_error_in_words(postgres: Server) -> None:
    place = postgres.new_store()
    with Store.open(place, busy_timeout_s=0.2) as store, Store.open(place) as other:
        with other._writing(), pytest.raises(StoreError, match="is locked"):
            store.add_samples([a_sample("s1")])
        assert store.add_samples([a_sample("s1"), a_sample("s2")]) == 2
        store.add_person("ada", "human", "Ada")
        assert store.add_judgments([a_judgment("j1")]) == 1
