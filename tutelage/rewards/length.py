"""What length earns: measured among equals, and taken out of scores where that is asked for.

Length is log(1 + tokens of the response). Over pairs, both differences better side minus worse,

    score gap = a (2 p - 1) + b (length gap) + rest,        p the judgment's probability that the better side wins

so `a` is what the judgment says and `b` what length earns at the same judgment (`statistics.dependence.at_equal`).
Regressed out, a score is `raw - b (length - mean length)`, with b and the mean fitted on the training responses once training
has ended. It is a straight line and one number: what judges really give for length stays in `a` and is not taken out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutelage.statistics.dependence import AtEqual, at_equal
from tutelage.training.pairs import Group


@dataclass(frozen=True, slots=True)
class LengthTerm:
    """`slope` is in raw score units a unit of log(1 + tokens), `mean` the length at which nothing is taken."""

    slope: float
    mean: float

    def earned(self, lengths: Sequence[int]) -> Tensor:
        """(B,) what responses of so many tokens earn by their length."""
        return self.slope * (torch.tensor([math.log1p(tokens) for tokens in lengths]) - self.mean)


def bias(groups: Sequence[Group], scores: Sequence[Tensor]) -> AtEqual | None:
    """How scores go with length among equals; None without two pairs."""
    gaps, longer, judged = [], [], []
    for group, found in zip(groups, scores, strict=True):
        lengths = _lengths(group)
        for chosen, rejected, term in group.pairs:
            gaps.append(float(found[chosen] - found[rejected]))
            longer.append(math.log1p(lengths[chosen]) - math.log1p(lengths[rejected]))
            judged.append(2 * term.label - 1)
    return at_equal(gaps, longer, judged) if len(gaps) > 1 else None


def correlation(groups: Sequence[Group], scores: Sequence[Tensor]) -> float | None:
    """Of score gaps and length gaps among equals, -1 to 1; None where it is not defined."""
    found = bias(groups, scores)
    return None if found is None or not math.isfinite(found.correlation) else found.correlation


def fitted(groups: Sequence[Group], scores: Sequence[Tensor]) -> LengthTerm | None:
    """What is to be taken out; None where every pair's sides are as long."""
    found = bias(groups, scores)
    if found is None or not math.isfinite(found.slope):
        return None
    lengths = [math.log1p(tokens) for group in groups for tokens in _lengths(group)]
    return LengthTerm(found.slope, sum(lengths) / len(lengths))


def without(term: LengthTerm | None, groups: Sequence[Group], scores: Sequence[Tensor]) -> list[Tensor]:
    """(responses,) a group, with what length earns taken out."""
    if term is None:
        return list(scores)
    return [found - term.earned(_lengths(group)) for group, found in zip(groups, scores, strict=True)]


def _lengths(group: Group) -> list[int]:
    return [len(response.ids) - group.prompt_length for response in group.responses]
