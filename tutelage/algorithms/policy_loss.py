"""Policy and value losses, and the numbers that tell whether an update went too far.

B sequences · T response · L tokens under the response mask. Each loss takes (B, T) with a mask, or flat (L,)
without.

The mask is applied to the log-ratio before anything is exponentiated, so what lies outside it (padding, whose
logprobs may be anything) can neither overflow nor send NaN backwards.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms.kl import MAX_LOG_RATIO, k3
from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.masked import keep, masked_count, masked_mean, masked_sum, masked_var
from tutelage.algorithms.shapes import check_shapes

ClipRange = float | tuple[float, float]      # epsilon, or (below, above): "clip-higher", arXiv:2503.14476


def policy_gradient_loss(logprobs: Tensor, advantages: Tensor, mask: Tensor | None = None) -> LossSum:
    """The score-function loss (Williams 1992; A2C in Mnih et al. 2016, arXiv:1602.01783).

        L = - sum_t A_t * log pi(a_t | s_t)

    Args:
        logprobs: (B, T) or (L,), current policy, with gradient.
        advantages: same shape; detached here. Positive makes a token likelier.
        mask: same shape, bool, True on tokens the policy chose; None keeps all.
    Returns:
        LossSum over the kept tokens, no stats.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("...", logprobs=logprobs, advantages=advantages, mask=mask)
    gains = advantages.detach() * keep(logprobs, mask)
    return LossSum(-masked_sum(gains, mask), masked_count(logprobs, mask))


def clipped_policy_loss(logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor,
                        mask: Tensor | None = None, clip_range: ClipRange = 0.2,
                        dual_clip: float | None = None) -> LossSum:
    """PPO's clipped surrogate (Schulman et al. 2017, arXiv:1707.06347, eq. 7), as a loss to minimise.

        r_t = pi(a_t) / pi_old(a_t),    L = sum_t max(-A_t r_t, -A_t clip(r_t, 1 - eps, 1 + eps))

    With `dual_clip` c, L_t is also at most -c * A_t where A_t < 0 (Ye et al. 2020, arXiv:1912.09729): a token
    the policy has since made far likelier cannot dominate the batch. log r is clamped to +-20.

    Args:
        logprobs: (B, T) or (L,), current policy, with gradient.
        old_logprobs: same shape, the policy that sampled, from the trainer's own forward (D8); detached here.
        advantages: same shape; detached here.
        mask: same shape, bool, True on tokens the policy chose; None keeps all.
        clip_range: eps, or (below, above).
        dual_clip: c > 1, or None.
    Returns:
        LossSum over the kept tokens. Stats, each a sum over them: `clipped` counts ratios outside the clip
        range, `approx_kl` is k3 of KL(old || current), `ratio` is r.
    Raises:
        ShapeError: if the shapes differ.
        ValueError: if dual_clip is not above 1.
    """
    check_shapes("...", logprobs=logprobs, old_logprobs=old_logprobs, advantages=advantages, mask=mask)
    if dual_clip is not None and dual_clip <= 1:
        raise ValueError(f"dual_clip is {dual_clip}; wanted a number above 1 (3 in the paper), or None.")
    below, above = _clip_bounds(clip_range)
    advantages = keep(advantages.detach(), mask)
    log_ratio = _log_ratio(logprobs, old_logprobs, mask)
    ratio = log_ratio.exp()
    losses = torch.maximum(-advantages * ratio, -advantages * ratio.clamp(below, above))
    if dual_clip is not None:
        losses = torch.where(advantages < 0, torch.minimum(losses, -dual_clip * advantages), losses)
    kept_ratio = ratio.detach()
    stats = {
        "clipped": masked_sum(_outside(kept_ratio, below, above), mask),
        "approx_kl": masked_sum(torch.expm1(log_ratio.detach()) - log_ratio.detach(), mask),
        "ratio": masked_sum(kept_ratio, mask),
    }
    return LossSum(masked_sum(losses, mask), masked_count(kept_ratio, mask), stats)


def clipped_value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor | None = None,
                       clip_range: float | None = 0.2) -> LossSum:
    """Half the squared error of the critic, its move bounded as in the PPO code base (Schulman et al. 2017).

        L = sum_t 1/2 max((V_t - R_t)^2, (V_old,t + clip(V_t - V_old,t, -eps, eps) - R_t)^2)

    The larger of the two counts, so clipping takes gradient away and never adds any. NOTE: not in the paper's
    text; from OpenAI Baselines, and Andrychowicz et al. 2020 (arXiv:2006.05990) found no use in it. None
    turns it off.

    Args:
        values: (B, T) or (L,), current critic, with gradient.
        old_values: same shape, the critic when sampled; detached here.
        returns: same shape, the target, made of unwhitened advantages; detached here.
        mask: same shape, bool; None keeps all.
        clip_range: eps, in reward units.
    Returns:
        LossSum over the kept tokens. Stats: `clipped` counts |V - V_old| > eps, `squared_error` sums
        (V - R)^2.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("...", values=values, old_values=old_values, returns=returns, mask=mask)
    eps = float("inf") if clip_range is None else clip_range
    old_error = keep(old_values.detach() - returns.detach(), mask)
    move = keep(values - old_values.detach(), mask)
    squared = (old_error + move).square()
    clipped_squared = (old_error + move.clamp(-eps, eps)).square()
    stats = {"clipped": (move.detach().abs() > eps).to(move.dtype).sum(),
             "squared_error": squared.detach().sum()}
    return LossSum(torch.maximum(squared, clipped_squared).sum() / 2, masked_count(move, mask), stats)


@torch.no_grad()
def approx_kl(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None = None) -> Tensor:
    """How far this update has moved: KL(old || current) in nats per token, >= 0, by k3 over kept tokens.

        (r - 1) - log r,    r = pi / pi_old,    tokens drawn from pi_old

    The number early stopping compares with 1.5 * target (Stable-Baselines3's `train/approx_kl`).
    """
    check_shapes("...", logprobs=logprobs, old_logprobs=old_logprobs, mask=mask)
    return masked_mean(k3(old_logprobs, logprobs), mask)      # k3(p, q) is KL(p || q) for tokens drawn from p


@torch.no_grad()
def clip_fraction(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None = None,
                  clip_range: ClipRange = 0.2) -> Tensor:
    """Share of kept tokens, 0 to 1, whose ratio pi / pi_old is outside the clip range, whatever A is."""
    check_shapes("...", logprobs=logprobs, old_logprobs=old_logprobs, mask=mask)
    ratio = _log_ratio(logprobs, old_logprobs, mask).exp()
    return masked_mean(_outside(ratio, *_clip_bounds(clip_range)), mask)


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor, mask: Tensor | None = None) -> Tensor:
    """1 - Var(returns - values) / Var(returns) over kept tokens: 1 is a perfect critic, 0 a constant one.

    NaN where the returns do not vary, as in Stable-Baselines3: there is nothing to explain.
    """
    check_shapes("...", values=values, returns=returns, mask=mask)
    var = masked_var(returns, mask)
    return torch.where(var > 0, 1 - masked_var(returns - values, mask) / var, float("nan"))


def _log_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor | None) -> Tensor:
    """log pi - log pi_old, clamped; 0 outside the mask. Gradient to `logprobs` only."""
    return keep(logprobs - old_logprobs.detach(), mask).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _clip_bounds(clip_range: ClipRange) -> tuple[float, float]:
    below, above = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    return 1.0 - below, 1.0 + above


def _outside(ratio: Tensor, below: float, above: float) -> Tensor:
    return ((ratio < below) | (ratio > above)).to(ratio.dtype)
