"""Is it really better, or was it luck? Intervals, paired differences and win rates over prompts.

Every interval is a 95 % percentile bootstrap over clusters (Efron & Tibshirani 1993, chapter 13). Rows that
share a prompt are not independent, so whole prompts are drawn (Miller 2024, arXiv:2411.00640). Percentile
rather than BCa: it needs no second derivative estimate, stays inside the range of the data, and for means of
bounded scores the two differ by less than the bootstrap's own noise. Below some 20 clusters both are too
narrow; `n` says how many there were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from tutelage.errors import ShapeError

CONFIDENCE = 0.95
DRAWS_AT_ONCE = 2**22      # numbers held in memory while resampling


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float
    n: int          # independent units it rests on: prompts if clusters were given, else rows

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.n})"


def mean_interval(values: ArrayLike, clusters: Sequence | NDArray | None = None, resamples: int = 10_000,
                  seed: int = 0) -> Estimate:
    """The mean over rows, with a bootstrap interval over clusters.

    Args:
        values: (N,) finite numbers.
        clusters: (N,) label of what each row shares with others, as its prompt; None: every row stands alone.
        resamples, seed: draws of as many clusters as there are, with replacement. The result does not depend
            on the order of the rows.
    Raises:
        ShapeError: if there are no values, lengths differ, or a value is not finite.
    """
    rows = finite_rows("values", values)
    sums, counts = per_cluster(rows, clusters)
    means = _bootstrap_means(sums, counts, resamples, seed)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(float(rows.mean()), float(low), float(high), len(sums))


def t_interval(values: ArrayLike) -> Estimate:
    """The mean of a few independent runs, such as seeds, with Student's t interval.

        mean +- t(0.975, n - 1) * s / sqrt(n)

    A bootstrap of three numbers would be far too narrow: the t interval knows how little three numbers say about
    their spread, and takes them as normal instead. One number has no interval: low and high are NaN.

    Args:
        values: (N,) finite numbers.
    Raises:
        ShapeError: as `mean_interval`.
    """
    rows = finite_rows("values", values)
    n, mean = len(rows), float(rows.mean())
    if n == 1:
        return Estimate(mean, float("nan"), float("nan"), 1)
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * float(rows.std(ddof=1)) / np.sqrt(n)
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(a: ArrayLike, b: ArrayLike, clusters: Sequence | NDArray | None = None,
                      resamples: int = 10_000, seed: int = 0) -> Estimate:
    """Mean of a - b over rows that belong together: the same prompt (and seed) given to two models.

    Pairing takes out how hard each prompt is, so the interval is much narrower than for two separate means.
    An interval that holds 0 means: not shown to differ. Args and errors as for `mean_interval`, for a and b
    each (N,).
    """
    first, second = finite_rows("a", a), finite_rows("b", b)
    if len(first) != len(second):
        raise ShapeError(f"a has {len(first)} rows and b has {len(second)}; wanted one b for each a.")
    return mean_interval(first - second, clusters, resamples, seed)


def win_rate(a: ArrayLike, b: ArrayLike, clusters: Sequence | NDArray | None = None, resamples: int = 10_000,
             seed: int = 0) -> Estimate:
    """Share of rows where a > b, a tie counting half, 0 to 1; interval clustered by prompt.

    If every cluster has the same win rate (all wins, say), the bootstrap would give an interval of no width;
    Wilson's over the clusters is given instead. Args and errors as for `paired_difference`.
    """
    first, second = finite_rows("a", a), finite_rows("b", b)
    if len(first) != len(second):
        raise ShapeError(f"a has {len(first)} rows and b has {len(second)}; wanted one b for each a.")
    wins = (first > second) + 0.5 * (first == second)
    sums, counts = per_cluster(wins, clusters)
    if np.all(sums * counts[0] == sums[0] * counts):
        return wilson_interval(float(wins.mean()) * len(sums), len(sums))
    return mean_interval(wins, clusters, resamples, seed)


def share_interval(shares: ArrayLike, clusters: Sequence | NDArray | None = None, resamples: int = 10_000,
                   seed: int = 0) -> Estimate:
    """`mean_interval` of rows of 0 to 1, such as right or wrong.

    Where all are 0 or all are 1 a bootstrap would claim to be certain, however few they are; Wilson's interval over the
    clusters is given there. Args and errors as for `mean_interval`.
    """
    rows = finite_rows("shares", shares)
    if rows[0] in (0.0, 1.0) and np.all(rows == rows[0]):
        n = len(per_cluster(rows, clusters)[0])
        return wilson_interval(float(rows[0]) * n, n)
    return mean_interval(rows, clusters, resamples, seed)


def wilson_interval(successes: float, n: int) -> Estimate:
    """95 % score interval of a proportion (Wilson 1927): stays in [0, 1], and has width at 0 and n successes.

        (p + z^2/2n +- z sqrt(p (1-p) / n + z^2/4n^2)) / (1 + z^2/n),    p = successes / n,  z = 1.96

    Args:
        successes: 0 to n; halves are allowed, for ties.
    Raises:
        ShapeError: if n is below 1 or successes is not within 0 and n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ShapeError(f"wilson_interval got {successes} successes of {n}; wanted n >= 1 and successes "
                         "from 0 to n.")
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Estimate(p, max(0.0, float(centre - half)), min(1.0, float(centre + half)), n)


def finite_rows(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """`values` as (N,) numbers, or ShapeError where there are none, or one is not finite."""
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 1 or len(rows) == 0:
        raise ShapeError(f"{name} has shape {rows.shape}; wanted one axis with at least one number.")
    if not np.isfinite(rows).all():
        wrong = np.flatnonzero(~np.isfinite(rows))
        raise ShapeError(f"{name} has {len(wrong)} of {len(rows)} numbers that are not finite (first: row "
                         f"{wrong[0]}); wanted none. Leave those rows out and say so.")
    return rows


def per_cluster(rows: NDArray, clusters: Sequence | NDArray | None) -> tuple[NDArray, NDArray]:
    """Sum and size of each cluster, sorted, so that row order and cluster names do not touch the draws."""
    if clusters is None:
        return np.sort(rows), np.ones(len(rows))
    if len(clusters) != len(rows):
        raise ShapeError(f"clusters has {len(clusters)} labels for {len(rows)} rows; wanted one a row.")
    _, index = np.unique(np.asarray(clusters), return_inverse=True)
    by_value = np.lexsort((rows, index))      # one order of addition, whatever the order of the rows
    sums = np.bincount(index[by_value], weights=rows[by_value])
    counts = np.bincount(index).astype(np.float64)
    order = np.lexsort((counts, sums))
    return sums[order], counts[order]


def _bootstrap_means(sums: NDArray, counts: NDArray, resamples: int, seed: int) -> NDArray:
    """Means of `resamples` draws of len(sums) clusters with replacement, each weighted by its rows."""
    rng, n = np.random.default_rng(seed), len(sums)
    places = np.uint16 if n <= 2**16 else np.int64      # narrow ones are drawn faster
    at_once = max(1, DRAWS_AT_ONCE // n)
    means = []
    for start in range(0, resamples, at_once):
        drawn = rng.integers(0, n, (min(at_once, resamples - start), n), dtype=places)          # (draws, clusters)
        means.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return np.concatenate(means)
