"""What a person may be given next. Which of it they are given is for the plan (`feedback.assignment`) to say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Select, case, exists, func, or_, select

from tutelage.store.questions import Campaign, Candidate, Terms, Worker
from tutelage.store.schema_accounts import abilities
from tutelage.store.schema_campaigns import items, tasks

SPARE = 16                 # candidates on top of those asked for, for the plan to choose among
APART = 5                  # tasks between an answer and the same question again, at least
COUNTS = ("open", "answered", "late")          # states in which a task stands against a person's quota
NEEDED = ("open", "answered", "skipped", "late")       # states in which a person is not given the item again


def find(connection: Connection, campaign: Campaign, person: str, num: int) -> tuple[Worker, list[Candidate], int]:
    """The person, what they may be given, and how many at most: nothing where they lack what the campaign asks for.

    Items in work come with the fewest people first; tagged ones first to who has the tag.
    """
    tags, languages = able(connection, person)
    worker = _worker(connection, campaign, person, tags)
    terms = campaign.terms
    quota = quota_left(connection, campaign, person)
    room = num if quota is None else min(num, quota)
    if set(terms.expertise) - set(tags) or lacks_language(terms, languages) or room <= 0:
        return worker, [], 0
    quiz = quiz_standing(connection, campaign, person)
    if quiz.open_items is not None:
        asked = _fresh(campaign, person, ()).where(items.c.id.in_(quiz.open_items)).order_by(items.c.position)
        return worker, _quiz(connection, asked.limit(room)), room
    found = _candidates(connection, _work(campaign, person, tags, languages).limit(num + SPARE))
    if not found and _is_quiz(connection, campaign):
        return worker, _quiz(connection, _fresh(campaign, person, languages).order_by(items.c.position).limit(room)), room
    if terms.gold_share:
        gold = _fresh(campaign, person, languages).where(items.c.purpose != "work").order_by(items.c.position)
        found += _candidates(connection, gold.limit(num + SPARE))
    if terms.duplicate_share:
        found += _repeats(connection, campaign, person, worker.num_given, num + SPARE)
    return worker, found, room


def able(connection: Connection, person: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The person's expertise and languages."""
    query = select(abilities).where(abilities.c.person_id == person).order_by(abilities.c.kind, abilities.c.value)
    found = connection.execute(query).all()
    return (tuple(row.value for row in found if row.kind == "tag"),
            tuple(row.value for row in found if row.kind == "language"))


def _worker(connection: Connection, campaign: Campaign, person: str, tags: tuple[str, ...]) -> Worker:
    sides = func.coalesce(func.sum(case((tasks.c.state.in_(NEEDED), tasks.c.first), else_=0)), 0)
    row = connection.execute(select(func.coalesce(func.max(tasks.c.number) + 1, 0), sides).where(
        tasks.c.campaign_id == campaign.id, tasks.c.person_id == person)).one()
    return Worker(person=person, num_given=row[0], balance=row[1], tags=tags)


def lacks_language(terms: Terms, languages: tuple[str, ...]) -> bool:
    """A person who has named no language may be asked in any."""
    return bool(terms.languages and languages) and not set(terms.languages) & set(languages)


def quota_left(connection: Connection, campaign: Campaign, person: str) -> int | None:
    """Tasks the person may still be given; None without a limit."""
    if campaign.terms.quota is None:
        return None
    return campaign.terms.quota - _num_tasks(connection, campaign, person, COUNTS)


def num_open(connection: Connection, campaign: Campaign, person: str) -> int:
    return _num_tasks(connection, campaign, person, ("open",))


def num_left(connection: Connection, campaign: Campaign, person: str, languages: tuple[str, ...]) -> int:
    """Items in work that could be given to the person now."""
    query = _fresh(campaign, person, languages).where(items.c.purpose == "work", items.c.taken < campaign.terms.overlap)
    return connection.execute(select(func.count()).select_from(query.subquery())).scalar_one()


def _num_tasks(connection: Connection, campaign: Campaign, person: str, states: tuple[str, ...]) -> int:
    return connection.execute(select(func.count()).where(
        tasks.c.campaign_id == campaign.id, tasks.c.person_id == person, tasks.c.state.in_(states))).scalar_one()


def _fresh(campaign: Campaign, person: str, languages: tuple[str, ...]) -> Select[Any]:
    """Items that the person has not had, or was given and let run out."""
    had = exists().where(tasks.c.item_id == items.c.id, tasks.c.person_id == person, tasks.c.state.in_(NEEDED))
    query = select(items).where(items.c.campaign_id == campaign.id, ~had)
    return query.where(or_(items.c.language == "", items.c.language.in_(languages))) if languages else query


def _work(campaign: Campaign, person: str, tags: tuple[str, ...], languages: tuple[str, ...]) -> Select[Any]:
    query = _fresh(campaign, person, languages).where(items.c.purpose == "work", items.c.taken < campaign.terms.overlap)
    if tags:
        meant = or_(*(items.c.tags.contains(f'"{tag}"', autoescape=True) for tag in tags))
        return query.order_by(case((meant, 0), (items.c.tags == "[]", 1), else_=2), items.c.taken, items.c.position)
    return query.order_by(items.c.taken, items.c.position)


def _candidates(connection: Connection, query: Select[Any]) -> list[Candidate]:
    return [_candidate(row) for row in connection.execute(query).mappings()]


def _is_quiz(connection: Connection, campaign: Campaign) -> bool:
    """All of it has known answers: then they are what it asks, not a check on the way."""
    work = exists().where(items.c.campaign_id == campaign.id, items.c.purpose == "work")
    return not connection.execute(select(work)).scalar_one()


def _quiz(connection: Connection, query: Select[Any]) -> list[Candidate]:
    return [replace(each, purpose="quiz") for each in _candidates(connection, query)]


def _candidate(row: Mapping[Any, Any], earlier: str | None = None) -> Candidate:
    return Candidate(item=row["id"], purpose=row["purpose"], num_samples=row["num_samples"], num_taken=row["taken"],
                     balance=row["balance"], tags=tuple(json.loads(row["tags"])),
                     earlier=None if earlier is None else tuple(json.loads(earlier)))


def _repeats(connection: Connection, campaign: Campaign, person: str, num_given: int, limit: int) -> list[Candidate]:
    """Work the person has answered once, the longest ago first; nothing of the last `APART` tasks."""
    again = tasks.alias("again")
    repeated = exists().where(again.c.item_id == tasks.c.item_id, again.c.person_id == person, again.c.repeat == 1,
                              again.c.state.in_(NEEDED))
    query = (select(items, tasks.c.shown).join(tasks, tasks.c.item_id == items.c.id)
             .where(tasks.c.campaign_id == campaign.id, tasks.c.person_id == person, tasks.c.repeat == 0,
                    tasks.c.state == "answered", items.c.purpose == "work", tasks.c.number < num_given - APART, ~repeated)
             .order_by(tasks.c.number).limit(limit))
    return [_candidate(row, row["shown"]) for row in connection.execute(query).mappings()]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuizStanding:
    """How a person stands in a campaign's quiz."""

    num_asked: int = 0
    num_answered: int = 0
    num_right: int = 0
    open_items: tuple[str, ...] | None = None      # None: passed, or there is no quiz; () failed, or it is elsewhere
    is_failed: bool = False

    @property
    def is_passed(self) -> bool:
        return self.open_items is None


def quiz_standing(connection: Connection, campaign: Campaign, person: str) -> QuizStanding:
    quiz = campaign.terms.quiz
    if quiz is None:
        return QuizStanding()
    asked = items.c.id.in_(quiz.items) if quiz.items else (items.c.campaign_id == quiz.campaign) & (items.c.purpose != "work")
    mine = (tasks.c.item_id == items.c.id) & (tasks.c.person_id == person) & (tasks.c.repeat == 0) & (
        tasks.c.state.in_(("answered", "late")))
    query = select(items.c.id, items.c.campaign_id, tasks.c.id.label("task"), tasks.c.is_right).outerjoin(tasks, mine)
    found = connection.execute(query.where(asked).order_by(items.c.position, items.c.id)).all()
    num_answered = sum(row.task is not None for row in found)
    num_right = sum(row.is_right or 0 for row in found)
    if num_answered == len(found) and num_right >= quiz.pass_mark * len(found):
        return QuizStanding(num_asked=len(found), num_answered=num_answered, num_right=num_right)
    waiting = tuple(row.id for row in found if row.task is None and row.campaign_id == campaign.id)
    return QuizStanding(num_asked=len(found), num_answered=num_answered, num_right=num_right, open_items=waiting,
                        is_failed=num_answered == len(found))
