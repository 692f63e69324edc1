"""Teach a classifier: each text is in one of K classes, or in any number of them.

B texts · K classes
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.shapes import check_shapes


def softmax_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None) -> LossSum:
    """Negative log-likelihood of the one class a text is in (Bishop 2006, eq. 4.108).

        L = sum_i w_i (-log softmax(z_i)[y_i])

    Args:
        logits: (B, K) with gradient.
        target: (B,) int64, the index of each text's class.
        weight: (B,) >= 0, what a text counts, its class weight included; None is 1.
    Returns:
        LossSum over texts, whose count is the sum of the weights. Stats: `correct`, the weight of the texts whose
        class has the largest logit.
    Raises:
        ShapeError: if the shapes do not fit together.
    """
    sizes = check_shapes("B K", logits=logits)
    check_shapes("B", sizes, target=target, weight=weight)
    weight = logits.new_ones(sizes["B"]) if weight is None else weight
    losses = weight * F.cross_entropy(logits, target, reduction="none")
    right = logits.detach().argmax(1) == target
    return LossSum(losses.sum(), weight.sum(), {"correct": (weight * right).sum()})


def sigmoid_cross_entropy(logits: Tensor, target: Tensor, weight: Tensor | None = None,
                          positive_weight: Tensor | None = None) -> LossSum:
    """Negative log-likelihood of K separate yes-or-no answers (Bishop 2006, eq. 4.90).

        L = sum_i w_i sum_k (-p_k y_ik log sigma(z_ik) - (1 - y_ik) log sigma(-z_ik))

    Args:
        logits: (B, K) with gradient.
        target: (B, K) 1 where the text is in the class, else 0.
        weight: (B,) >= 0, what a text counts; None is 1.
        positive_weight: (K,) >= 0, p: what a yes counts against a no; None is 1.
    Returns:
        LossSum over answers, whose count is K times the sum of the weights. Stats: `correct`, the weight of the answers
        on the right side of probability one half.
    Raises:
        ShapeError: if the shapes do not fit together.
    """
    sizes = check_shapes("B K", logits=logits, target=target)
    check_shapes("B", sizes, weight=weight)
    check_shapes("K", sizes, positive_weight=positive_weight)
    weight = logits.new_ones(sizes["B"]) if weight is None else weight
    losses = F.binary_cross_entropy_with_logits(logits, target, pos_weight=positive_weight, reduction="none")
    right = (logits.detach() >= 0) == (target > 0.5)
    return LossSum((weight * losses.sum(1)).sum(), sizes["K"] * weight.sum(), {"correct": (weight * right.sum(1)).sum()})
