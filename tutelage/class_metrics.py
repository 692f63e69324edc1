"""How well a classifier does: counts of what it said against what is so, and the usual figures made of them.

B texts · K classes; `truth` and `given` hold the classes of each text, by number
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Chosen = Sequence[Sequence[int]]


def measure(names: Sequence[str], truth: Chosen, given: Chosen, multi: bool) -> dict[str, Any]:
    """Accuracy, figures of each class, their means, and the confusion matrix, as plain JSON values.

    Accuracy is the share of texts all of whose classes are right. `macro` is the plain mean over the classes, `weighted` the
    mean by how many texts are in each. A figure that would divide by zero is 0: the precision of a class that was never
    given, the recall of one that no text is in.

    Returns:
        `confusion[i][j]` counts the texts of class i that were said to be in j; with `multi` there is one matrix a class, by
        name: [[rightly not given, wrongly given], [missed, rightly given]].
    """
    sides = list(zip(truth, given, strict=True))
    classes = {name: _of_class([(index in so, index in said) for so, said in sides]) for index, name in enumerate(names)}
    figures: dict[str, Any] = {
        "rows": len(sides), "accuracy": _ratio(sum(set(so) == set(said) for so, said in sides), len(sides)),
        "macro": _mean(classes.values(), [1] * len(classes)),
        "weighted": _mean(classes.values(), [each["support"] for each in classes.values()]),
        "classes": classes}
    if multi:
        return {**figures, "confusion": {name: _two_by_two(each, len(sides)) for name, each in classes.items()}}
    pairs = Counter((so[0], said[0]) for so, said in sides)
    return {**figures, "confusion": [[pairs[i, j] for j in range(len(names))] for i in range(len(names))]}


def _of_class(answers: Sequence[tuple[bool, bool]]) -> dict[str, float]:
    """Figures of one class from (is so, was said) of each text."""
    support, said = sum(so for so, _ in answers), sum(given for _, given in answers)
    both = sum(so and given for so, given in answers)
    return {"precision": _ratio(both, said), "recall": _ratio(both, support), "f1": _ratio(2 * both, support + said),
            "accuracy": _ratio(sum(so == given for so, given in answers), len(answers)),
            "support": support, "given": said, "right": both}


def _two_by_two(each: Mapping[str, float], rows: int) -> list[list[float]]:
    missed, wrong = each["support"] - each["right"], each["given"] - each["right"]
    return [[rows - each["right"] - missed - wrong, wrong], [missed, each["right"]]]


def _mean(classes: Any, weights: Sequence[float]) -> dict[str, float]:
    every = list(classes)
    return {figure: _ratio(sum(weight * each[figure] for weight, each in zip(weights, every, strict=True)), sum(weights))
            for figure in ("precision", "recall", "f1")}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def table_rows(measured: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Columns and rows of the table that is printed: a line a class, and the two means."""
    columns = ["class", "precision", "recall", "F1", "rows"]
    rows = [[name, each["precision"], each["recall"], each["f1"], each["support"]] for name, each in measured["classes"].items()]
    rows += [[f"mean, {way}", mean["precision"], mean["recall"], mean["f1"], measured["rows"]]
             for way in ("macro", "weighted") for mean in (measured[way],)]
    return columns, rows
