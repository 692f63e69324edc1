"""How far the policy has moved from the reference: KL(policy || reference), >= 0, in nats.

B sequences · T response · V vocabulary.

The estimators of Schulman (2020, http://joschu.net/blog/kl-approx.html) take one sampled token each. With
samples from the policy and log r = ref_logprobs - logprobs:

    k1 = -log r              unbiased, may be negative
    k2 = (log r)^2 / 2       biased, never negative, low variance
    k3 = (r - 1) - log r     unbiased, never negative

In the reward, where no gradient flows, use k1. In the loss the value and the gradient are two questions: for
tokens drawn from the policy, the gradient of k1 is zero in expectation (it regularises nothing), that of k2
is the gradient of KL(policy || reference), and that of k3 is the gradient of KL(reference || policy).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tutelage.algorithms.shapes import check_shapes

MAX_LOG_RATIO = 20.0      # exp(20) = 4.9e8: finite in bf16 and fp32, far beyond any ratio with a meaning


def k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """log pi - log pi_ref per token: an unbiased estimate of KL(policy || reference), of either sign.

    For rewards (Ziegler et al. 2019, arXiv:1909.08593, eq. 2). NOTE: as a loss its gradient has mean zero.

    Args:
        logprobs, ref_logprobs: (B, T) or (L,), of tokens sampled from the policy.
    Returns:
        same shape; carries the gradient of `logprobs`.
    """
    check_shapes("...", logprobs=logprobs, ref_logprobs=ref_logprobs)
    return logprobs - ref_logprobs


def k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """(log pi - log pi_ref)^2 / 2 per token: biased, >= 0; its gradient is that of KL(policy || reference).

    Args and returns as for `k1`.
    """
    check_shapes("...", logprobs=logprobs, ref_logprobs=ref_logprobs)
    return (logprobs - ref_logprobs).square() / 2


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """(r - 1) - log r with r = pi_ref / pi, per token: an unbiased estimate of KL(policy || reference), >= 0.

    The loss term of GRPO (Shao et al. 2024, arXiv:2402.03300, eq. 4). log r is clamped to +-20, beyond which
    there is no gradient. expm1 keeps the digits when the two policies are close. Args and returns as for
    `k1`.
    """
    check_shapes("...", logprobs=logprobs, ref_logprobs=ref_logprobs)
    log_ratio = (ref_logprobs - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return torch.expm1(log_ratio) - log_ratio


KL_ESTIMATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"k1": k1, "k2": k2, "k3": k3}


def exact_kl(logits: Tensor, ref_logits: Tensor) -> Tensor:
    """KL(policy || reference) over the whole vocabulary, >= 0 up to rounding.

        sum_v pi(v) (log pi(v) - log pi_ref(v))

    Args:
        logits, ref_logits: (..., V), unnormalised; a token that both rule out (-inf) counts 0.
    Returns:
        (...), with gradient to both.
    """
    check_shapes("...", logits=logits, ref_logits=ref_logits)
    dtype = torch.promote_types(logits.dtype, torch.float32)
    logprobs, ref_logprobs = logits.log_softmax(-1, dtype=dtype), ref_logits.log_softmax(-1, dtype=dtype)
    ruled_out = logprobs.isneginf()
    difference = (logprobs - ref_logprobs).masked_fill(ruled_out, 0.0)
    return (logprobs.exp() * difference).sum(-1)


def next_kl_coef(kl_coef: float, kl: float, target: float, horizon: float, num_samples: int) -> float:
    """The adaptive controller (Ziegler et al. 2019, arXiv:1909.08593, section 2.2): steer KL to `target`.

        error = clip(kl / target - 1, -0.2, 0.2),    kl_coef * (1 + error * num_samples / horizon)

    Args:
        kl: KL(policy || reference) just seen, in nats per sequence; a larger one than `target` raises the
            coefficient.
        target, horizon: 6 nats and 10,000 samples in the paper.
        num_samples: sequences since the last call.
    Raises:
        ValueError: if target or horizon is not positive.
    """
    if target <= 0 or horizon <= 0:
        raise ValueError(f"next_kl_coef got target {target} and horizon {horizon}; wanted both above 0.")
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return kl_coef * (1.0 + error * num_samples / horizon)
