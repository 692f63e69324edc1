"""Teach a policy directly from preferences, without a reward model.

K pairs · B single responses · all log-ratios are policy against reference, summed over a response's tokens, in nats
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.shapes import check_shapes


def logistic(gap: Tensor, beta: float, target: float = 0.0) -> Tensor:
    """-log sigma(beta gap - target): DPO (Rafailov et al. 2023, arXiv:2305.18290, eq. 7); with a target SimPO
    (Meng et al. 2024, arXiv:2405.14734, eq. 6)."""
    return -F.logsigmoid(beta * gap - target)


def hinge(gap: Tensor, beta: float, target: float = 0.0) -> Tensor:
    """max(0, 1 - (beta gap - target)): SLiC's calibration (Zhao et al. 2023, arXiv:2305.10425) on DPO's log-ratios."""
    return F.relu(1 - (beta * gap - target))


def squared(gap: Tensor, beta: float, target: float = 0.0) -> Tensor:
    """(gap - 1 / (2 beta) - target)^2: IPO (Azar et al. 2023, arXiv:2310.12036, eq. 17), whose tau is beta here."""
    return (gap - 1 / (2 * beta) - target).square()


PAIR_LOSSES: Mapping[str, Callable[[Tensor, float, float], Tensor]] = {"logistic": logistic, "hinge": hinge, "squared": squared}


def pair_loss(gap: Tensor, kind: str, beta: float, *, target: float = 0.0, label: Tensor | None = None,
              smoothing: float = 0.0, unbiased: bool = False, weight: Tensor | None = None) -> LossSum:
    """The loss of K judged pairs, from how much further the policy went towards `chosen` than towards `rejected`.

        L = sum_i w_i (p_i l(gap_i) + (1 - p_i) l(-gap_i)),    p_i = q_i (1 - e) + (1 - q_i) e

    q is the pair's soft label, e the share of judgments that are taken to be wrong (conservative DPO, Mitchell 2023).
    With `unbiased` the same loss is made unbiased under that share (robust DPO, Chowdhury et al. 2024,
    arXiv:2403.00409, eq. 12): p_i = (q_i - e) / (1 - 2 e), which may lie outside [0, 1].

    Args:
        gap: (K,) with gradient: for DPO log-ratio(chosen) - log-ratio(rejected); for SimPO the difference of mean
            logprobs; for ORPO that of the log odds.
        kind: a name in PAIR_LOSSES.
        target: the gap that is asked for beyond 0, in the units the loss has it in.
        label: (K,) probability that `chosen` is the better one; None is 1.
        smoothing: e, 0 to below 0.5.
        weight: (K,) >= 0, how many judgments a pair stands for; None is 1.
    Returns:
        LossSum over pairs, whose count is the sum of the weights. Stats, unweighted sums: `correct` (of pairs whose
        label is not 0.5; equal gaps count half), `decided`, `margin` (beta gap).
    Raises:
        ShapeError: if shapes differ. ValueError: if beta or smoothing is out of range.
    """
    check_shapes("K", gap=gap, label=label, weight=weight)
    if beta <= 0 or not 0 <= smoothing < 0.5:
        raise ValueError(f"beta is {beta} and smoothing {smoothing}; wanted beta > 0 and 0 <= smoothing < 0.5.")
    said = gap.new_ones(gap.shape) if label is None else label.to(gap.dtype)
    share = (said - smoothing) / (1 - 2 * smoothing) if unbiased else said * (1 - smoothing) + (1 - said) * smoothing
    loss = PAIR_LOSSES[kind]
    losses = share * loss(gap, beta, target) + (1 - share) * loss(-gap, beta, target)
    count = gap.new_tensor(float(gap.numel()))
    if weight is not None:
        losses, count = weight * losses, weight.sum()
    went, wanted = gap.detach(), (said - 0.5).sign()
    return LossSum(losses.sum(), count, {
        "correct": ((1 + went.sign() * wanted) / 2 * wanted.abs()).sum(), "decided": wanted.abs().sum(),
        "margin": beta * went.sum()})


def log_odds(mean_logprob: Tensor) -> Tensor:
    """log(p / (1 - p)) of p = exp(mean logprob of a token): what ORPO compares (Hong et al. 2024, arXiv:2403.07691, eq. 4).

    Exact where p is near 1, where 1 - exp would lose all digits.
    """
    return mean_logprob - torch.log(-torch.expm1(mean_logprob))


def kto_loss(log_ratio: Tensor, up: Tensor, baseline: Tensor, beta: float, *, up_weight: float = 1.0,
             down_weight: float = 1.0, weight: Tensor | None = None) -> LossSum:
    """Single responses that were liked or not (Ethayarajh et al. 2024, arXiv:2402.01306, eq. 8).

        L = sum_i w_i (1 - sigma(beta (r_i - z)))  for a liked response,  w_i (1 - sigma(beta (z - r_i)))  for a disliked one

    Args:
        log_ratio: (B,) r, with gradient.
        up: (B,) bool mask, True where the response was liked.
        baseline: () z >= 0, an estimate of KL(policy || reference) in nats that no gradient goes through.
        up_weight, down_weight: the paper's lambda_D and lambda_U.
        weight: (B,) >= 0, how many judgments a row stands for; None is 1.
    Returns:
        LossSum over rows; the count is the sum of `weight`. Stats, sums: `up_reward`, `up_count`, `down_reward`,
        `down_count` (rewards are beta r).
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("B", log_ratio=log_ratio, up_mask=up, weight=weight)
    ahead = beta * (log_ratio - baseline.detach())
    losses = torch.where(up, up_weight * torch.sigmoid(-ahead), down_weight * torch.sigmoid(ahead))
    count = log_ratio.new_tensor(float(log_ratio.numel()))
    if weight is not None:
        losses, count = weight * losses, weight.sum()
    reward = beta * log_ratio.detach()
    return LossSum(losses.sum(), count, {
        "up_reward": reward[up].sum(), "up_count": up.sum().to(reward.dtype),
        "down_reward": reward[~up].sum(), "down_count": (~up).sum().to(reward.dtype)})
