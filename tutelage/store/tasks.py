"""`Tasks`: giving questions to people, and taking their answers exactly once.

    for task in store.tasks.next(person, campaign.id, 3, now, plan=assignment.plan): ...
    receipt = store.tasks.submit(task.id, person, answer, key, now)

A task is an item with one person, on a lease. An item is never with, or answered by, more people than the campaign's
overlap asks for (gold and attention items go to everybody), and nobody is given one twice, but for planned repeats.
What was leased and not answered in time goes back. What a person gave is never lost: an answer that comes after its lease
has run out is kept; where the item had gone to somebody else meanwhile, as "late", on top of what was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from tutelage.errors import StoreError
from tutelage.store import admission, leases, rows
from tutelage.store.campaigns import find_campaign
from tutelage.store.database import Database
from tutelage.store.questions import Plan, Receipt, Task
from tutelage.store.schema import judgments
from tutelage.store.schema_campaigns import answers, tasks, withdrawals

MOST = 50                  # tasks a person may hold at a time
TRIES = 100                # 5 ms apart: others hold an item for as long as a transaction takes


class Tasks:
    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, person: str, campaign: str, num: int, now: float, plan: Plan) -> list[Task]:
        """Up to `num` open tasks of this person: those they hold (their leases begin anew), then new ones.

        Fewer, or none, where the campaign is not open or has nothing more for them: `standing` of `store.progress` says
        why. Asking again gives the same tasks, so a page that was loaded twice shows one task, not two.

        Args:
            plan: which candidates, and in which order their samples are shown: `feedback.assignment.plan`.
        Raises:
            StoreError: if the person or the campaign is unknown.
        """
        self.release_expired(now, campaign)
        for _ in range(TRIES):
            with self._database.sharing() as connection:
                asked = find_campaign(connection, campaign)
                leases.lock_person(connection, person)
                held = leases.renew(connection, asked, person, min(num, MOST), now)
                met_others = False
                if asked.state == "open" and len(held) < min(num, MOST):
                    more, met_others = leases.take(connection, asked, person, min(num, MOST) - len(held), now, plan)
                    held += more
                if held or not met_others:
                    return leases.load(connection, held)
            time.sleep(0.005)          # everything left was in other hands: soon they have it, or it is free
        return []

    def get(self, task: str) -> Task:
        """Raises StoreError if it is unknown."""
        with self._database.reading() as connection:
            return next(iter(leases.load(connection, [task])), None) or _unknown(task)

    def submit(self, task: str, person: str, answer: Mapping[str, Any], key: str, now: float,
               timings: Mapping[str, Any] | None = None, is_right: bool | None = None) -> Receipt:
        """Keep an answer as a judgment. Another answer to the same task, under a new key, supersedes the one before.

        Args:
            answer: in the kind's one form (`kinds.check_answer` has seen it), with the samples as displayed.
            key: made up by the client for this answer; the same key again changes nothing and gets the same receipt.
            timings: of the page: milliseconds in view and until the decision, key or mouse, times undone …
            is_right: against the known answer of a gold or attention item; None where there is none.
        Raises:
            StoreError: if the task is unknown or another person's, or the key was used for another answer.
        """
        with self._database.sharing() as connection:
            row = leases.lock_task(connection, task, person)
            key = f"{person}/{key}"
            if known := connection.execute(select(judgments).where(judgments.c.idempotency_key == key)).mappings().first():
                return _receipt_of_before(connection, row, known, answer)
            judgment = leases.judgment(connection, row, answer)
            admission.admit_answer(connection, judgment, key)
            connection.execute(insert(answers), [{"judgment_id": judgment.id, "task_id": task, "received_at": now,
                                                  "timings": rows.plain_json(timings or {}, "the timings")}])
            state = leases.answered(connection, row, judgment.id, is_right)
            return Receipt(judgment=judgment.id, task=task, is_new=True, state=state)

    def undo(self, person: str, key: str, now: float) -> Task:
        """Take back the answer that was sent under `key`: it stays, withdrawn, and its task is the person's once more.

        The same again changes nothing. An answer that was changed since is not the current one, and cannot be undone.

        Raises:
            StoreError: if there is no such answer, or it has been superseded.
        """
        with self._database.sharing() as connection:
            query = (select(answers.c.task_id, answers.c.judgment_id).join(judgments)
                     .where(judgments.c.idempotency_key == f"{person}/{key}"))
            said = connection.execute(query).first()
            if said is None:
                raise StoreError(f"{person!r} sent no answer under the key {key!r}, so there is nothing to undo.")
            row = leases.lock_task(connection, said.task_id, person)
            if row["judgment_id"] != said.judgment_id:
                raise StoreError("this answer has been changed since. Undo the last one.")
            gone = select(withdrawals).where(withdrawals.c.judgment_id == said.judgment_id)
            if connection.execute(gone).first() is None:
                connection.execute(insert(withdrawals), [{"judgment_id": said.judgment_id, "person_id": person,
                                                          "withdrawn_at": now}])
                leases.reopen(connection, row, now)
            return leases.load(connection, [said.task_id])[0]

    def skip(self, task: str, person: str, reason: str = "") -> None:
        """Hand a task back for good: it goes to somebody else. Only one that is open; the same again changes nothing."""
        with self._database.sharing() as connection:
            row = leases.lock_task(connection, task, person)
            if row["state"] in ("answered", "late"):
                raise StoreError("this task has been answered. Undo the answer first.")
            if row["state"] == "open":
                leases.give_back(connection, row["item_id"], row["repeat"])
            connection.execute(update(tasks).where(tasks.c.id == task).values(state="skipped", reason=reason))

    def release_expired(self, now: float, campaign: str | None = None) -> int:
        """Give back what was leased and not answered in time; how many tasks that were. `next` does it by itself."""
        overdue = select(tasks.c.id).where(tasks.c.state == "open", tasks.c.lease_expires < now)
        if campaign is not None:
            overdue = overdue.where(tasks.c.campaign_id == campaign)
        count = 0
        while True:
            with self._database.reading() as connection:
                if connection.execute(overdue.limit(1)).first() is None:
                    return count
            with self._database.sharing() as connection:
                back = leases.expire(connection, overdue.limit(admission.CHUNK))
            if not back:               # somebody is at what is left
                return count
            count += back

    def of_person(self, person: str, campaign: str | None = None, limit: int = 100) -> list[Task]:
        """What a person was given and did not hand back, the last one first, by campaign."""
        query = select(tasks.c.id).where(tasks.c.person_id == person, tasks.c.state.in_(("open", "answered", "late")))
        if campaign is not None:
            query = query.where(tasks.c.campaign_id == campaign)
        query = query.order_by(tasks.c.campaign_id, tasks.c.number.desc()).limit(limit)
        with self._database.reading() as connection:
            return leases.load(connection, list(connection.execute(query).scalars()))


def _unknown(task: str) -> Task:
    raise StoreError(f"there is no task {task!r}.")


def _receipt_of_before(connection: Connection, row: Mapping[str, Any], known: Mapping[Any, Any],
                       answer: Mapping[str, Any]) -> Receipt:
    of = connection.execute(select(answers.c.task_id).where(answers.c.judgment_id == known["id"])).scalar()
    if of != row["id"] or known["answer"] != rows.plain_json(answer, "an answer"):
        raise StoreError(f"the key {known['idempotency_key']!r} stands for another answer already. A key is for one answer.")
    return Receipt(judgment=known["id"], task=row["id"], is_new=False, state=row["state"])
