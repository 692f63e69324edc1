"""The best of several samples of one prompt: what to learn from, and the honest baseline of everything that trains.

B sequences · N samples of a prompt
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.algorithms.advantages import group_index
from tutelage.algorithms.shapes import check_shapes


@torch.no_grad()
def best_in_group(scores: Tensor, groups: Tensor | int) -> Tensor:
    """(B,) bool, True on the best response to each prompt, the first of equals.

    Args:
        scores: (B,) one for each response. groups: as for `advantages.group_mean`.
    Raises:
        ShapeError: if the shapes differ, or G does not divide B.
    """
    index, sizes = group_index(scores, groups)
    top = scores.new_full((len(sizes),), -math.inf).scatter_reduce(0, index, scores, "amax")
    place = torch.arange(len(scores), device=scores.device)
    candidates = torch.where(scores == top[index], place, len(scores))
    first = place.new_full((len(sizes),), len(scores)).scatter_reduce(0, index, candidates, "amin")
    return place == first[index]


@torch.no_grad()
def pair_weights(log_ratios: Tensor, scores: Tensor, groups: Tensor | int, beta: float) -> Tensor:
    """Online DPO (Guo et al. 2024, arXiv:2402.04792) as a policy gradient: what its loss puts on each log pi(y).

        L = -log sigma(beta (h+ - h-)),    h = log pi(y) - log ref(y),    -dL/dh+ = dL/dh- = beta sigma(-beta (h+ - h-))

    of the best and the worst response to a prompt. While the weights are those that gave `log_ratios`, raising
    sum_i w_i log pi(y_i) has the gradient of lowering L, and needs no pair to be in memory at once.

    Args:
        log_ratios: (B,) h of each whole response, nats.
        scores: (B,); groups: as for `advantages.group_mean`.
        beta: reward units per nat, > 0.
    Returns:
        (B,) weights: positive on the best, negative on the worst, 0 on the others and where all scores are equal.
    Raises:
        ShapeError: if the shapes differ. ValueError: if beta is not positive.
    """
    check_shapes("B", log_ratios=log_ratios, scores=scores)
    if beta <= 0:
        raise ValueError(f"beta is {beta}; wanted a number above 0: it is the distance that a pair is worth.")
    sign = best_in_group(scores, groups).to(log_ratios.dtype) - best_in_group(-scores, groups).to(log_ratios.dtype)
    index, sizes = group_index(scores, groups)
    gap = log_ratios.new_zeros(len(sizes)).index_add(0, index, sign * log_ratios)
    return sign * (beta * torch.sigmoid(-beta * gap))[index]


def expected_best(scores: Sequence[float], n: int) -> float:
    """The expected score of the best of n responses to a prompt, unbiased, from N >= n of them (Nakano et al. 2021,
    arXiv:2112.09332).

        sum_i s_(i) C(i - 1, n - 1) / C(N, n),    s_(1) <= ... <= s_(N)

    Raises:
        ValueError: if n is not in 1 ... N.
    """
    if not 1 <= n <= len(scores):
        raise ValueError(f"n is {n}; wanted 1 to {len(scores)}, the number of scores.")
    ways = math.comb(len(scores), n)
    return sum(score * math.comb(place, n - 1) for place, score in enumerate(sorted(scores))) / ways


def best_of_kl(n: int) -> float:
    """The most that best-of-n can be away from its policy, KL in nats a response: log n - (n - 1) / n (Stiennon et al.
    2020, arXiv:2009.01325, appendix G.3; a bound, Beirami et al. 2024, arXiv:2401.01879).
    """
    if n < 1:
        raise ValueError(f"n is {n}; wanted 1 or more.")
    return math.log(n) - (n - 1) / n
