"""What a page asks of one person or of a few judgments is found by an index: the rest of the store is not gone through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from campaign_records import a_campaign, an_item, answer_all
from sqlalchemy import event, text
from store_records import a_judgment

from tutelage.store import Store

LARGE = ("judgments", "judgment_samples", "answers", "withdrawals", "tasks", "items", "prompts")


@contextmanager
def plans(store: Store) -> Iterator[list[str]]:
    """The plan of every query that is made meanwhile."""
    asked: list[tuple[str, Any]] = []

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    found: list[str] = []
    event.listen(store._reader, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(store._reader, "before_cursor_execute", note)
    explain = "EXPLAIN QUERY PLAN " if store._reader.dialect.name == "sqlite" else "EXPLAIN "
    with store._reader.connect() as connection, connection.begin():
        if explain == "EXPLAIN ":                       # tables this small are read whole by choice
            connection.execute(text("SET LOCAL enable_seqscan = off"))
        for statement, parameters in asked:
            rows = connection.exec_driver_sql(explain + statement, parameters).all()
            found.append("\n".join(str(row[-1]) for row in rows))


def walked(plan: str) -> list[str]:
    """Large tables that a plan goes through from end to end."""
    lines = [line.strip() for line in plan.splitlines()]
    return [line for line in lines if any(f"SCAN {name}" in line or f"Seq Scan on {name}" in line for name in LARGE)
            or line.startswith("SCAN later")]


@pytest.fixture
def busy(store: Store) -> Store:
    """Two campaigns in which Ada and Eve have answered, and what twenty scripts have said."""
    for name in ("one", "two"):
        made = a_campaign(store, name=name, items=[an_item(store, number) for number in range(12)], overlap=2)
        for person in ("ada", "eve"):
            answer_all(store, person, made, limit=4)
    for number in range(20):
        store.add_person(f"bot{number}", "scripted", f"Bot {number}")
    store.add_judgments([a_judgment(f"j{number:03d}", who=f"bot{number % 20}", annotator="scripted") for number in range(400)])
    if store._reader.dialect.name == "postgresql":      # which does it by itself now and then; SQLite never
        with store._writer.begin() as connection:
            connection.execute(text("ANALYZE"))
    return store


def test_one_persons_judgments_are_found_without_going_through_the_others(busy: Store) -> None:
    with plans(busy) as found:
        said = list(busy.judgments(current=False, person="ada"))
    assert len(said) == 8 and {judgment.annotator_id for judgment in said} == {"ada"}
    assert [walked(plan) for plan in found] == [[]]


def test_judgments_by_id_are_found_and_unknown_ids_are_left_out(busy: Store) -> None:
    with plans(busy) as found:
        said = list(busy.judgments(ids=["j007", "j003", "j007", "nothing"]))
    assert [judgment.id for judgment in said] == ["j003", "j007"] and list(busy.judgments(ids=[])) == []
    assert [walked(plan) for plan in found] == [[]]


def test_what_is_compared_with_one_person_is_read_of_their_items_alone(busy: Store) -> None:
    [campaign] = [each for each in busy.campaigns.all() if each.name == "one"]
    with plans(busy) as found:
        said = dict(busy.review.item_judgments(campaign.id, "ada"))
    everything = dict(busy.review.item_judgments(campaign.id))
    assert said == {item: judgments for item, judgments in everything.items()
                    if any(judgment.annotator_id == "ada" for judgment in judgments)}
    assert len(said) == 4 and [walked(plan) for plan in found] == [[]]
    assert dict(busy.review.item_judgments(campaign.id, "bob")) == {}


def test_a_walk_would_be_noticed(busy: Store) -> None:
    with plans(busy) as found, busy._reading() as connection:
        connection.execute(text("SELECT id FROM judgments WHERE answer = 'x'"))
    assert [len(walked(plan)) for plan in found] == [1]
