"""Win rates that do not pay for length: the length-controlled win rate (Dubois et al. 2024, arXiv:2404.04475).

A judge tends to like the longer response. A logistic regression tells apart what length explains, and the rate is read
off where both responses are equally long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tutelage.errors import DataError
from tutelage.statistics.intervals import CONFIDENCE, Estimate, wilson_interval

RIDGE = 1e-3             # keeps coefficients finite where one side always wins
STEPS = 100              # of Newton's method; it needs a handful
_SETTLED = 1e-7          # a step below it is the last: the next would be about its square
_HALVINGS = 40
_ROUNDING = 1e-12        # of a loss; a step that worsens it by less does not
_FLAT = 1e-13            # curvature below it is none: a step stays finite
_DRAWS = 500             # of the bootstrap


@dataclass(frozen=True, slots=True)
class LengthControlled:
    """The regression and what it says."""

    rate: Estimate            # win rate at equal length, with its bootstrap interval over prompts
    quality: float            # log-odds of winning at equal length
    length: float             # log-odds for a response longer by one standard deviation or so; > 0: length is liked


def length_controlled_win_rate(wins: ArrayLike, lengths: ArrayLike, other_lengths: ArrayLike, *,
                               ridge: float = RIDGE, seed: int = 0) -> LengthControlled:
    """The share of prompts the first model would win if its responses were as long as the other's.

        P(first wins) = sigma(quality + length * tanh((len - len') / sd(len - len'))),    rate = sigma(quality)

    The paper's third term, how hard an instruction is for the baseline, is estimated there from dozens of models; with two
    it cannot be told from `quality` and is left out. Coefficients are those of least penalised loss, ridge / 2 times their
    squares.

    Args:
        wins: (N,) 0 to 1, one a prompt: 1 the first won, 0.5 a tie.
        lengths, other_lengths: (N,) of the responses, in any one unit.
    Raises:
        DataError: if lengths differ, there are fewer than two prompts, or a win is outside 0 to 1.
    """
    won, own, other = (np.asarray(row, dtype=np.float64) for row in (wins, lengths, other_lengths))
    if not won.shape == own.shape == other.shape or won.ndim != 1 or len(won) < 2:
        raise DataError(f"wins, lengths and other_lengths have the shapes {won.shape}, {own.shape} and {other.shape}; wanted "
                        "one axis of the same length, two or more.")
    if not (np.isfinite([won, own, other]).all() and won.min() >= 0 and won.max() <= 1):
        raise DataError("wins must be 0 to 1 and lengths finite numbers.")
    quality, length = fit(won[None], _longer(own[None], other[None]), ridge)[0]
    rate = float(_sigma(quality))
    if np.ptp(won) == 0:      # every draw would be the same: an interval of hardly any width, however few the prompts
        plain = wilson_interval(float(won.sum()), len(won))
        low, high = min(plain.low, rate), max(plain.high, rate)
    else:
        rows = np.random.default_rng(seed).integers(0, len(won), (_DRAWS, len(won)))
        drawn = fit(won[rows], _longer(own[rows], other[rows]), ridge)[:, 0]
        tail = (1 - CONFIDENCE) / 2
        low, high = (float(_sigma(bound)) for bound in np.quantile(drawn, [tail, 1 - tail]))
    return LengthControlled(Estimate(rate, low, high, len(won)), float(quality), float(length))


def _longer(own: NDArray, other: NDArray) -> NDArray:
    """(D, N), how much longer, squashed to -1 to 1; 0 throughout where the difference never varies."""
    gap = own - other
    spread = gap.std(axis=1, keepdims=True)
    return np.where(spread > 0, np.tanh(gap / np.where(spread > 0, spread, 1.0)), 0.0)


def fit(won: NDArray, longer: NDArray, ridge: float) -> NDArray[np.float64]:
    """(D, 2) quality and length of D regressions at once: Newton's method, a step that does not help being halved.

    Args:
        won, longer: (D, N) each.
        ridge: the penalty; without one, coefficients of a side that always wins grow until `STEPS` are over.
    """
    at = np.zeros((len(won), 2))
    unsettled = np.arange(len(won))
    for _ in range(STEPS):
        step = _step(at[unsettled], won[unsettled], longer[unsettled], ridge)
        at[unsettled] -= step
        unsettled = unsettled[np.abs(step).max(1) >= _SETTLED]
        if not len(unsettled):
            break
    return at


def _step(at: NDArray, won: NDArray, longer: NDArray, ridge: float) -> NDArray[np.float64]:
    """(D, 2), what to take off `at`: Newton's step, halved until it does not worsen the loss."""
    p = _sigma(at[:, :1] + at[:, 1:] * longer)
    error, weight = p - won, p * (1 - p)
    gradient = np.stack((error.sum(1), (error * longer).sum(1)), 1) + ridge * at
    a, b, c = weight.sum(1) + ridge, (weight * longer).sum(1), (weight * longer**2).sum(1) + ridge
    a, c = np.maximum(a, _FLAT), np.maximum(c, _FLAT)               # the curvature is [[a, b], [b, c]]
    room = np.maximum(a * c - b * b, _FLAT * a * c)
    step = np.stack((c * gradient[:, 0] - b * gradient[:, 1], a * gradient[:, 1] - b * gradient[:, 0]), 1) / room[:, None]
    most = _loss(at, won, longer, ridge) * (1 + _ROUNDING) + _ROUNDING
    left = np.arange(len(at))
    for _ in range(_HALVINGS):
        left = left[_loss(at[left] - step[left], won[left], longer[left], ridge) > most[left]]
        if not len(left):
            break
        step[left] /= 2
    return step


def _loss(at: NDArray, won: NDArray, longer: NDArray, ridge: float) -> NDArray[np.float64]:
    """(D,) penalised negative log-likelihoods, nats."""
    logits = at[:, :1] + at[:, 1:] * longer
    return (np.logaddexp(0.0, logits) - won * logits).sum(1) + ridge / 2 * (at**2).sum(1)


def _sigma(logits: NDArray | float) -> NDArray:
    return 1.0 / (1.0 + np.exp(-np.asarray(logits)))
