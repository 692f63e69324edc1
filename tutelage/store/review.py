"""`Review`: where people differ, what they flag and contest, and what a reviewer says to it.

A resolution is a row that says what it resolves; where the reviewer gives an answer of their own, that answer is a
judgment like any other, kept beside those of the annotators, whose own are never touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from sqlalchemy import Connection, exists, insert, select

from tutelage.errors import StoreError
from tutelage.messages import record_id
from tutelage.records import Judgment
from tutelage.store import admission, reading, rows
from tutelage.store.audit import write_line
from tutelage.store.campaigns import find_campaign, samples_of_items
from tutelage.store.database import Database
from tutelage.store.people import find_person
from tutelage.store.questions import Differs
from tutelage.store.schema import prompts
from tutelage.store.schema_campaigns import answers, contests, flags, items, resolutions, tasks

Decision = Literal["judged", "dismissed", "upheld"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    item: str
    score: float                           # what the measure says: more is further apart
    judgments: tuple[Judgment, ...]        # the current ones, by id
    is_resolved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    id: str
    item: str
    person: str
    reason: str
    note: str
    raised_at: float
    is_resolved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A person says that a verdict on their answer is wrong: the known answer, or a reviewer."""

    id: str
    task: str
    person: str
    note: str
    raised_at: float
    is_resolved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    id: str
    item: str
    person: str                            # the reviewer
    decision: Decision
    note: str
    resolved_at: float
    judgment: str | None = None            # what they say the answer is
    flag: str | None = None
    contest: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """Ids of judgments on items that a reviewer has judged."""

    settling: frozenset[str]               # the reviewer's word that counts: of several for an item, the last
    overruled: frozenset[str]              # what annotators said of these items, and reviewers before


class Review:
    def __init__(self, database: Database) -> None:
        self._database = database

    def item_judgments(self, campaign: str, person: str | None = None) -> Iterator[tuple[str, list[Judgment]]]:
        """(item, what annotators say of it now, planned repeats too, by id), in the items' order; read as asked for.

        With `person`, of the items that they have answered, and nothing else is read.
        """
        query = reading.judgments_of_items(campaign, person)
        with self._database.reading() as connection:
            stream = reading.stream(connection, query)
            for item, group in groupby(stream, key=lambda row: row["item_id"]):
                said = [list(each) for _, each in groupby(group, key=lambda row: row["id"])]
                yield item, [rows.judgment_from_rows(each) for each in said]

    def repeats(self, campaign: str) -> Iterator[tuple[Judgment, Judgment]]:
        """A person's current answer to an item and the one they gave to its planned repeat: for self-consistency."""
        with self._database.reading() as connection:
            found = reading.stream(connection, reading.judgments_of_items(campaign))
            for _, group in groupby(found, key=lambda row: row["item_id"]):
                said: dict[str, dict[int, Judgment]] = {}
                for _, each in groupby(group, key=lambda row: row["id"]):
                    written = list(each)
                    said.setdefault(written[0]["person_id"], {})[written[0]["repeat"]] = rows.judgment_from_rows(written)
                yield from ((both[0], both[1]) for _, both in sorted(said.items()) if len(both) == 2)

    def disagreements(self, campaign: str, differs: Differs, unresolved_only: bool = True) -> list[Disagreement]:
        """Items with two or more judgments that `differs` puts above 0, the furthest apart first."""
        resolved = {row.item for row in self.resolutions(campaign) if row.decision == "judged"}
        found = []
        for item, said in self.item_judgments(campaign):
            if len(said) > 1 and not (unresolved_only and item in resolved) and (score := differs(said)) > 0:
                found.append(Disagreement(item=item, score=score, judgments=tuple(said), is_resolved=item in resolved))
        return sorted(found, key=lambda each: (-each.score, each.item))

    def flag(self, item: str, person: str, reason: str, now: float, note: str = "", key: str = "") -> str:
        """Put an item before a reviewer; the flag's id. The same `key` (or, without one, reason and note) again is the
        same flag."""
        id = record_id("flag", item, person, key or [reason, note])
        row = {"id": id, "item_id": item, "person_id": person, "reason": reason, "note": note, "raised_at": now}
        with self._database.writing() as connection:
            _find_item(connection, item)
            find_person(connection, person)
            admission.insert_missing(connection, flags.c.id, [row])
        return id

    def flags(self, campaign: str, open_only: bool = True) -> list[Flag]:
        """Flags of a campaign, the oldest first."""
        query = (select(flags, exists().where(resolutions.c.flag_id == flags.c.id).label("is_resolved"))
                 .join(items).where(items.c.campaign_id == campaign).order_by(flags.c.raised_at, flags.c.id))
        with self._database.reading() as connection:
            found = [Flag(id=row.id, item=row.item_id, person=row.person_id, reason=row.reason, note=row.note,
                          raised_at=row.raised_at, is_resolved=row.is_resolved) for row in connection.execute(query)]
        return [flag for flag in found if not (open_only and flag.is_resolved)]

    def contest(self, task: str, person: str, note: str, now: float) -> str:
        """Say that the verdict on one's own answer is wrong; the contest's id. One a task."""
        id = record_id("contest", task, person)
        with self._database.writing() as connection:
            row = connection.execute(select(tasks).where(tasks.c.id == task)).mappings().first()
            if row is None or row["person_id"] != person or row["judgment_id"] is None:
                raise StoreError(f"task {task!r} is not one that {person!r} has answered, so there is nothing to contest.")
            admission.insert_missing(connection, contests.c.id, [
                {"id": id, "task_id": task, "person_id": person, "note": note, "raised_at": now}])
        return id

    def contests(self, campaign: str | None = None, person: str | None = None, open_only: bool = True) -> list[Contest]:
        """Contests, the oldest first."""
        query = (select(contests, exists().where(resolutions.c.contest_id == contests.c.id).label("is_resolved"))
                 .join(tasks, tasks.c.id == contests.c.task_id).order_by(contests.c.raised_at, contests.c.id))
        if campaign is not None:
            query = query.where(tasks.c.campaign_id == campaign)
        if person is not None:
            query = query.where(contests.c.person_id == person)
        with self._database.reading() as connection:
            found = [Contest(id=row.id, task=row.task_id, person=row.person_id, note=row.note, raised_at=row.raised_at,
                             is_resolved=row.is_resolved) for row in connection.execute(query)]
        return [contest for contest in found if not (open_only and contest.is_resolved)]

    def resolve(self, item: str, reviewer: str, decision: Decision, now: float, answer: Mapping[str, Any] | None = None,
                order: Sequence[int] | None = None, note: str = "", flag: str | None = None,
                contest: str | None = None) -> Resolution:
        """A reviewer's word: "judged" with an answer of their own, else "dismissed" or "upheld" (a flag, a contest).

        Args:
            answer: in the kind's one form, with the samples in `order` (the item's own, if not given).
        Raises:
            StoreError: if the item, flag or contest is unknown, or an answer is missing or out of place.
        """
        if (decision == "judged") != (answer is not None):
            raise StoreError('a resolution that says "judged" needs an answer, and only that one has it.')
        with self._database.writing() as connection:
            said = None if answer is None else _reviewers_word(connection, item, reviewer, answer, order)
            _check_resolves(connection, item, flag, contest)
            if said is not None:
                admission.admit_judgments(connection, [said], {})
            id = record_id("resolution", item, reviewer, decision, said and said.id, flag, contest, note)
            row = {"id": id, "item_id": item, "person_id": reviewer, "judgment_id": said and said.id, "flag_id": flag,
                   "contest_id": contest, "decision": decision, "note": note, "resolved_at": now}
            if not admission.rows_by(connection, resolutions.c.id, [id]):
                connection.execute(insert(resolutions), [row])
                write_line(connection, now, reviewer, f"item.{decision}", [item, id])
        return _resolution(row)

    def settled(self) -> Settled:
        """Which judgments settle an item, and which no longer count because of them; of all campaigns."""
        judged = resolutions.c.decision == "judged"
        words = select(resolutions.c.item_id, resolutions.c.judgment_id).where(judged).order_by(
            resolutions.c.resolved_at, resolutions.c.id)
        said = select(answers.c.judgment_id).join(tasks, tasks.c.id == answers.c.task_id).where(
            tasks.c.item_id.in_(select(resolutions.c.item_id).where(judged)))
        with self._database.reading() as connection:
            every = [(row.item_id, row.judgment_id) for row in connection.execute(words)]
            settling = frozenset(dict(every).values())
            overruled = {judgment for _, judgment in every} | set(connection.execute(said).scalars())
        return Settled(settling, frozenset(overruled) - settling)

    def resolutions(self, campaign: str) -> list[Resolution]:
        """Every resolution of the campaign, the oldest first; of several for an item, the last counts."""
        query = select(resolutions).join(items).where(items.c.campaign_id == campaign).order_by(
            resolutions.c.resolved_at, resolutions.c.id)
        with self._database.reading() as connection:
            return [_resolution(row) for row in connection.execute(query).mappings()]


def _resolution(row: Mapping[Any, Any]) -> Resolution:
    return Resolution(id=row["id"], item=row["item_id"], person=row["person_id"], decision=row["decision"],
                      note=row["note"], resolved_at=row["resolved_at"], judgment=row["judgment_id"], flag=row["flag_id"],
                      contest=row["contest_id"])


def _find_item(connection: Connection, item: str) -> Mapping[Any, Any]:
    query = select(items, prompts.c.body.label("prompt_body")).join(prompts).where(items.c.id == item)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise StoreError(f"there is no item {item!r}.")
    return row


def _reviewers_word(connection: Connection, item: str, reviewer: str, answer: Mapping[str, Any],
                    order: Sequence[int] | None) -> Judgment:
    """The reviewer's judgment; it supersedes the one they gave to this item as a reviewer before."""
    row = _find_item(connection, item)
    campaign = find_campaign(connection, row["campaign_id"])
    own = samples_of_items(connection, [item]).get(item, ())
    places = range(len(own)) if order is None else order
    if sorted(places) != list(range(len(own))):
        raise StoreError(f"{list(places)} is no order of the item's {len(own)} samples.")
    shown, guideline = tuple(own[place] for place in places), campaign.terms.guideline
    before = connection.execute(select(resolutions.c.judgment_id).where(
        resolutions.c.item_id == item, resolutions.c.person_id == reviewer, resolutions.c.judgment_id.is_not(None))
        .order_by(resolutions.c.resolved_at.desc(), resolutions.c.id)).scalars().first()
    rows.plain_json(answer, "an answer")
    name = record_id("resolution", item, reviewer, list(shown), dict(answer), guideline, before)
    return Judgment(id=name, kind=campaign.kind, annotator_id=reviewer, prompt=rows.prompt_from_row(row), samples=shown,
                    annotator=find_person(connection, reviewer)["annotator"], answer=dict(answer), guideline=guideline,
                    supersedes=before)


def _check_resolves(connection: Connection, item: str, flag: str | None, contest: str | None) -> None:
    _find_item(connection, item)
    if flag is not None and admission.rows_by(connection, flags.c.id, [flag]).get(flag, {}).get("item_id") != item:
        raise StoreError(f"item {item!r} has no flag {flag!r}.")
    if contest is not None:
        query = select(tasks.c.item_id).join(contests, contests.c.task_id == tasks.c.id).where(contests.c.id == contest)
        if connection.execute(query).scalar() != item:
            raise StoreError(f"item {item!r} has no contest {contest!r}.")
