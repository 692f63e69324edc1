"""Which question next, and which side first: pure rules for giving tasks to people. No clock, no database, no dice.

`plan` is what `store.tasks.next` asks. It draws from hashes of the campaign's seed, the person and the item, so the same
question to it has the same answer on every machine, and nothing a person does can be used to guess the next side.

- Of work, what fits the person's expertise best comes first, then what the fewest people have had.
- Gold and attention items, and planned repeats, come at their share: in each stretch of 1/share tasks exactly one, at
  a place that is drawn. So nobody can tell where they are, and nobody gets three in a row by bad luck.
- Sides are counterbalanced, not just shuffled: each person sees the item's first sample first as often as not, to
  within one; where a person is even, the item's own balance decides, and then a coin. A repeat has the sides changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tutelage.store.questions import Campaign, Candidate, Choice, Worker


def plan(campaign: Campaign, worker: Worker, candidates: Sequence[Candidate], num: int) -> list[Choice]:
    """Up to `num` of the candidates, in the order to be asked, each with the order to show its samples in.

    Args:
        campaign: its seed and shares are read.
        worker: how many tasks the person has had, and how their sides stand.
        candidates: what the person may be given; those with `earlier` would be repeats.
    """
    pools = _pools(campaign, worker, candidates)
    chosen: list[Choice] = []
    while len(chosen) < num:
        pool = next((pools[name] for name in _wanted(campaign, worker) if pools[name]), None)
        if pool is None:
            break
        each = pool.pop(0)
        order = show(campaign.seed, worker, each)
        chosen.append(Choice(item=each.item, order=order, is_repeat=each.earlier is not None))
        worker = replace(worker, num_given=worker.num_given + 1, balance=worker.balance + balance(order))
    return chosen


def is_due(seed: int, person: str, what: str, number: int, share: float) -> bool:
    """Whether the person's task `number` (from 0) is one of the `share` of tasks that are `what`.

    One in each stretch of round(1 / share) tasks, at a drawn place.
    """
    if share <= 0:
        return False
    length = max(1, round(1 / share))
    return number % length == _draw(seed, person, what, number // length) % length


def show(seed: int, worker: Worker, candidate: Candidate) -> tuple[int, ...]:
    """The order to show the candidate's samples in: a permutation of their places in the item."""
    num = candidate.num_samples
    if candidate.earlier is not None:
        return tuple(reversed(candidate.earlier))
    if num < 2:
        return tuple(range(num))
    if num == 2:
        lean = worker.balance or candidate.balance
        keep = lean < 0 if lean else _draw(seed, worker.person, candidate.item, "side") % 2 == 0
        return (0, 1) if keep else (1, 0)
    shuffled = sorted(range(num), key=lambda place: _draw(seed, worker.person, candidate.item, place))
    return tuple(shuffled)


def balance(order: Sequence[int]) -> int:
    """1 where the item's first sample is shown first, -1 where it is not, 0 without sides."""
    return 0 if len(order) < 2 else 1 if order[0] == 0 else -1


def _wanted(campaign: Campaign, worker: Worker) -> tuple[str, ...]:
    """The pools to take the next task from, the first that has something."""
    for what, share in (("known", campaign.terms.gold_share), ("again", campaign.terms.duplicate_share)):
        if is_due(campaign.seed, worker.person, what, worker.num_given, share):
            return (what, "work", "quiz")
    return ("work", "quiz")


def _pools(campaign: Campaign, worker: Worker, candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """By name, each in the order to be taken."""
    def by_draw(each: Candidate) -> int:
        return _draw(campaign.seed, worker.person, each.item, "turn")

    tags = set(worker.tags)
    work = [each for each in candidates if each.purpose == "work" and each.earlier is None]
    known = sorted((each for each in candidates if each.purpose in ("gold", "attention")), key=by_draw)
    work.sort(key=lambda each: (-len(tags & set(each.tags)), len(set(each.tags) - tags), each.num_taken))
    return {"work": work, "known": known, "quiz": [each for each in candidates if each.purpose == "quiz"],
            "again": [each for each in candidates if each.earlier is not None]}


def _draw(*of: object) -> int:
    """64 bits that hang on nothing but what is given."""
    return int.from_bytes(hashlib.sha256(repr(of).encode("utf-8", "surrogatepass")).digest()[:8])
