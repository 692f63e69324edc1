"""Tests and their number: a paired test, Holm's correction for many, groups that are tied, and what a sample can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import DRAWS_AT_ONCE, finite_rows, per_cluster

ALPHA = 0.05
POWER = 0.8
EXACT = 14               # up to so many clusters every choice of signs is tried: 16384 of them
FLIPS = 20_000           # drawn where there are more
_ALIKE = 1e-9            # a sum within this share of the observed one counts as reached: rounding decides nothing


def sign_flip_test(differences: ArrayLike, clusters: Sequence | NDArray | None = None, seed: int = 0) -> float:
    """p, two-sided, that paired differences are as likely up as down (Fisher's randomisation test).

    The sum of the differences of each cluster gets either sign with equal chance; p is the share of sign choices that
    reach the observed size. Exact up to 14 clusters that are not zero, drawn by `seed` beyond, the observed one counted.

    Args:
        differences: (N,) finite numbers.
        clusters: (N,) labels of what rows share, as their prompt; None: every row stands alone.
    Raises:
        ShapeError: as `mean_interval`.
    """
    rows = finite_rows("differences", differences)
    sums, _ = per_cluster(rows, clusters)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    observed = abs(float(sums.sum())) * (1 - _ALIKE)
    if len(sums) <= EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        return float(np.mean(np.abs(signs @ sums) >= observed))
    rng, reached = np.random.default_rng(seed), 0
    at_once = max(1, DRAWS_AT_ONCE // len(sums))
    for start in range(0, FLIPS, at_once):
        ups = rng.integers(0, 2, size=(min(at_once, FLIPS - start), len(sums)), dtype=np.int8)
        reached += int((np.abs(2 * (ups @ sums) - sums.sum()) >= observed).sum())
    return (1 + reached) / (FLIPS + 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p of each test so that all together are wrong in at most one family of twenty (Holm 1979).

        p'(i) = max over j <= i of min(1, (m - j + 1) p(j)),    p(1) <= ... <= p(m)

    Raises:
        ShapeError: if one is not within 0 and 1.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ShapeError(f"holm got {list(p_values)}; wanted numbers from 0 to 1.")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[at]))
        adjusted[at] = highest
    return adjusted


def minimum_detectable_effect(n: int, spread: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest true mean difference that `n` pairs show with probability `power`, in the units of `spread`.

        (t(1 - alpha / 2, n - 1) + t(power, n - 1)) * spread / sqrt(n)

    Args:
        n: prompts, 2 or more.
        spread: standard deviation of the paired differences, from a pilot; a difference of two marks 0 or 1 has at most 1.
        alpha: of the test; divide it by the number of comparisons for Bonferroni's bound on Holm's first.
    Raises:
        ShapeError: if n is below 2, spread below 0, or alpha or power outside 0 to 1.
    """
    if n < 2 or not spread >= 0 or not 0 < alpha < 1 or not 0 < power < 1:
        raise ShapeError(f"minimum_detectable_effect got n {n}, spread {spread}, alpha {alpha}, power {power}; wanted n >= 2, "
                         "spread >= 0, and both others between 0 and 1.")
    return float(stats.t.ppf(1 - alpha / 2, n - 1) + stats.t.ppf(power, n - 1)) * spread / float(np.sqrt(n))


def sample_size(effect: float, spread: float, alpha: float = ALPHA, power: float = POWER) -> int:
    """How many prompts it takes to show `effect` with probability `power`: the least n whose detectable effect is no larger.

    Raises:
        ShapeError: as `minimum_detectable_effect`, or if the effect is not above 0.
    """
    if not effect > 0:
        raise ShapeError(f"sample_size for an effect of {effect}; wanted a number above 0.")
    high = 2
    while minimum_detectable_effect(high, spread, alpha, power) > effect:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if middle >= 2 and minimum_detectable_effect(middle, spread, alpha, power) <= effect:
            high = middle
        else:
            low = middle
    return max(high, 2)


def tied_groups(means: Mapping[str, float], apart: Sequence[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Groups within which nobody was shown to differ, best first; one may stand in several groups.

    A ranking would put the first before the second although nothing shows it. These are the largest sets of names without
    a pair of `apart` (a compact letter display: Piepho 2004).

    Args:
        means: name -> mean; higher is better.
        apart: pairs that were shown to differ, in any order.
    """
    different = {frozenset(pair) for pair in apart}
    order = sorted(means, key=lambda name: (-means[name], name))
    groups: list[tuple[str, ...]] = []

    def grow(group: tuple[str, ...], rest: Sequence[str], seen: Sequence[str]) -> None:
        """Bron and Kerbosch: `rest` may still join the group, `seen` would make it one that was found before."""
        if not rest and not seen:
            groups.append(group)
        for at, name in enumerate(rest):
            def joins(other: str, name: str = name) -> bool:
                return frozenset((name, other)) not in different
            grow((*group, name), list(filter(joins, rest[at + 1:])), list(filter(joins, [*seen, *rest[:at]])))

    grow((), order, ())
    return sorted(groups, key=lambda group: [order.index(name) for name in group])
