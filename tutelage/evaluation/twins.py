"""Items asked in two forms: the same question with a typo, the same request about somebody else.

Of a task with a `twin` the regular examination is asked both forms of every item, each conversation once however many items
share it. What is then marked is the pair. `compare` says what of it is the task's own:

    change    mark of the other form less mark of the first: what a typo, a distractor or an injected instruction costs
    gap       minus the absolute difference: 0 where both forms are treated alike, whichever is favoured

For both, the difference keeps its sign in a mark of its own, for results by group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tutelage.evaluation.config import Task
from tutelage.evaluation.tasks import Item, Loaded

Forms = tuple[int, int]      # places of an item's first and other form among the items that are asked
BETWEEN = "\n⇄\n"            # between the texts of both forms, where they are shown
SIGNED = " difference"       # what a metric of both forms is called: the other form less the first


def both_forms(task: Loaded) -> tuple[Loaded, list[Forms]]:
    """The task with every form of every item as an item of its own, each once, and where an item's two forms stand."""
    asked: list[Item] = []
    places: dict[tuple[object, ...], int] = {}

    def place(item: Item) -> int:
        key = (item.turns, item.answers, item.choices, item.rules)
        if key not in places:
            places[key] = len(asked)
            asked.append(item)
        return places[key]

    forms = [(place(replace(item, twin=())), place(replace(item, turns=item.twin, twin=()))) for item in task.items]
    return replace(task, head=replace(task.head, twin=""), items=tuple(asked)), forms


def compared(task: Task, metrics: Sequence[str]) -> tuple[str, ...]:
    """Names of the marks of a task with a twin, its own first; `metrics` are those of one form."""
    own = metric_of(task, metrics)
    if task.compare == "gap":
        rest = [name for metric in metrics for name in (f"{metric} gap, negated", metric + SIGNED)]
        return (f"{own} gap, negated", *(name for name in rest if name != f"{own} gap, negated"))
    return f"{own} change", f"{own}, first form", f"{own}, other form"


def metric_of(task: Task, metrics: Sequence[str]) -> str:
    """Which mark of one form is compared first: of choices the probability, which says more than right or wrong."""
    return "probability" if task.kind == "choice" and task.compare == "gap" else metrics[0]


def compare_forms(task: Task, marks: dict[str, tuple[float, ...]], forms: Sequence[Forms]) -> dict[str, tuple[float, ...]]:
    """Marks an item, from the marks of all forms that were asked."""
    pairs = {metric: [(row[first], row[other]) for first, other in forms] for metric, row in marks.items()}
    own = metric_of(task, list(marks))
    if task.compare == "change":
        return {f"{own} change": tuple(other - first for first, other in pairs[own]),
                f"{own}, first form": tuple(first for first, _ in pairs[own]),
                f"{own}, other form": tuple(other for _, other in pairs[own])}
    found = {}
    for metric, row in pairs.items():
        found[f"{metric} gap, negated"] = tuple(-abs(other - first) for first, other in row)
        found[metric + SIGNED] = tuple(other - first for first, other in row)
    return {name: found[name] for name in compared(task, list(marks))}


def signed_metrics(task: Task, metrics: Sequence[str]) -> tuple[str, ...]:
    """Those of a task's marks that lie below or above 0 as one form or the other is favoured."""
    return tuple(metric for metric in metrics if metric.endswith(SIGNED) or metric.endswith(" change")) if task.twin else ()
