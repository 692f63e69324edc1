"""Models on tasks: every mark with its interval, every difference tested, no order claimed that nobody showed.

Items are paired: the difference of two models is taken item by item. All differences of all tasks are one family (Holm).
Models called NAME-s0, NAME-s1 … are training seeds of one recipe, as `--seeds` names them: recipes are compared over items
and seeds at once, so that a lucky seed is not taken for a better recipe.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from tutelage.evaluation.compare import Difference, plain, verdict_of
from tutelage.evaluation.examine import Examined
from tutelage.statistics import (
    ALPHA,
    Estimate,
    crossed_interval,
    holm,
    minimum_detectable_effect,
    paired_difference,
    share_interval,
    sign_flip_test,
    tied_groups,
)

_SEED = re.compile(r"(.+)-s(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """One task: what each model reached, and what may be said of each two of them."""

    name: str
    metric: str
    n: int                                               # items
    marks: Mapping[str, Mapping[str, Estimate]]          # metric -> model -> mean; the task's own metric first
    pairs: tuple[tuple[str, str, Difference], ...]       # first, second, first minus second
    detectable: float                                    # difference this many items show 4 times in 5, at the spread seen

    @property
    def own(self) -> Mapping[str, Estimate]:
        return self.marks[self.metric]

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Models that were not shown to differ, best first."""
        return tied_groups({model: each.value for model, each in self.own.items()},
                           [(first, second) for first, second, found in self.pairs if found.verdict in ("better", "worse")])

    def against(self, first: str, second: str) -> Difference:
        for one, other, found in self.pairs:
            if (one, other) == (first, second):
                return found
            if (one, other) == (second, first):
                return found.flipped()
        raise KeyError((first, second))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Several training seeds of one recipe against the reference, on one task."""

    name: str
    task: str
    seeds: int
    difference: Estimate        # over items and seeds; n is the smaller number of both


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    models: tuple[str, ...]
    reference: str
    tasks: tuple[TaskResult, ...]
    recipes: tuple[Recipe, ...]
    seed: int

    @property
    def num_tests(self) -> int:
        return sum(len(task.pairs) for task in self.tasks)

    def tally(self, focus: str) -> Mapping[str, int]:
        """How often `focus` is better, worse, tied or on too few items against the reference."""
        found = [task.against(focus, self.reference).verdict for task in self.tasks]
        return {verdict: found.count(verdict) for verdict in ("better", "worse", "tied", "too_few")}

    def to_json(self) -> dict[str, Any]:
        return {"reference": self.reference, "models": list(self.models), "seed": self.seed,
                "tasks": [{"name": task.name, "metric": task.metric, "n": task.n, "marks": plain(task.marks),
                           "detectable": task.detectable, "groups": [list(group) for group in task.groups],
                           "pairs": [{"first": first, "second": second, **plain(found)} for first, second, found in task.pairs]}
                          for task in self.tasks],
                "recipes": [plain(recipe) for recipe in self.recipes]}


def board(examined: Mapping[str, Sequence[Examined]], reference: str, seed: int = 0,
          clusters: Mapping[str, Sequence[str] | None] | None = None) -> Board:
    """Every task of `examined` (model -> one `Examined` a task, in one order).

    Args:
        clusters: task -> what each of its items shares with items that are alike, where there are such.
    """
    models, alike = tuple(examined), clusters or {}
    results = [_result(row := {model: examined[model][at] for model in models}, seed, alike.get(row[models[0]].task))
               for at in range(len(examined[models[0]]))]
    corrected = iter(holm([found.p for result in results for _, _, found in result.pairs]))
    tasks = tuple(replace(result, pairs=tuple((first, second, found.corrected(next(corrected))) for first, second,
                                              found in result.pairs))
                  for result in results)
    return Board(models=models, reference=reference, tasks=tasks, recipes=tuple(_recipes(examined, reference)), seed=seed)


def _result(by_model: Mapping[str, Examined], seed: int, clusters: Sequence[str] | None = None) -> TaskResult:
    first = next(iter(by_model.values()))
    own = next(iter(first.marks))
    pairs, spreads = [], []
    for one, other in combinations(by_model, 2):
        ours, theirs = (by_model[model].marks[own] for model in (other, one))      # the later against the earlier
        apart = [a - b for a, b in zip(ours, theirs, strict=True)]
        estimate = paired_difference(ours, theirs, clusters, seed=seed)
        p = sign_flip_test(apart, clusters, seed=seed)
        pairs.append((other, one, Difference(estimate, verdict_of(estimate, p), p, p)))
        spreads.append(_spread(_means(apart, clusters)))
    n = len(first.marks[own])
    units = len(set(clusters)) if clusters else n
    return TaskResult(
        name=first.task, metric=own, n=n, pairs=tuple(pairs),
        marks={metric: {model: share_interval(each.marks[metric], clusters, seed=seed) for model, each in by_model.items()}
               for metric in first.marks},
        detectable=minimum_detectable_effect(units, max(spreads), ALPHA) if units > 1 and spreads else float("nan"))


def _means(values: Sequence[float], clusters: Sequence[str] | None) -> list[float]:
    """The mean of each cluster: what is independent of each other."""
    found: dict[str, list[float]] = {}
    for value, cluster in zip(values, clusters or map(str, range(len(values))), strict=True):
        found.setdefault(cluster, []).append(value)
    return [sum(each) / len(each) for each in found.values()]


def _spread(row: Sequence[float]) -> float:
    mean = sum(row) / len(row)
    return (sum((each - mean) ** 2 for each in row) / max(len(row) - 1, 1)) ** 0.5


def recipes_of(models: Sequence[str]) -> dict[str, list[str]]:
    """recipe -> its models, where there are two seeds or more."""
    found: dict[str, list[str]] = {}
    for model in models:
        if (match := _SEED.fullmatch(model)) is not None:
            found.setdefault(match.group(1), []).append(model)
    return {recipe: members for recipe, members in found.items() if len(members) > 1}


def _recipes(examined: Mapping[str, Sequence[Examined]], reference: str) -> list[Recipe]:
    """Each recipe against the reference; where that is a seed of a recipe, against the mean over that recipe's seeds."""
    recipes = recipes_of(list(examined))
    base = next((members for members in recipes.values() if reference in members), [reference])
    found = []
    for recipe, members in recipes.items():
        for at, task in enumerate(examined[reference]) if members is not base else ():
            own = next(iter(task.marks))
            rows = [examined[model][at].marks[own] for model in members]
            theirs = [sum(column) / len(base) for column in zip(*(examined[model][at].marks[own] for model in base), strict=True)]
            values = [mark - other for row in rows for mark, other in zip(row, theirs, strict=True)]
            items = [item for _ in members for item in range(len(theirs))]
            seeds = [number for number in range(len(members)) for _ in theirs]
            found.append(Recipe(name=recipe, task=task.task, seeds=len(members),
                                difference=crossed_interval(values, items, seeds)))
    return found
