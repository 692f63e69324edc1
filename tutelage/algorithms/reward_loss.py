"""Teach a reward model which of two responses people preferred.

B pairs.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.shapes import check_shapes


def bradley_terry_loss(chosen: Tensor, rejected: Tensor, margin: Tensor | None = None,
                       label: Tensor | None = None, centring: float = 0.0,
                       weight: Tensor | None = None) -> LossSum:
    """Negative log-likelihood of the preferences (Stiennon et al. 2020, arXiv:2009.01325).

        d = chosen - rejected
        L = sum_i w_i (-p_i log sigma(d_i - m_i) - (1 - p_i) log sigma(-d_i - m_i)
                       + centring * (chosen_i + rejected_i)^2)

    m is the margin of Llama 2 (Touvron et al. 2023, arXiv:2307.09288, eq. 2): how much better the winner must
    score. NOTE: with a soft label it is asked of either winner, so that swapping a pair and its label changes
    nothing. Centring (Eisenstein et al. 2023, arXiv:2312.09244) settles the level, which preferences alone
    leave open.

    Args:
        chosen, rejected: (B,) scores with gradient, both from one forward.
        margin: (B,) >= 0 in reward units, or None for 0.
        label: (B,) probability that `chosen` is the better one, 0 to 1; None is 1. A tie is 0.5.
        centring: weight of the squared sum; 0.01 is usual.
        weight: (B,) >= 0, how many judgments a pair stands for; None is 1.
    Returns:
        LossSum over pairs, whose count is the sum of the weights. Stats, unweighted, each a sum: `correct`
        counts pairs ranked as the label says, equal scores half; `decided` counts the pairs it can be right
        or wrong about (label is not 0.5); `margin` sums d.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("B", chosen=chosen, rejected=rejected, margin=margin, label=label, weight=weight)
    difference = chosen - rejected
    needed = 0.0 if margin is None else margin
    losses = -F.logsigmoid(difference - needed)
    if label is not None:
        losses = label * losses - (1 - label) * F.logsigmoid(-difference - needed)
    if centring:
        losses = losses + centring * (chosen + rejected).square()
    count = chosen.new_tensor(float(chosen.numel()))
    if weight is not None:
        losses, count = weight * losses, weight.sum()
    gap = difference.detach()
    wanted = gap.new_ones(gap.shape) if label is None else (label.to(gap.dtype) - 0.5).sign()    # +1, 0 or -1
    stats = {
        "correct": ((1 + gap.sign() * wanted) / 2 * wanted.abs()).sum(),
        "decided": wanted.abs().sum(),
        "margin": gap.sum(),
    }
    return LossSum(losses.sum(), count, stats)
