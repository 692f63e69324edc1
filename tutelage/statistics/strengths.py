"""Strengths from pairwise wins: the Bradley–Terry fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from tutelage.errors import ShapeError


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
