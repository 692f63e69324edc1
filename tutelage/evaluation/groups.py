"""Results by group: what each model reached on the items of one group, and what may be said of it.

Of a mark, the difference to the reference in that group is tested; of a difference between two forms of an item
(`twins`), whether it is there at all. All tests of one page are one family (Holm), and intervals draw items that are alike
together. Where nothing was shown, the verdict is `tied`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tutelage.evaluation.compare import Difference, plain, verdict_of
from tutelage.evaluation.examine import Examined
from tutelage.evaluation.tasks import Loaded
from tutelage.evaluation.twins import signed_metrics
from tutelage.statistics import Estimate, holm, mean_interval, share_interval, sign_flip_test


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One model on one group of a task's items, by one metric."""

    task: str
    group: str
    metric: str
    model: str
    items: int
    signed: bool                       # the mark itself is a difference, which is held against 0
    mark: Estimate
    difference: Difference | None      # from 0 where signed, else from the reference; None of the reference itself


def by_group(examined: Mapping[str, Sequence[Examined]], tasks: Sequence[Loaded], reference: str, seed: int = 0) -> list[Slice]:
    """Every group of every task that has groups; groups in the order of their first items."""
    found = [each for at, task in enumerate(tasks) for group in dict.fromkeys(item.group for item in task.items if item.group)
             for each in _group(task, group, {model: row[at] for model, row in examined.items()}, reference, seed)]
    adjusted = iter(holm([each.difference.p for each in found if each.difference is not None]))
    return [each if each.difference is None else replace(each, difference=each.difference.corrected(next(adjusted)))
            for each in found]


def clusters_of(task: Loaded) -> list[str] | None:
    """What each item shares with others, a name of its own where nothing; None where no item shares anything."""
    if not any(item.cluster for item in task.items):
        return None
    return [item.cluster or f"alone {place}" for place, item in enumerate(task.items)]


def _group(task: Loaded, group: str, by_model: Mapping[str, Examined], reference: str, seed: int) -> list[Slice]:
    places = [place for place, item in enumerate(task.items) if item.group == group]
    clusters = clusters_of(task)
    drawn = None if clusters is None else [clusters[place] for place in places]
    first = next(iter(by_model.values()))
    signed = signed_metrics(task.head, tuple(first.marks))
    slices = []
    for metric in signed or tuple(first.marks)[:1]:
        rows = {model: [each.marks[metric][place] for place in places] for model, each in by_model.items()}
        for model, row in rows.items():
            against = row if signed else [mark - other for mark, other in zip(row, rows[reference], strict=True)]
            slices.append(Slice(
                task=task.name, group=group, metric=metric, model=model, items=len(places), signed=bool(signed),
                mark=share_interval(row, drawn, seed=seed),
                difference=_difference(against, drawn, seed) if signed or model != reference else None))
    return slices


def _difference(values: Sequence[float], clusters: Sequence[str] | None, seed: int) -> Difference:
    estimate, p = mean_interval(values, clusters, seed=seed), sign_flip_test(values, clusters, seed=seed)
    return Difference(estimate, verdict_of(estimate, p), p, p)


def to_json(slices: Sequence[Slice]) -> list[dict[str, Any]]:
    return [plain(each) for each in slices]
