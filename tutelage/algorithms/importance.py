"""Samples of weights that are no longer the policy's: what each token counts.

B sequences · T response
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms.kl import MAX_LOG_RATIO
from tutelage.algorithms.masked import keep
from tutelage.algorithms.shapes import check_shapes


@torch.no_grad()
def truncated_weights(logprobs: Tensor, engine_logprobs: Tensor, response_mask: Tensor, limit: float) -> Tensor:
    """Truncated importance weights (Ionides 2008; rho-bar of V-trace, Espeholt et al. 2018, arXiv:1802.01561, section 4.1).

        w_t = min(pi(a_t) / mu(a_t), C)

    They correct for what drew the tokens: older weights, or an engine that rounds otherwise than the trainer. Cutting the
    large ones off biases the estimate and bounds its variance. log pi / mu is clamped to +-20 first.

    Args:
        logprobs: (B, T) of the trainer, under the weights before the update.
        engine_logprobs: (B, T) of whoever sampled, as sampled.
        response_mask: (B, T) bool, True on tokens the policy chose.
        limit: C > 0; 2 is usual, 1 only ever takes weight away.
    Returns:
        (B, T), zero outside the mask.
    Raises:
        ShapeError: if the shapes differ. ValueError: if the limit is not positive.
    """
    check_shapes("B T", logprobs=logprobs, engine_logprobs=engine_logprobs, response_mask=response_mask)
    if limit <= 0:
        raise ValueError(f"limit is {limit}; wanted a number above 0 (2 is usual).")
    log_ratio = keep(logprobs - engine_logprobs, response_mask).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return keep(log_ratio.exp().clamp(max=limit), response_mask)
