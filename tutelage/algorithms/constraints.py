"""A limit on mean costs, by Lagrange multipliers (Safe-RLHF, Dai et al. 2023, arXiv:2310.12773).

    min_theta max_{lambda >= 0}  -J_R(theta) + sum_k lambda_k (J_k(theta) - d_k)

J_R is the mean score, J_k the mean of cost k, d_k its limit. B samples · K costs
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tutelage.algorithms.shapes import check_shapes


@torch.no_grad()
def lagrangian_scores(scores: Tensor, costs: Tensor, multipliers: Tensor) -> Tensor:
    """What a policy is trained on at these multipliers (the paper's appendix, combined advantage):

        (r_i - sum_k lambda_k c_ik) / (1 + sum_k lambda_k)

    The paper combines the advantages of two critics so. Credit is linear in scores, so that combining scores, with one
    critic of the combination, is the same; the division keeps the scale of a step however large a multiplier grows.

    Args:
        scores: (B,). costs: (B, K), more is worse. multipliers: (K,), >= 0.
    Returns:
        (B,)
    Raises:
        ShapeError: if the shapes do not fit.
    """
    sizes = check_shapes("B K", costs=costs)
    check_shapes("B", sizes, scores=scores)
    check_shapes("K", sizes, multipliers=multipliers)
    return (scores - costs @ multipliers) / (1.0 + multipliers.sum())


def next_log_multiplier(log_multiplier: float, mean_cost: float, limit: float, rate: float, largest: float) -> float:
    """Gradient ascent of the Lagrangian on ln(lambda), which keeps lambda positive:

        ln(lambda) + rate * lambda * (mean cost - limit)

    It grows while the cost is over its limit. One step moves it by 1 at most, and lambda stays within [1e-4, largest], from
    where it can come back.
    """
    step = rate * math.exp(log_multiplier) * (mean_cost - limit)
    return min(math.log(largest), max(math.log(1e-4), log_multiplier + max(-1.0, min(1.0, step))))
