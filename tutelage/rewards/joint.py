"""Every kind of judgment as one likelihood on one score: the objectives `joint`, `regression` and `classification`.

B unique responses of a batch · M judgments of one form · K ranked responses
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, comparison_nll, judgment_loss, ordinal_nll, ranking_nll, score_nll
from tutelage.models.policy import Policy
from tutelage.records import Preference, Ranking, Rating, Term, Thumb
from tutelage.rewards.config import Annotators
from tutelage.rewards.judges import Book, Judges, Scale
from tutelage.training.fit import Task
from tutelage.training.loop import MicroBatch
from tutelage.training.loop import Term as LossTerm
from tutelage.training.pairs import Judged, pack_responses

THUMBS = "thumbs"           # the scale of two levels
_SOURCES = {Preference: "comparison", Ranking: "ranking", Rating: "rating", Thumb: THUMBS}
_FORMS = ("compared", "ranked", "rated", "valued")


def source_of(term: Term) -> str:
    """Which kind of judgment it was."""
    return term.source or _SOURCES[type(term)]      # type: ignore[index]


def judge_of(term: Term) -> str:
    """Whose word it is; those of a kind whom nobody names are one judge."""
    return term.person or f"unnamed ({term.annotator})"


def _group_of(term: Term, by: str) -> str:
    return term.annotator if by == "annotator" else str(term.meta.get(by, ""))


def _levels(term: Term) -> Mapping[str, float]:
    """scale -> value, of what rates one response."""
    if isinstance(term, Thumb):
        return {THUMBS: float(term.up)}
    return term.scores if isinstance(term, Rating) else {}


def book_of(terms: Sequence[Term], priors: Annotators) -> Book:
    """Everybody who judged, by name, and every scale, by name: whatever the order of the terms."""
    weights: Counter[str] = Counter()
    values: dict[str, list[tuple[float, float, str]]] = {THUMBS: []}
    tied = compared = 0.0
    for term in terms:
        weights[judge_of(term)] += term.weight      # type: ignore[assignment]
        for name, value in _levels(term).items():
            values.setdefault(name, []).append((value, term.weight, judge_of(term)))
        if isinstance(term, Preference):
            tied, compared = tied + term.weight * (term.label == 0.5), compared + term.weight
    shared = max((max(Counter(term.ranks).values()) for term in terms if isinstance(term, Ranking)), default=1)
    judges = tuple(sorted(weights))
    scales = tuple(Scale.of(name, [value for value, *_ in values[name]]) if name != THUMBS else Scale(THUMBS, (1.0,))
                   for name in sorted(values) if values[name])
    counts = []
    for scale in scales:
        found = [0.0] * (len(scale.cuts) + 1)
        for value, weight, _ in values[scale.name]:
            found[scale.level(value)] += weight
        counts.append(tuple(found))
    cells = tuple(sorted({(judges.index(judge), at) for at, scale in enumerate(scales) for *_, judge in values[scale.name]}))
    return Book(judges=judges, weights=tuple(float(weights[name]) for name in judges), scales=scales, counts=tuple(counts),
                cells=cells, groups=tuple(sorted({_group_of(term, priors.group_by) for term in terms if _levels(term)})) or ("",),
                most_tied=max(shared, 2 if tied else 1), ties=(tied, compared),
                places={cell: at for at, cell in enumerate(cells)})
