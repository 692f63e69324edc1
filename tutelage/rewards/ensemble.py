"""Several rewards as one that knows how sure it is: the mean, or the mean less a multiple of the spread.

    ensemble(NAME, NAME, NAME)      ensemble(NAME, NAME, k=0.5)      NAME, NAME(k=0.5) of one that was trained with --members

The spread is the standard deviation over members, each with scores of mean 0 and deviation 1 on what it was trained with (Coste
et al. 2024, arXiv:2310.02743: `k` above 0 is their uncertainty-weighted optimisation, with a deviation for the variance).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from tutelage.protocols import Score
from tutelage.records import Sample, Scores
from tutelage.rewards.dense import summed
from tutelage.scoring import MEMBER, SPREAD


class Ensemble:
    """The `Score` of several. `parts` has the spread and each member's own score; what one of them skips is skipped."""

    def __init__(self, members: Sequence[Score], k: float = 0.0) -> None:
        assert len(members) > 1 and k >= 0
        self.members, self.k = list(members), k

    def score(self, samples: Sequence[Sample]) -> Scores:
        given = [member.score(samples) for member in self.members]
        skipped = {at: why for scores in given for at, why in scores.skipped.items()}
        each = torch.tensor([scores.total for scores in given], dtype=torch.float64)                # (M, B)
        spread = each.std(dim=0, correction=0) if len(samples) else each.sum(dim=0)
        total = (each.sum(dim=0) / len(given) - self.k * spread).tolist()
        careful = Scores(total=tuple((-self.k * spread).tolist()))
        return Scores(
            per_token=summed([*given, careful], [*[1 / len(given)] * len(given), 1.0], samples),
            total=tuple(math.nan if at in skipped else value for at, value in enumerate(total)), skipped=skipped,
            parts={SPREAD: tuple(spread.tolist()),
                   **{f"{MEMBER}{number}": scores.total for number, scores in enumerate(given, start=1)}})
