"""A small campaign for the tests, and what must be true of tasks whatever happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from store_records import a_prompt, a_sample

from tutelage.feedback.assignment import plan
from tutelage.store import Campaign, NewItem, Store, Task, Terms

ANSWER = {"winner": "a", "strength": 1}
PEOPLE = ("ada", "eve", "bob")
NOW = 1_000_000.0


def an_item(store: Store, number: int, **changes: Any) -> NewItem:
    prompt = a_prompt(f"q{number}")
    store.add_samples([a_sample(f"q{number}{side}", prompt) for side in "ab"])
    return NewItem(prompt=prompt, samples=(f"q{number}a", f"q{number}b"), **changes)


def a_campaign(store: Store, num_items: int = 6, name: str = "helpful", gold: Sequence[int] = (),
               items: Sequence[NewItem] = (), **terms: Any) -> Campaign:
    """A campaign of `num_items` pairs, where those numbered in `gold` have the answer "a"."""
    for person in PEOPLE:
        store.add_person(person, "human", person.title())
    made = store.campaigns.create(name, "comparison", Terms(guideline="comparison-1", **terms), None, NOW, seed=7)
    store.campaigns.add_items(made.id, items or [
        an_item(store, number, gold=ANSWER if number in gold else None) for number in range(num_items)])
    return made


def next_tasks(store: Store, person: str, campaign: Campaign, num: int = 1, now: float = NOW) -> list[Task]:
    found = store.tasks.next(person, campaign.id, num, now, plan)
    check(store)
    return found


def answer_all(store: Store, person: str, campaign: Campaign, limit: int = 1_000, **details: Any) -> list[Task]:
    done: list[Task] = []
    while len(done) < limit and (found := next_tasks(store, person, campaign)):
        store.tasks.submit(found[0].id, person, ANSWER, f"{campaign.id}-{len(done)}", NOW, **details)
        done += found
    return done


# Each query gives the rows that break a rule.
_RULES = {
    "an item is with more people than were asked for":
        "SELECT i.id FROM items i JOIN campaigns c ON c.id = i.campaign_id WHERE i.purpose = 'work' AND i.taken > c.overlap",
    "a counter of people is wrong":
        "SELECT i.id FROM items i WHERE i.taken <> (SELECT count(*) FROM tasks t WHERE t.item_id = i.id AND t.repeat = 0 "
        "AND t.state IN ('open', 'answered'))",
    "a counter of answers is wrong":
        "SELECT i.id FROM items i WHERE i.answered <> (SELECT count(*) FROM tasks t WHERE t.item_id = i.id "
        "AND t.repeat = 0 AND t.state = 'answered')",
    "an answered task has no current answer":
        "SELECT t.id FROM tasks t WHERE t.state IN ('answered', 'late') AND (t.judgment_id IS NULL OR EXISTS (SELECT 1 FROM "
        "withdrawals w WHERE w.judgment_id = t.judgment_id) OR EXISTS (SELECT 1 FROM judgments j "
        "WHERE j.supersedes = t.judgment_id))",
    "a task that is not answered has a current answer":
        "SELECT t.id FROM tasks t WHERE t.state NOT IN ('answered', 'late') AND t.judgment_id IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM withdrawals w WHERE w.judgment_id = t.judgment_id)",
    "a judgment of a task has another prompt or person":
        "SELECT a.judgment_id FROM answers a JOIN tasks t ON t.id = a.task_id JOIN items i ON i.id = t.item_id JOIN judgments "
        "j ON j.id = a.judgment_id WHERE j.person_id <> t.person_id OR j.prompt_hash <> i.prompt_hash",
}


def check(store: Store) -> None:
    with store._reading() as connection:
        for rule, query in _RULES.items():
            assert connection.execute(text(query)).all() == [], rule
