"""Teach a reward of each token from passages that people marked.

K tokens of judged responses
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.shapes import check_shapes


def marked_token_loss(logits: Tensor, label: Tensor, weight: Tensor) -> LossSum:
    """Whether each token is part of a passage that somebody called good, or of one that is bad: logistic regression.

        L = sum_k w_k (-y_k log sigma(z_k) - (1 - y_k) log sigma(-z_k))

    One number a token where Wu et al. 2023 (arXiv:2306.01693) have one class a passage. A token that nobody marked has the
    label 1/2, which draws z to 0: it earns nothing and costs nothing.

    Args:
        logits: (K,) z, with gradient.
        label: (K,) 1 in a good passage, 0 in a bad one, 1/2 outside of all.
        weight: (K,) >= 0, as `passage_weights` gives it.
    Returns:
        LossSum whose count is the sum of the weights. Stats, weighted sums over the tokens of passages: `marked` of all,
        `marked_right` of those whose z has the passage's sign, z = 0 half.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("K", logits=logits, label=label, weight=weight)
    losses = -label * F.logsigmoid(logits) - (1 - label) * F.logsigmoid(-logits)
    said = (2 * label - 1).sign()                                                     # +1, -1, or 0 outside of passages
    marked = weight * said.abs()
    return LossSum((weight * losses).sum(), weight.sum(), {
        "marked": marked.sum(), "marked_right": (marked * (1 + logits.detach().sign() * said) / 2).sum()})


def token_rewards_of(logits: Tensor, most: float) -> Tensor:
    """What each token earns: `most` times P(good) - P(bad) = 2 sigma(z) - 1 = tanh(z / 2). Bounded, so that one token can
    never outweigh a response, and 0 where nothing speaks for or against."""
    return most * torch.tanh(logits / 2)
