"""How far people agree: coefficients, each with a 95 % bootstrap interval over items, or the reason why there is none.

    U items · R raters · V values · D draws of the bootstrap

All but per cent compare what was observed with what chance would give, 1 - observed / expected disagreement: 1 is full
agreement, 0 what people would have who answer without looking. Where nobody ever differs chance would agree as well, so
that 1 - 0 / 0 says nothing: such a coefficient is *undefined*, which is no 0 and no 1.

Intervals draw clusters of items with replacement (`statistics` says why), never single judgments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import ShapeError
from tutelage.feedback.votes import MISSING, Votes
from tutelage.statistics import CONFIDENCE, DRAWS_AT_ONCE

Level = Literal["nominal", "ordinal", "interval"]
RESAMPLES = 2_000
REASONS = {
    "no_overlap": {"en": "undefined: no item was judged by two people", "zh-CN": "无法定义：没有任何一项由两人评判"},
    "unanimous": {"en": "undefined: nobody ever differed, so chance would agree too",
                  "zh-CN": "无法定义：从未出现分歧，随机作答也会一致"},
    "unequal_raters": {"en": "undefined: items have unequal numbers of judges; use Krippendorff's alpha",
                       "zh-CN": "无法定义：各项评判人数不等；请用 Krippendorff alpha"},
    "no_winner": {"en": "undefined: no comparison with known sides named a winner",
                  "zh-CN": "无法定义：没有左右已知且分出胜负的比较"},
    "no_duplicates": {"en": "undefined: nobody was asked the same question twice",
                      "zh-CN": "无法定义：没有人被问过两次同样的问题"},
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """A coefficient with its 95 % interval; `value` is None where it is undefined, and `reason` says why.

    `undefined_draws` is the share of the bootstrap's draws in which it was undefined; the interval is that of the rest.
    """

    value: float | None
    low: float | None
    high: float | None
    num_items: int                  # those judged by two people or more, which are all that counts
    reason: str = ""                # a key of REASONS
    undefined_draws: float = 0.0

    def __str__(self) -> str:
        return self.in_words("en")

    def in_words(self, language: str) -> str:
        if self.value is None or self.low is None or self.high is None:
            return REASONS[self.reason][language]
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}] (n = {self.num_items})"


# What one draw, or all items, sum to: (D, ...) of each array given; the answer is (D,), NaN where undefined.
Statistic = Callable[..., NDArray[np.float64]]


def percent_agreement(votes: Votes, resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """Mean over items of the share of pairs of judges who said the same: what Fleiss calls P, not corrected for chance."""
    counts, clusters = _judged_twice(votes)
    share = _pair_agreement(counts)
    return _estimate(lambda agreed, items: agreed / items, [share, np.ones(len(share))], clusters, resamples, seed)


def cohen_kappa(votes: Votes, a: str, b: str, weights: Literal["linear", "quadratic"] | None = None,
                resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """Cohen's kappa of two raters over the items both judged (1960; weighted 1968, by the distance of places in
    `votes.values`).

    Raises:
        ShapeError: if a rater is unknown.
    """
    if unknown := [rater for rater in (a, b) if rater not in votes.raters]:
        raise ShapeError(f"rater {unknown[0]!r} has no vote; there are {', '.join(votes.raters)}.")
    pair = votes.codes[:, [votes.raters.index(a), votes.raters.index(b)]]      # (U, 2)
    both = (pair != MISSING).all(axis=1)
    codes, clusters, size = pair[both], votes.clusters[both], len(votes.values)
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size))).astype(float)     # (V, V)
    distance = {None: (distance > 0).astype(float), "linear": distance, "quadratic": distance**2}[weights]
    first, second = (np.eye(size)[codes[:, side]] for side in (0, 1))          # (U, V) each

    def kappa(observed: NDArray, items: NDArray, of_a: NDArray, of_b: NDArray) -> NDArray:
        expected = np.einsum("dv,vk,dk->d", of_a, distance, of_b) / items
        return _one_minus(observed, expected)

    parts = [distance[codes[:, 0], codes[:, 1]], np.ones(len(codes)), first, second]
    return _estimate(kappa, parts, clusters, resamples, seed)


def fleiss_kappa(votes: Votes, resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """Fleiss's kappa (1971): any judges, as many on each item. Items with fewer than two judges do not count."""
    counts, clusters = _judged_twice(votes)
    if len(set(counts.sum(axis=1))) > 1:
        return Agreement(None, None, None, len(counts), "unequal_raters")

    def kappa(agreed: NDArray, items: NDArray, totals: NDArray) -> NDArray:
        shares = totals / totals.sum(axis=1, keepdims=True)
        return _one_minus(1 - agreed / items, 1 - (shares**2).sum(axis=1))

    share = _pair_agreement(counts)
    return _estimate(kappa, [share, np.ones(len(share)), counts], clusters, resamples, seed)


def krippendorff_alpha(votes: Votes, level: Level = "nominal", resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """Krippendorff's alpha (2011, "Computing Krippendorff's alpha-reliability"): any number of judges, missing values.

        alpha = 1 - D_o / D_e over the coincidences  o_vk = sum_u n_uv (n_uk - [v = k]) / (m_u - 1),  m_u judges of u

    Args:
        level: nominal (same or not), ordinal (how many judgments lie between two values), interval (their squared
            difference; values must be numbers).
    Raises:
        ShapeError: if the level is interval and a value is no number.
    """
    counts, clusters = _judged_twice(votes)
    if level == "ordinal":
        pairs = counts[:, :, None] * (counts[:, None, :] - np.eye(counts.shape[1])) / _others(counts)[:, None, None]
        return _estimate(_ordinal_alpha, [counts, pairs], clusters, resamples, seed)
    if level == "nominal":
        observed = counts.sum(axis=1) - (counts * (counts - 1)).sum(axis=1) / _others(counts)
        return _estimate(_nominal_alpha, [observed, counts], clusters, resamples, seed)
    numbers = _numbers(votes.values)
    # sum over pairs of (v - k)^2 is 2 (m sum v^2 - (sum v)^2)
    squares, sums = counts @ numbers**2, counts @ numbers
    observed = 2 * (counts.sum(axis=1) * squares - sums**2) / _others(counts)
    return _estimate(_interval_alpha, [observed, counts.sum(axis=1), squares, sums], clusters, resamples, seed)


def _nominal_alpha(observed: NDArray, margins: NDArray) -> NDArray:
    n = margins.sum(axis=1)
    return _one_minus(observed, (n**2 - (margins**2).sum(axis=1)) / (n - 1))


def _interval_alpha(observed: NDArray, n: NDArray, squares: NDArray, sums: NDArray) -> NDArray:
    return _one_minus(observed, 2 * (n * squares - sums**2) / (n - 1))


def _ordinal_alpha(margins: NDArray, pairs: NDArray) -> NDArray:
    """The distance of v and k is the judgments from v to k, each end counted half, squared."""
    upto = np.cumsum(margins, axis=1) - margins / 2                        # (D, V)
    distance = (upto[:, :, None] - upto[:, None, :]) ** 2                  # (D, V, V)
    observed = (pairs * distance).sum(axis=(1, 2))
    expected = np.einsum("dv,dk,dvk->d", margins, margins, distance) / (margins.sum(axis=1) - 1)
    return _one_minus(observed, expected)


def _judged_twice(votes: Votes) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(U', V) counts and (U',) clusters of the items that two people or more judged."""
    counts = votes.counts
    kept = counts.sum(axis=1) >= 2
    return counts[kept], votes.clusters[kept]


def _others(counts: NDArray) -> NDArray:
    return counts.sum(axis=1) - 1


def _pair_agreement(counts: NDArray) -> NDArray:
    """(U,) the share of ordered pairs of judges of an item who said the same."""
    return (counts * (counts - 1)).sum(axis=1) / (counts.sum(axis=1) * _others(counts))


def _numbers(values: Sequence[object]) -> NDArray[np.float64]:
    try:
        return np.array([float(value) for value in values])                # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ShapeError(f"interval distances need numbers; the values are {', '.join(map(str, values))[:80]}.") from None


def _one_minus(observed: NDArray, expected: NDArray) -> NDArray:
    """1 - observed / expected, NaN where nothing is expected: where one value alone was ever given."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 1e-12, 1 - observed / expected, np.nan)


def _estimate(statistic: Statistic, parts: Sequence[NDArray], clusters: NDArray[np.int64], resamples: int,
              seed: int) -> Agreement:
    """The statistic of all items, and its percentiles over draws of as many clusters as there are.

    Args:
        parts: arrays of items (U, ...) whose sums over items the statistic takes, with an axis of draws in front.
    """
    if not len(clusters):
        return Agreement(None, None, None, 0, "no_overlap")
    value = float(statistic(*(part.sum(axis=0, keepdims=True) for part in parts))[0])
    if np.isnan(value):
        return Agreement(None, None, None, len(clusters), "unanimous")
    names, index = np.unique(clusters, return_inverse=True)
    sums = [np.zeros((len(names), *part.shape[1:])) for part in parts]
    for total, part in zip(sums, parts, strict=True):
        np.add.at(total, index, part)
    drawn = _draws(statistic, sums, resamples, seed)
    defined = drawn[~np.isnan(drawn)]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (value, value)
    return Agreement(value, float(low), float(high), len(clusters), "", float(np.isnan(drawn).mean()))


def _draws(statistic: Statistic, sums: Sequence[NDArray], resamples: int, seed: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    n = len(sums[0])
    at_once = max(1, DRAWS_AT_ONCE // max(n, *(part[0].size for part in sums)))
    found = []
    for start in range(0, resamples, at_once):
        draws = min(at_once, resamples - start)
        times = rng.multinomial(n, np.full(n, 1 / n), size=draws).astype(float)         # (D, clusters)
        found.append(statistic(*(np.tensordot(times, part, axes=1) for part in sums)))
    return np.concatenate(found)
