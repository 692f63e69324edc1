"""What is learned of annotators beside the reward model: how reliable each is and where their scales begin.

    reliability    a = 1 + what they differ by; scales what they see of a score
    thresholds     of a judge on a scale: the common ones and what theirs differ by, in order by construction
    loading        of a scale: how much of the score an aspect is about
    offset         of a group of annotators, on what they rate
    strengths      where a winner begins to be better by each level: one scale for all judges
    tie            log of Davidson's nu: how readily two are called equal

All are kept as differences from where they start, with normal priors around it, so that who judged little stays there. They
are parameters of the policy that is trained: one optimizer, one checkpoint.

M judgments · R judges · S scales · C pairs of a judge and a scale they used · T thresholds
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.algorithms import rising, steps_of
from tutelage.rewards.config import Annotators

MOST_LEVELS = 11         # of a scale; one with more different values is cut into ten levels of about equal size
REACH, MOST_LR = 4.0, 0.2      # of a rate that follows from the steps: about twice as far as from 1, the usual judge, to -1
COMMON_SPREAD = 2.0      # standard deviation of the priors of what all judges share: thresholds, the tie


@dataclass(frozen=True, slots=True)
class Scale:
    """Levels, by the values at which each but the first begins."""

    name: str
    cuts: tuple[float, ...]

    @classmethod
    def of(cls, name: str, values: Iterable[float]) -> Scale:
        found = sorted(values)
        different = sorted(set(found))
        if len(different) > MOST_LEVELS:
            tenths = {found[len(found) * tenth // 10] for tenth in range(1, 10)}
            return cls(name, tuple(sorted(tenths - {different[0]})))
        return cls(name, tuple(different[1:]))

    def level(self, value: float) -> int:
        return bisect.bisect_right(self.cuts, value)


@dataclass(frozen=True, kw_only=True)
class Book:
    """Who judged and on which scales: what the parameters are about, by place."""

    judges: tuple[str, ...]
    weights: tuple[float, ...]                        # (R,) how much each judged
    scales: tuple[Scale, ...]
    counts: tuple[tuple[float, ...], ...]             # by scale, how often each level was given
    cells: tuple[tuple[int, int], ...]                # (judge, scale)
    groups: tuple[str, ...] = ("",)
    most_tied: int = 1                                # most responses that share a place
    strengths: Scale = Scale("strength", ())          # of comparisons' margins
    strength_counts: tuple[float, ...] = ()           # how often a winner was better by each level
    ties: tuple[float, float] = (0.0, 0.0)            # of comparisons, how many were ties and how many there were

    @cached_property
    def places(self) -> dict[tuple[int, int], int]:
        """Of the cells."""
        return {cell: at for at, cell in enumerate(self.cells)}

    @cached_property
    def _judge_places(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.judges)}

    def judge(self, name: str) -> int:
        return self._judge_places[name]

    def scale(self, name: str) -> int:
        return next(at for at, scale in enumerate(self.scales) if scale.name == name)


class Judges(nn.Module):
    """The parameters, and what the likelihood asks of them. Everything is on one device, in fp32."""

    strength_starts: Tensor  # (levels of strength - 1,) what `rising` makes the first cuts of, after one at 0
    starts: Tensor           # (S, T) what `rising` makes the first common thresholds of
    beyond: Tensor           # (S, T) True where a scale has no such threshold
    reliability: Tensor      # (R,) differences, here and below
    common: Tensor           # (S, T)
    own: Tensor              # (C, T)
    loading: Tensor          # (S,)
    offset: Tensor           # (groups,)
    strength: Tensor         # (levels of strength - 1,)
    tie_above: Tensor        # (1,)

    def __init__(self, book: Book, priors: Annotators, steps: int = 0) -> None:
        """`steps` are about as many as the run makes, for a learning rate that lets everything move as far as it may need: Adam
        moves a parameter by no more than its rate a step, whatever the judgments say."""
        super().__init__()
        self.book, self.priors, self.peak_lr = book, priors, priors.lr or min(MOST_LR, REACH / max(1, steps))
        most = max((len(scale.cuts) for scale in book.scales), default=0)
        starts = torch.zeros(len(book.scales), most)
        beyond = torch.ones(len(book.scales), most, dtype=torch.bool)
        for at, (scale, counts) in enumerate(zip(book.scales, book.counts, strict=True)):
            starts[at, :len(scale.cuts)] = steps_of(_marginal(counts))
            beyond[at, :len(scale.cuts)] = False
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("beyond", beyond, persistent=False)
        self.register_buffer("strength_starts", _strength_steps(book.strength_counts), persistent=False)
        tied, compared = book.ties
        self.tie_start = math.log(2 * (tied + 0.5) / (compared - tied + 0.5))      # nu / (2 + nu) is the share of ties
        several = len(book.judges) > 1
        # spread of the prior -> size; whatever is fixed has no parameter
        sizes = {"reliability": (priors.reliability * several, (len(book.judges),)),
                 "common": (COMMON_SPREAD * bool(priors.thresholds), starts.shape),
                 "own": (priors.thresholds * several, (len(book.cells), most)),
                 "loading": (priors.loading, (len(book.scales),)),
                 "offset": (priors.offset * (len(book.groups) > 1), (len(book.groups),)),
                 "strength": (priors.strengths, (len(book.strengths.cuts),)),
                 "tie_above": (COMMON_SPREAD * (book.most_tied > 1), (1,))}
        self.spreads = {name: float(spread) for name, (spread, size) in sizes.items() if spread and math.prod(size)}
        for name, (_, size) in sizes.items():
            value = nn.Parameter(torch.zeros(size), requires_grad=name in self.spreads)
            self.register_parameter(name, value)

    def factor(self, judge: Tensor, scale: Tensor | None = None) -> Tensor:
        """(M,) by which a score is multiplied before this judge sees it."""
        found = 1 + self.reliability[judge]
        return found if scale is None else found * (1 + self.loading[scale])

    def thresholds(self, cell: Tensor, scale: Tensor, group: Tensor) -> Tensor:
        """(M, T), inf where the scale has no such threshold."""
        own = rising(self.starts[scale] + self.common[scale] + self.own[cell])
        return (own - self.offset[group][:, None]).masked_fill(self.beyond[scale], torch.inf)

    @property
    def tie(self) -> Tensor | None:
        return self.tie_start + self.tie_above[0] if self.book.most_tied > 1 else None

    @property
    def strength_cuts(self) -> Tensor:
        """(levels of strength - 1,) rising from above 0."""
        return rising(torch.cat([self.strength.new_zeros(1), self.strength_starts + self.strength]))[1:]

    def penalty(self) -> Tensor:
        """Minus log prior, up to a constant: what all judgments together pay once."""
        total = self.reliability.new_zeros(())
        for name, spread in self.spreads.items():
            total = total + 0.5 * (self.get_parameter(name) / spread).square().sum()
        return total

    @torch.no_grad()
    def to_json(self, named: Mapping[str, str]) -> dict[str, Any]:
        """What was learned, for a report; `named` says what each judge is called there."""
        book = self.book
        judges = [{"judge": named[name], "weight": weight, "reliability": round(1 + float(self.reliability[at]), 6),
                   "thresholds": {book.scales[scale].name: self._row(place, scale)
                                  for place, (judge, scale) in enumerate(book.cells) if judge == at}}
                  for at, (name, weight) in enumerate(zip(book.judges, book.weights, strict=True))]
        scales = {scale.name: {"levels_from": list(scale.cuts), "loading": round(1 + float(self.loading[at]), 6)}
                  for at, scale in enumerate(book.scales)}
        offsets = {group: round(float(self.offset[at]), 6) for at, group in enumerate(book.groups)}
        return {"judges": judges, "scales": scales, "offsets": offsets,
                "strengths": {"levels_from": list(book.strengths.cuts), "cuts": [round(value, 6) for value in
                                                                             self.strength_cuts.tolist()]},
                "tie": None if self.tie is None else round(float(self.tie), 6)}

    def _row(self, cell: int, scale: int) -> list[float]:
        found = self.thresholds(torch.tensor([cell]), torch.tensor([scale]), torch.tensor([0]))[0]
        return [round(float(value), 6) for value in found if math.isfinite(value)]


def _marginal(counts: Sequence[float]) -> Tensor:
    """Thresholds at which a score of 0 gives each level as often as it was given; half a judgment is added to each."""
    shares = torch.tensor(counts, dtype=torch.float64) + 0.5
    below = (shares.cumsum(0) / shares.sum())[:-1]
    return torch.logit(below).float()


def _strength_steps(counts: Sequence[float]) -> Tensor:
    """What makes each level as frequent, at equal scores, as it was given; half a judgment is added to each.

    P(|z| > c) of a logistic z is 2 sigma(-c).
    """
    shares = torch.tensor(counts, dtype=torch.float64) + 0.5
    above = shares.flip(0).cumsum(0).flip(0)[1:] / shares.sum()
    return steps_of(torch.cat([above.new_zeros(1), -torch.logit(above / 2)]))[1:].float()
