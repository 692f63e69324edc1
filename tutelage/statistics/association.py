"""How two measures of the same things go together: Pearson, Spearman and Kendall, NaN where one of them never varies."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import finite_rows


def pearson(a: ArrayLike, b: ArrayLike) -> float:
    """Linear correlation, -1 to 1: the mean product of the standardised values.

    Args:
        a, b: (N,) finite numbers each, N of 2 or more.
    Raises:
        ShapeError: if lengths differ, there are fewer than two, or a value is not finite.
    """
    first, second = _pair(a, b)
    x, y = (row - row.mean() for row in (first, second))
    # divided by the largest first: squares of 1e200 are no numbers any more
    x, y = (row / (np.abs(row).max() or 1.0) for row in (x, y))
    spread = np.sqrt((x @ x) * (y @ y))
    if not spread or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.clip((x @ y) / spread, -1.0, 1.0))


def spearman(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's of the ranks; equal values share the mean of their ranks. Args and errors as `pearson`."""
    first, second = _pair(a, b)
    return pearson(_ranks(first), _ranks(second))


def kendall(a: ArrayLike, b: ArrayLike) -> float:
    """tau-b (Kendall 1945): pairs in the same order minus pairs in opposite ones, ties taken out of the norm.

        tau = (C - D) / sqrt((P - ties in a) (P - ties in b)),    P = N (N - 1) / 2

    Args and errors as `pearson`; N² comparisons, a row at a time.
    """
    first, second = _pair(a, b)
    agree = 0
    for at in range(1, len(first)):
        agree += int((np.sign(first[at] - first[:at]) * np.sign(second[at] - second[:at])).sum())
    pairs = len(first) * (len(first) - 1) // 2
    norm = (pairs - _tied_pairs(first)) * (pairs - _tied_pairs(second))
    return float(agree / np.sqrt(float(norm))) if norm else float("nan")


def _tied_pairs(row: NDArray[np.float64]) -> int:
    counts = np.unique(row, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _ranks(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank of each value from 1; of equal ones their mean rank."""
    _, index, counts = np.unique(row, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts - 1) / 2)[index]


def _pair(a: ArrayLike, b: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = finite_rows("a", a), finite_rows("b", b)
    if len(first) != len(second) or len(first) < 2:
        raise ShapeError(f"a has {len(first)} values and b has {len(second)}; wanted as many of each, two or more.")
    return first, second
