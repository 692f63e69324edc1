"""The statements that give tasks out and take them back. Each runs inside the caller's transaction.

Locks are taken in one order, so that nobody waits in a circle: person, task, item. PostgreSQL hands out items with FOR
NO KEY UPDATE SKIP LOCKED, which lets rows that refer to them in; SQLite's writer is alone from its BEGIN on. What counts
is one statement either way: an item's `taken` is raised only where it is still below the overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Select, insert, or_, select, true, update

from tutelage.errors import StoreError
from tutelage.lineage import canonical_json
from tutelage.messages import record_id
from tutelage.records import Judgment
from tutelage.store import candidates, rows
from tutelage.store.questions import Campaign, Choice, Plan, Task, TaskState
from tutelage.store.schema import people, prompts, samples
from tutelage.store.schema_campaigns import campaign_versions, campaigns, item_samples, items, tasks


def lock_person(connection: Connection, person: str) -> None:
    """One `next` at a time a person: two tabs must not be given the same thing."""
    query = select(people.c.id).where(people.c.id == person).with_for_update(key_share=True)
    if connection.execute(query).first() is None:
        raise StoreError(f"the store does not know {person!r}. Add the person first.")


def lock_task(connection: Connection, task: str, person: str) -> dict[str, Any]:
    """The row, which stays as it is until this transaction ends. Raises StoreError if it is unknown or not theirs."""
    row = connection.execute(select(tasks).where(tasks.c.id == task).with_for_update(key_share=True)).mappings().first()
    if row is None:
        raise StoreError(f"there is no task {task!r}.")
    if row["person_id"] != person:
        raise StoreError(f"task {task!r} is not {person!r}'s.")
    return dict(row)


def judgment(connection: Connection, row: Mapping[str, Any], answer: Mapping[str, Any]) -> Judgment:
    """What the person says to the task of this row. Named by the task too: a planned repeat is a judgment of its own."""
    query = (select(campaigns.c.kind, campaign_versions.c.terms, people.c.annotator, prompts.c.body.label("prompt_body"))
             .select_from(items).join(campaigns).join(prompts, prompts.c.hash == items.c.prompt_hash)
             .join(campaign_versions, campaign_versions.c.campaign_id == campaigns.c.id).join(people, true())
             .where(items.c.id == row["item_id"], campaign_versions.c.version == row["version"],
                    people.c.id == row["person_id"]))
    asked = connection.execute(query).mappings().one()
    own = list(connection.execute(select(item_samples.c.sample_id).where(item_samples.c.item_id == row["item_id"])
                                  .order_by(item_samples.c.position)).scalars())
    shown = tuple(own[place] for place in json.loads(row["shown"]))
    guideline, before = json.loads(asked["terms"])["guideline"], row["judgment_id"]
    try:
        name = record_id("judgment", row["id"], shown, dict(answer), guideline, before)
    except ValueError as error:
        raise StoreError(f"the answer to task {row['id']!r} cannot be kept: {error}. Its values must be plain, finite "
                         "JSON.") from None
    return Judgment(id=name, kind=asked["kind"], annotator_id=row["person_id"], annotator=asked["annotator"],
                    prompt=rows.prompt_from_row(asked), samples=shown, answer=dict(answer), guideline=guideline,
                    supersedes=before)


def renew(connection: Connection, campaign: Campaign, person: str, num: int, now: float) -> list[str]:
    """Ids of the tasks that the person holds, in the order they were given."""
    held = select(tasks.c.id).where(tasks.c.campaign_id == campaign.id, tasks.c.person_id == person,
                                    tasks.c.state == "open").order_by(tasks.c.number).limit(num)
    ids = list(connection.execute(held).scalars())
    if ids:
        connection.execute(update(tasks).where(tasks.c.id.in_(ids), tasks.c.state == "open")
                           .values(lease_expires=now + campaign.terms.lease_s))
    return ids


def take(connection: Connection, campaign: Campaign, person: str, num: int, now: float, plan: Plan) -> tuple[list[str], bool]:
    """Lease up to `num` more items to the person: the ids of the tasks, and whether others stood in the way."""
    worker, found, num = candidates.find(connection, campaign, person, num)
    pool = {(each.item, each.earlier is not None): each for each in found}
    taken: list[dict[str, Any]] = []
    met_others = False
    while len(taken) < num and (chosen := plan(campaign, worker, list(pool.values()), num - len(taken))):
        for choice in chosen:
            each = pool.pop((choice.item, choice.is_repeat), None)
            if each is None or sorted(choice.order) != list(range(each.num_samples)):
                raise StoreError(f"the plan chose {choice}, which is no candidate or no order of its samples.")
            if not _raise_taken(connection, campaign, choice, each.purpose):
                met_others = True
                continue
            taken.append(_task_row(campaign, person, choice, worker.num_given, now))
            worker = replace(worker, num_given=worker.num_given + 1, balance=worker.balance + side(choice.order))
    _keep_tasks(connection, taken)
    return [row["id"] for row in taken], met_others


def _raise_taken(connection: Connection, campaign: Campaign, choice: Choice, purpose: str) -> bool:
    """False where the item has become full, or is being given to somebody else at this moment."""
    if choice.is_repeat:
        return True
    free = select(items.c.id).where(items.c.id == choice.item).with_for_update(skip_locked=True, key_share=True)
    statement = update(items).where(items.c.id.in_(free))
    if purpose == "work":
        statement = statement.where(items.c.taken < campaign.terms.overlap)
    return connection.execute(statement.values(taken=items.c.taken + 1, balance=items.c.balance + side(choice.order))
                              .returning(items.c.id)).first() is not None


def side(order: Sequence[int]) -> int:
    """1 where the item's first sample is shown first, -1 where it is not, 0 where there is nothing to change places."""
    return 0 if len(order) < 2 else 1 if order[0] == 0 else -1


def _task_row(campaign: Campaign, person: str, choice: Choice, number: int, now: float) -> dict[str, Any]:
    return {"id": record_id("task", choice.item, person, choice.is_repeat), "campaign_id": campaign.id,
            "item_id": choice.item, "person_id": person, "repeat": int(choice.is_repeat), "number": number,
            "version": campaign.version, "shown": canonical_json(list(choice.order)), "first": side(choice.order),
            "state": "open", "lease_expires": now + campaign.terms.lease_s, "reason": "", "is_right": None}


def _keep_tasks(connection: Connection, new: Sequence[dict[str, Any]]) -> None:
    """Insert them; those that had run out on this person begin anew, and keep what was said in them before."""
    if not new:
        return
    ran_out = set(connection.execute(select(tasks.c.id).where(tasks.c.id.in_([row["id"] for row in new]))).scalars())
    for row in new:
        if row["id"] in ran_out:
            connection.execute(update(tasks).where(tasks.c.id == row["id"]).values(row))
    if fresh := [row for row in new if row["id"] not in ran_out]:
        connection.execute(insert(tasks), fresh)


def answered(connection: Connection, row: Mapping[str, Any], judgment: str, is_right: bool | None) -> TaskState:
    """The task has an answer: its new state."""
    state: TaskState = row["state"]
    if state in ("expired", "skipped"):
        state = "answered" if row["repeat"] or _take_again(connection, row) else "late"
    elif state == "open":
        state = "answered"
    if row["state"] != state and state == "answered" and not row["repeat"]:
        _count_answer(connection, row["item_id"], 1)
    connection.execute(update(tasks).where(tasks.c.id == row["id"]).values(
        state=state, judgment_id=judgment, is_right=None if is_right is None else int(is_right)))
    return state


def _take_again(connection: Connection, row: Mapping[str, Any]) -> bool:
    """After the lease had run out: is there still room for this person?"""
    room = select(campaigns.c.overlap).where(campaigns.c.id == items.c.campaign_id).scalar_subquery()
    statement = update(items).where(items.c.id == row["item_id"], or_(items.c.purpose != "work", items.c.taken < room))
    return connection.execute(statement.values(taken=items.c.taken + 1).returning(items.c.id)).first() is not None


def _count_answer(connection: Connection, item: str, by: int) -> None:
    connection.execute(update(items).where(items.c.id == item).values(answered=items.c.answered + by))


def reopen(connection: Connection, row: Mapping[str, Any], now: float) -> None:
    """An answer was withdrawn. A late one has no place to go back to."""
    version = select(campaigns.c.terms).where(campaigns.c.id == row["campaign_id"])
    lease_s = json.loads(connection.execute(version).scalar_one())["lease_s"]
    if row["state"] == "answered" and not row["repeat"]:
        _count_answer(connection, row["item_id"], -1)
    state = "expired" if row["state"] == "late" else "open"
    connection.execute(update(tasks).where(tasks.c.id == row["id"]).values(
        state=state, lease_expires=now + lease_s, is_right=None))


def give_back(connection: Connection, item: str, repeat: int) -> None:
    if not repeat:
        connection.execute(update(items).where(items.c.id == item).values(taken=items.c.taken - 1))


def expire(connection: Connection, overdue: Select[Any]) -> int:
    """Take back the tasks that `overdue` selects, but for those that somebody is at right now."""
    ids = list(connection.execute(overdue.order_by(tasks.c.id).with_for_update(skip_locked=True, key_share=True)).scalars())
    changed = update(tasks).where(tasks.c.id.in_(ids), tasks.c.state == "open").values(state="expired")
    back = connection.execute(changed.returning(tasks.c.item_id, tasks.c.repeat)).all()
    for item, repeat in sorted((row.item_id, row.repeat) for row in back):
        give_back(connection, item, repeat)
    return len(back)


def load(connection: Connection, ids: Sequence[str]) -> list[Task]:
    """The tasks with these ids, in this order, with what the page shows."""
    query = (select(tasks, items.c.language, items.c.purpose, items.c.gold, campaigns.c.kind, campaign_versions.c.terms,
                    prompts.c.body.label("prompt_body"))
             .join(items, items.c.id == tasks.c.item_id).join(campaigns, campaigns.c.id == tasks.c.campaign_id)
             .join(campaign_versions, (campaign_versions.c.campaign_id == tasks.c.campaign_id)
                   & (campaign_versions.c.version == tasks.c.version))
             .join(prompts, prompts.c.hash == items.c.prompt_hash).where(tasks.c.id.in_(ids)))
    found = {row["id"]: row for row in connection.execute(query).mappings()}
    shown = _samples(connection, {row["item_id"] for row in found.values()})
    return [_task(found[id], shown.get(found[id]["item_id"], [])) for id in ids if id in found]


def _samples(connection: Connection, of: set[str]) -> dict[str, list[Any]]:
    """item -> its samples in the item's own order."""
    query = (select(item_samples.c.item_id, samples, prompts.c.body.label("prompt_body"))
             .join(samples, samples.c.id == item_samples.c.sample_id).join(prompts, prompts.c.hash == samples.c.prompt_hash)
             .where(item_samples.c.item_id.in_(of)).order_by(item_samples.c.item_id, item_samples.c.position))
    found: dict[str, list[Any]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["item_id"], []).append(rows.sample_from_row(row))
    return found


def _task(row: Mapping[Any, Any], drawn: Sequence[Any]) -> Task:
    order, terms = tuple(json.loads(row["shown"])), json.loads(row["terms"])
    return Task(id=row["id"], campaign=row["campaign_id"], item=row["item_id"], person=row["person_id"], kind=row["kind"],
                prompt=rows.prompt_from_row(row), samples=tuple(drawn[place] for place in order), order=order,
                settings=terms["settings"], guideline=terms["guideline"], language=row["language"], purpose=row["purpose"],
                gold=None if row["gold"] is None else json.loads(row["gold"]), is_repeat=bool(row["repeat"]),
                state=row["state"], lease_expires=row["lease_expires"], judgment=row["judgment_id"])
