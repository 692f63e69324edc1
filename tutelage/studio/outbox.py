"""Taking what a browser's outbox holds: entry by entry, in order, each kept once however often it is sent.

An entry is acknowledged ("kept", or "known" where it had come before) or refused for good, with the reason. Trouble of
our own (a locked or full database) is neither: it is raised, so that the browser keeps the entry and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.errors import DataError, StoreError, StoreUnavailable
from tutelage.feedback import kinds
from tutelage.feedback.asked import Asked
from tutelage.feedback.kinds import flag as flag_kind
from tutelage.store import Store
from tutelage.store.questions import Task
from tutelage.studio.gold import is_right
from tutelage.studio.wire import Entry, kept_timings


def take(store: Store, person: str, entries: Sequence[Entry], now: float) -> dict[str, Any]:
    """What became of each entry, by key, and how the campaigns concerned stand for this person.

    Raises:
        StoreUnavailable: if the database cannot be written just now; what came before it in the batch is kept.
    """
    results, campaigns = [], set()
    for entry in entries:
        try:
            task = store.tasks.get(entry.task)
            if task.person != person:
                raise StoreError(f"task {entry.task!r} is another person's.")
            campaigns.add(task.campaign)
            results.append({"key": entry.key, "status": _TAKE[entry.op](store, task, person, entry, now)})
        except StoreUnavailable:
            raise
        except (StoreError, DataError) as error:
            results.append({"key": entry.key, "status": "refused", "message": str(error)})
    return {"results": results, "progress": {campaign: progress(store, campaign, person) for campaign in sorted(campaigns)}}


def progress(store: Store, campaign: str, person: str) -> dict[str, int]:
    """How many the person has answered, and of how many."""
    mine, left = store.progress.of_person(campaign, person), store.progress.standing(campaign, person).num_left
    return {"answered": mine.num_answered, "wanted": mine.num_answered + mine.num_open + left}


def check(task: Task, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The answer in its kind's one form. Raises DataError."""
    asked = Asked.of(task.settings, len(task.samples), [sample.text for sample in task.samples])
    return kinds.kind(task.kind).check_answer(answer, asked)


def _answer(store: Store, task: Task, person: str, entry: Entry, now: float) -> str:
    said = check(task, entry.answer)
    right = None if task.gold is None else is_right(task.kind, said, task.gold, task.order)
    receipt = store.tasks.submit(task.id, person, said, entry.key, now, kept_timings(entry.timings), right)
    return "kept" if receipt.is_new else "known"


def _undo(store: Store, task: Task, person: str, entry: Entry, now: float) -> str:
    store.tasks.undo(person, entry.undoes, now)
    return "kept"


def _skip(store: Store, task: Task, person: str, entry: Entry, now: float) -> str:
    store.tasks.skip(task.id, person, entry.reason)
    return "kept"


def _flag(store: Store, task: Task, person: str, entry: Entry, now: float) -> str:
    """A flag is no answer: the item goes before a reviewer, and the task on to nobody else by this person's hand."""
    said = flag_kind.check_answer({"reason": entry.reason, **({"note": entry.note} if entry.note else {})})
    store.review.flag(task.item, person, said["reason"], now, said.get("note", ""), entry.key)
    if task.state == "open":
        store.tasks.skip(task.id, person, f"flag:{said['reason']}")
    return "kept"


_TAKE = {"answer": _answer, "undo": _undo, "skip": _skip, "flag": _flag}
