"""How a campaign and its people stand, in counts: what is there, what was left out, and why somebody has nothing to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, case, func, select

from tutelage.store import candidates
from tutelage.store.campaigns import find_campaign
from tutelage.store.database import Database
from tutelage.store.people import find_person
from tutelage.store.questions import Campaign
from tutelage.store.schema_campaigns import answers, flags, items, resolutions, tasks

Why = Literal["", "paused", "closed", "expertise", "language", "quiz", "quiz failed", "quota", "nothing left"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Counts over a campaign. Items in work only, but for the last four."""

    num_items: int
    num_wanted: int            # judgments: items times overlap
    num_answered: int          # of these
    num_open: int              # with people now
    num_done: int              # items that have all their judgments
    num_late: int              # kept on top of what was asked for
    num_skipped: int           # tasks handed back
    num_repeats: int           # planned second answers
    num_gold: int              # answers to gold and attention items
    num_gold_right: int
    num_flags: int
    num_resolved: int          # items a reviewer has judged


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonProgress:
    """One person in one campaign."""

    person: str
    num_answered: int          # work, gold and repeats
    num_open: int
    num_skipped: int
    num_repeats: int
    num_gold: int
    num_gold_right: int
    num_first: int             # times the item's first sample was shown first, among tasks with sides
    num_second: int
    last_at: float | None      # when the last answer came


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """May this person work here, and if not, why."""

    why: Why                   # "" while there is work
    num_left: int              # new items there are for them, at most what their quota leaves
    quiz: candidates.QuizStanding


class Standings:
    """Read-only: safe to ask as often as a page likes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_campaign(self, campaign: str) -> Progress:
        with self._database.reading() as connection:
            asked = find_campaign(connection, campaign)
            overlap = asked.terms.overlap
            here, work = items.c.campaign_id == campaign, items.c.purpose == "work"
            row = connection.execute(select(
                func.count(), func.coalesce(func.sum(items.c.answered), 0),
                _sum(items.c.answered >= overlap)).where(here, work)).one()
            by_task = _tasks(connection, tasks.c.campaign_id == campaign)
            return Progress(
                num_items=row[0], num_wanted=row[0] * overlap, num_answered=row[1], num_done=row[2],
                num_open=by_task["open"], num_late=by_task["late"], num_skipped=by_task["skipped"],
                num_repeats=by_task["repeats"], num_gold=by_task["gold"], num_gold_right=by_task["right"],
                num_flags=connection.execute(select(func.count()).select_from(flags).join(items).where(here)).scalar_one(),
                num_resolved=connection.execute(select(func.count(resolutions.c.item_id.distinct())).join(
                    items, items.c.id == resolutions.c.item_id).where(here, resolutions.c.decision == "judged")).scalar_one())

    def of_people(self, campaign: str) -> list[PersonProgress]:
        """Everybody who was given something, by id."""
        query = select(tasks.c.person_id).where(tasks.c.campaign_id == campaign).distinct().order_by(tasks.c.person_id)
        with self._database.reading() as connection:
            return [_of_person(connection, campaign, person) for person in connection.execute(query).scalars().all()]

    def of_person(self, campaign: str, person: str) -> PersonProgress:
        with self._database.reading() as connection:
            find_campaign(connection, campaign)
            return _of_person(connection, campaign, person)

    def standing(self, campaign: str, person: str) -> Standing:
        """Whether there is work for the person, and what stands in the way if not."""
        with self._database.reading() as connection:
            asked = find_campaign(connection, campaign)
            find_person(connection, person)
            quiz = candidates.quiz_standing(connection, asked, person)
            why, num_left = _why(connection, asked, person, quiz)
            return Standing(why=why, num_left=num_left, quiz=quiz)

    def recent(self, campaign: str, since: float, step_s: float = 3600.0) -> list[tuple[float, int]]:
        """(start, answers) for each step of time since `since` in which there were any: the pace."""
        step = func.floor((answers.c.received_at - since) / step_s)
        query = (select(step.label("step"), func.count()).join(tasks, tasks.c.id == answers.c.task_id)
                 .where(tasks.c.campaign_id == campaign, answers.c.received_at >= since).group_by("step").order_by("step"))
        with self._database.reading() as connection:
            return [(since + float(start) * step_s, count) for start, count in connection.execute(query)]


def _sum(condition: Any) -> Any:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)


def _tasks(connection: Connection, *conditions: Any) -> dict[str, int]:
    done = tasks.c.state.in_(("answered", "late"))
    known = items.c.purpose != "work"
    columns = {"open": _sum(tasks.c.state == "open"), "late": _sum(tasks.c.state == "late"),
               "skipped": _sum(tasks.c.state == "skipped"), "answered": _sum(done),
               "repeats": _sum(done & (tasks.c.repeat == 1)), "gold": _sum(done & known),
               "right": _sum(done & known & (tasks.c.is_right == 1)),
               "first": _sum((tasks.c.first == 1) & (tasks.c.state != "expired")),
               "second": _sum((tasks.c.first == -1) & (tasks.c.state != "expired"))}
    query = select(*(column.label(name) for name, column in columns.items()))
    row = connection.execute(query.select_from(tasks).join(items, items.c.id == tasks.c.item_id).where(*conditions))
    return {name: int(value) for name, value in row.mappings().one().items()}


def _of_person(connection: Connection, campaign: str, person: str) -> PersonProgress:
    mine = (tasks.c.campaign_id == campaign, tasks.c.person_id == person)
    counts = _tasks(connection, *mine)
    last = select(func.max(answers.c.received_at)).join(tasks, tasks.c.id == answers.c.task_id).where(*mine)
    return PersonProgress(
        person=person, num_answered=counts["answered"], num_open=counts["open"], num_skipped=counts["skipped"],
        num_repeats=counts["repeats"], num_gold=counts["gold"], num_gold_right=counts["right"], num_first=counts["first"],
        num_second=counts["second"], last_at=connection.execute(last).scalar())


def _why(connection: Connection, campaign: Campaign, person: str, quiz: candidates.QuizStanding) -> tuple[Why, int]:
    terms, (tags, languages) = campaign.terms, candidates.able(connection, person)
    if campaign.state != "open":
        return ("paused" if campaign.state == "paused" else "closed"), 0
    if set(terms.expertise) - set(tags):
        return "expertise", 0
    if candidates.lacks_language(terms, languages):
        return "language", 0
    if not quiz.is_passed:
        return ("quiz failed", 0) if quiz.is_failed else ("" if quiz.open_items else "quiz", len(quiz.open_items or ()))
    num_left = candidates.num_left(connection, campaign, person, languages)
    quota = candidates.quota_left(connection, campaign, person)
    if quota is not None and quota <= 0:
        return "quota", 0
    held = candidates.num_open(connection, campaign, person)
    num_left = num_left if quota is None else min(num_left, quota)
    return ("" if num_left or held else "nothing left"), num_left
