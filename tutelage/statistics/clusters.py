"""Intervals where numbers share two things at once: a prompt and an annotator, a prompt and a training seed.

Judgments of one prompt are alike, and so are those of one annotator. Drawing prompts again and again leaves the same few
annotators in every draw, so its interval speaks of these annotators only. Here the variance of both is added, and what
was added twice is taken out (Cameron, Gelbach & Miller 2011):

    V = V(by prompt) + V(by annotator) - V(by both together)

The pigeonhole bootstrap (Owen 2007, arXiv:0712.1111), which draws both and multiplies, counts the noise of single judgments
three times over and is too wide where that noise rules, so it is not used.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import CONFIDENCE, Estimate, finite_rows

FEW_CLUSTERS = 50        # below it, an interval over clusters tends to be too narrow, and a report says so


def crossed_interval(values: ArrayLike, first: Sequence | NDArray, second: Sequence | NDArray) -> Estimate:
    """The mean over rows with an interval for another draw of both kinds of cluster.

        mean +- t(0.975, G - 1) * sqrt(V),    V(by c) = G_c / (G_c - 1) * sum over clusters of (sum of residuals)² / N²

    G is the smaller number of clusters: three annotators say as little as three numbers, however many prompts they saw.
    Where the three terms leave less than the larger of the two (they may, by chance), that one is taken.

    Args:
        values: (N,) finite numbers; of a paired comparison the differences.
        first, second: (N,) labels, such as the prompt and the annotator of each row.
    Returns:
        `n` is G. With one cluster of either kind there is no interval: low and high are NaN.
    Raises:
        ShapeError: if lengths differ, there is none, or a value is not finite.
    """
    rows = finite_rows("values", values)
    if len(first) != len(rows) or len(second) != len(rows):
        raise ShapeError(f"{len(rows)} values have {len(first)} and {len(second)} labels; wanted one of each a value.")
    one, other = (np.unique(np.asarray(labels), return_inverse=True)[1] for labels in (first, second))
    both = one * (int(other.max()) + 1) + other
    mean = float(rows.mean())
    fewest = min(int(one.max()), int(other.max())) + 1
    if fewest < 2:
        return Estimate(mean, float("nan"), float("nan"), fewest)
    residuals = rows - mean
    by_one, by_other, by_both = (_variance(residuals, labels) for labels in (one, other, both))
    variance = max(by_one + by_other - by_both, by_one, by_other)
    reach = float(stats.t.ppf(0.5 + CONFIDENCE / 2, fewest - 1)) * float(np.sqrt(variance))
    return Estimate(mean, mean - reach, mean + reach, fewest)


def _variance(residuals: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    sums = np.bincount(np.unique(labels, return_inverse=True)[1], weights=residuals)
    count = len(sums)
    return count / (count - 1) * float(sums @ sums) / len(residuals) ** 2
