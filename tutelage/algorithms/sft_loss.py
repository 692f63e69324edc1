"""Supervised fine-tuning: make the wanted response likely.

B sequences · T response · L tokens under the response mask.
"""

from __future__ import annotations

from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.masked import masked_count, masked_sum


def negative_log_likelihood(logprobs: Tensor, mask: Tensor | None = None) -> LossSum:
    """Sum of -log pi(token), in nats, over the tokens to learn (Ouyang et al. 2022, arXiv:2203.02155).

    It is the policy gradient loss on demonstrations, each token with advantage 1.

    Args:
        logprobs: (B, T) or (L,) of the wanted tokens.
        mask: same shape, bool, True on tokens to learn; None learns all.
    Raises:
        ShapeError: if the shapes differ or the mask is not bool.
    """
    return LossSum(-masked_sum(logprobs, mask), masked_count(logprobs, mask))
