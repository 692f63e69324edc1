"""Intervals for what is no mean: a correlation, a calibration error, the area under a curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import ShapeError
from tutelage.statistics.intervals import CONFIDENCE, Estimate

RESAMPLES = 1000

Statistic = Callable[[NDArray[np.int64]], float]      # of rows by their places; NaN where it is undefined


def bootstrap_interval(statistic: Statistic, clusters: Sequence | NDArray, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """A statistic of all rows, with a 95 % percentile bootstrap over clusters (Efron & Tibshirani 1993, chapter 13).

    Every draw takes as many clusters as there are, with replacement, and hands `statistic` the places of their rows, those
    of a cluster that was drawn twice standing there twice. Draws in which it is undefined are passed over.

    Args:
        clusters: (N,) label of what each row shares with others, as its prompt.
    Returns:
        `n` is the number of clusters. Where the statistic is undefined so is all (NaN); the interval alone is where there
        is one cluster, or where more than half of the draws were undefined.
    Raises:
        ShapeError: if there is no row.
    """
    if not len(clusters):
        raise ShapeError("bootstrap_interval got no rows; wanted at least one.")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    order, sizes = np.argsort(index, kind="stable"), np.bincount(index)
    starts, count = np.cumsum(sizes) - sizes, len(sizes)
    value = statistic(np.arange(len(index)))
    if not math.isfinite(value) or count < 2:
        return Estimate(value, math.nan, math.nan, count)
    rng = np.random.default_rng(seed)

    def draw() -> float:
        clusters = rng.integers(0, count, count)
        taken = sizes[clusters]                                              # rows of each, in order
        within = np.arange(taken.sum()) - np.repeat(np.cumsum(taken) - taken, taken)
        return statistic(order[np.repeat(starts[clusters], taken) + within])

    found = [each for _ in range(resamples) if math.isfinite(each := draw())]
    if 2 * len(found) < resamples:
        return Estimate(value, math.nan, math.nan, count)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found, [tail, 1 - tail])
    return Estimate(value, float(low), float(high), count)
