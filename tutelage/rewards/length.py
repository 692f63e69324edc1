"""What length earns: measured among equals, and taken out of scores where that is asked for.

Length is log(1 + tokens of the response). Over pairs, both differences better side minus worse,

    score gap = a (2 p - 1) + b (length gap) + rest,        p the judgment's probability that the better side wins

so `a` is what the judgment says and `b` what length earns at the same judgment (`statistics.dependence.at_equal`).
Regressed out, a score is `raw - b (length - mean length)`, with b and the mean fitted on the training responses once training
has ended. It is a straight line and one number: what judges really give for length stays in `a` and is not taken out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from tutelage.records import Preference, Ranking
from tutelage.statistics.dependence import AtEqual, at_equal
from tutelage.training.pairs import Judged


@dataclass(frozen=True, slots=True)
class LengthTerm:
    """`slope` is in raw score units a unit of log(1 + tokens), `mean` the length at which nothing is taken."""

    slope: float
    mean: float

    def earned(self, lengths: Sequence[int]) -> Tensor:
        """(B,) what responses of so many tokens earn by their length."""
        return self.slope * (torch.tensor([math.log1p(tokens) for tokens in lengths]) - self.mean)


def bias(groups: Sequence[Judged], scores: Sequence[Tensor]) -> AtEqual | None:
    """How scores go with length among equals; None without two pairs."""
    gaps, longer, judged = [], [], []
    for group, found in zip(groups, scores, strict=True):
        lengths = _lengths(group)
        for one, other, judgment in _compared(group):
            gaps.append(float(found[one] - found[other]))
            longer.append(math.log1p(lengths[one]) - math.log1p(lengths[other]))
            judged.append(judgment)
    return at_equal(gaps, longer, judged) if len(gaps) > 1 else None


def correlation(groups: Sequence[Judged], scores: Sequence[Tensor]) -> float | None:
    """Of score gaps and length gaps among equals, -1 to 1; None where it is not defined."""
    found = bias(groups, scores)
    return None if found is None or not math.isfinite(found.correlation) else found.correlation


def fitted(groups: Sequence[Judged], scores: Sequence[Tensor]) -> LengthTerm | None:
    """What is to be taken out; None where every pair's sides are as long."""
    found = bias(groups, scores)
    if found is None or not math.isfinite(found.slope):
        return None
    lengths = [math.log1p(tokens) for group in groups for tokens in _lengths(group)]
    return LengthTerm(found.slope, sum(lengths) / len(lengths))


def without(term: LengthTerm | None, groups: Sequence[Judged], scores: Sequence[Tensor]) -> list[Tensor]:
    """(responses,) a group, with what length earns taken out."""
    if term is None:
        return list(scores)
    return [found - term.earned(_lengths(group)) for group, found in zip(groups, scores, strict=True)]


def _compared(group: Judged) -> Iterator[tuple[int, int, float]]:
    """Two responses by their places and 2 p - 1, of pairs and of each two of a ranking."""
    for term, at in group.terms:
        if isinstance(term, Preference):
            yield at[0], at[1], 2 * term.label - 1
        elif isinstance(term, Ranking):
            for (rank, one), (next_, other) in combinations(sorted(zip(term.ranks, at, strict=True)), 2):
                yield one, other, float(rank < next_)


def _lengths(group: Judged) -> list[int]:
    return [len(response.ids) - group.prompt_length for response in group.responses]
