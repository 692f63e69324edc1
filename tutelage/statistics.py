"""Is it really better, or was it luck? Intervals, paired differences and win rates over prompts;
Bradley–Terry fits.

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
from scipy import optimize, stats

from tutelage.errors import ShapeError

CONFIDENCE = 0.95
DRAWS_AT_ONCE = 2**22      # counts held in memory while resampling


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
    rows = _finite("values", values)
    sums, counts = _per_cluster(rows, clusters)
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
    rows = _finite("values", values)
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
    first, second = _finite("a", a), _finite("b", b)
    if len(first) != len(second):
        raise ShapeError(f"a has {len(first)} rows and b has {len(second)}; wanted one b for each a.")
    return mean_interval(first - second, clusters, resamples, seed)


def win_rate(a: ArrayLike, b: ArrayLike, clusters: Sequence | NDArray | None = None, resamples: int = 10_000,
             seed: int = 0) -> Estimate:
    """Share of rows where a > b, a tie counting half, 0 to 1; interval clustered by prompt.

    If every cluster has the same win rate (all wins, say), the bootstrap would give an interval of no width;
    Wilson's over the clusters is given instead. Args and errors as for `paired_difference`.
    """
    first, second = _finite("a", a), _finite("b", b)
    if len(first) != len(second):
        raise ShapeError(f"a has {len(first)} rows and b has {len(second)}; wanted one b for each a.")
    wins = (first > second) + 0.5 * (first == second)
    sums, counts = _per_cluster(wins, clusters)
    if np.all(sums * counts[0] == sums[0] * counts):
        return wilson_interval(float(wins.mean()) * len(sums), len(sums))
    return mean_interval(wins, clusters, resamples, seed)


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


def fit_bradley_terry(pairs: ArrayLike, num_items: int, regularisation: float = 0.01) -> NDArray[np.float64]:
    """Strengths from pairwise wins (Bradley & Terry 1952), by regularised maximum likelihood.

        P(i beats j) = sigma(s_i - s_j),    minimise - sum_pairs w log P + regularisation / 2 * sum_i s_i^2

    The second term (a Gaussian prior of variance 1 / regularisation) keeps strengths finite where somebody
    won every time or nobody met, and makes the minimum the only one; strengths then sum to 0 in each
    connected part.

    Args:
        pairs: (N, 2) winner, loser; or (N, 3) with the weight of that win. A tie is 0.5 each way.
        num_items: items are 0 to num_items - 1; one that never played has strength 0.
        regularisation: > 0.
    Returns:
        (num_items,) strengths in nats of log-odds.
    Raises:
        ShapeError: if pairs have another shape, name an item that is none, or weigh below 0; or no
            regularisation.
    """
    wins = _win_matrix(pairs, num_items)                                   # (items, items), [i, j] i beat j
    if regularisation <= 0:
        raise ShapeError(f"regularisation is {regularisation}; wanted a number above 0: without it "
                         "strengths may be infinite.")

    def negative_log_likelihood(s: NDArray) -> float:
        return float((wins * np.logaddexp(0.0, s[None, :] - s[:, None])).sum() + regularisation / 2 * s @ s)

    def gradient(s: NDArray) -> NDArray:
        surprise = wins / (1.0 + np.exp(s[:, None] - s[None, :]))          # w * P(the loser would have won)
        return surprise.sum(0) - surprise.sum(1) + regularisation * s

    def hessian(s: NDArray) -> NDArray:
        p = 1.0 / (1.0 + np.exp(s[None, :] - s[:, None]))
        weight = (wins + wins.T) * p * (1 - p)
        return np.diag(weight.sum(1) + regularisation) - weight

    fit = optimize.minimize(negative_log_likelihood, np.zeros(num_items), jac=gradient, hess=hessian,
                            method="trust-exact", options={"gtol": 1e-9 * max(1.0, wins.sum())})
    return fit.x


def _win_matrix(pairs: ArrayLike, num_items: int) -> NDArray[np.float64]:
    table = np.asarray(pairs, dtype=np.float64)
    table = table.reshape(0, 2) if table.size == 0 else table
    if table.ndim != 2 or table.shape[1] not in (2, 3):
        raise ShapeError(f"pairs has shape {table.shape}; wanted (N, 2), winner and loser, or (N, 3) with a "
                         "weight.")
    items = table[:, :2].astype(np.int64)
    weights = table[:, 2] if table.shape[1] == 3 else np.ones(len(table))
    if len(table) and (items.min() < 0 or items.max() >= num_items or not np.all(weights >= 0)):
        raise ShapeError(f"pairs name items {items.min()} to {items.max()}, weights from {weights.min()}; "
                         f"wanted items 0 to {num_items - 1} and weights of 0 or more.")
    wins = np.zeros((num_items, num_items))
    np.add.at(wins, (items[:, 0], items[:, 1]), weights)
    return wins


def _finite(name: str, values: ArrayLike) -> NDArray[np.float64]:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 1 or len(rows) == 0:
        raise ShapeError(f"{name} has shape {rows.shape}; wanted one axis with at least one number.")
    if not np.isfinite(rows).all():
        wrong = np.flatnonzero(~np.isfinite(rows))
        raise ShapeError(f"{name} has {len(wrong)} of {len(rows)} numbers that are not finite (first: row "
                         f"{wrong[0]}); wanted none. Leave those rows out and say so.")
    return rows


def _per_cluster(rows: NDArray, clusters: Sequence | NDArray | None) -> tuple[NDArray, NDArray]:
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
    rng = np.random.default_rng(seed)
    n = len(sums)
    at_once = max(1, DRAWS_AT_ONCE // n)
    means = []
    for start in range(0, resamples, at_once):
        draws = min(at_once, resamples - start)
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=draws)          # (draws, clusters)
        means.append((drawn @ sums) / (drawn @ counts))
    return np.concatenate(means)
