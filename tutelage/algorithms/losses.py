"""What every loss returns: sums and counts, never a mean (D5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossSum:
    """A loss before its one division.

    The trainer divides `sum` by the count over all micro-batches and ranks, so splitting a batch never
    changes a gradient. Stats are sums too: add them up, then divide by the count they belong to.
    """

    sum: Tensor                                                     # (), with gradient
    count: Tensor                                                   # (), how many tokens or pairs were summed
    stats: Mapping[str, Tensor] = field(default_factory=dict)       # name -> (), detached sums

    def __add__(self, other: LossSum) -> LossSum:
        """The loss of two micro-batches together."""
        stats = {name: self.stats[name] + other.stats[name] for name in self.stats}
        return LossSum(self.sum + other.sum, self.count + other.count, stats)
