"""Sums, means and whitening over the elements a mask keeps.

B sequences · T response. Every function takes any shape, (B, T) or (L,), with a mask of the same shape.

Outside the mask there may be anything, infinities and NaN included: it is replaced, never multiplied by zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms.shapes import check_shapes


def keep(values: Tensor, mask: Tensor | None) -> Tensor:
    """The values where `mask` is True and 0 elsewhere, gradient included; all of them if there is no mask.

    Maths that could overflow comes after this, not before: d/dx of NaN times zero is NaN.
    """
    check_shapes("...", values=values, mask=mask)
    return values if mask is None else torch.where(mask, values, 0.0)


def masked_sum(values: Tensor, mask: Tensor | None, dim: int | None = None) -> Tensor:
    """Sum of the values where `mask` is True; 0 where it keeps nothing.

    Args:
        values, mask: any shape, the same; mask bool, or None to keep everything.
        dim: the axis to sum over; None sums over all.
    Returns:
        a scalar, or `values` without axis `dim`. Gradients reach kept values only.
    """
    kept = keep(values, mask)
    return kept.sum() if dim is None else kept.sum(dim)


def masked_count(values: Tensor, mask: Tensor | None, dim: int | None = None) -> Tensor:
    """How many values `mask` keeps, in fp32: bf16 cannot count past 256."""
    return masked_sum(torch.ones_like(values, dtype=torch.float32), mask, dim)


def masked_mean(values: Tensor, mask: Tensor | None, dim: int | None = None) -> Tensor:
    """Mean of the values where `mask` is True; 0 where it keeps nothing.

    For reports and for whitening. A loss is never averaged here: it returns a sum and a count, and is divided
    once by the count of the whole batch (transformers#34191: a mean of micro-batch means weighs tokens
    unequally).
    """
    return masked_sum(values, mask, dim) / masked_count(values, mask, dim).clamp(min=1)


def masked_var(values: Tensor, mask: Tensor | None, unbiased: bool = True) -> Tensor:
    """Variance of the values where `mask` is True, divided by n - 1, or by n if not `unbiased`; 0 for n < 2.

    Two passes, mean first: the one-pass form loses all digits when the mean is large.
    """
    centred = keep(values - masked_mean(values, mask), mask)
    return centred.square().sum() / (masked_count(values, mask) - float(unbiased)).clamp(min=1)


def whiten(values: Tensor, mask: Tensor | None, shift_mean: bool = True, eps: float = 1e-8,
           moments: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Bring the kept values to variance 1 and, if `shift_mean`, to mean 0.

        w = (v - mean) / sqrt(var + eps),    w + mean if the mean is to stay

    As in the code of Ziegler et al. 2019 (arXiv:1909.08593).

    Args:
        values, mask: any shape, the same.
        shift_mean: False keeps the mean, as for rewards, whose sign and level have a meaning.
        moments: (mean, unbiased variance) over all ranks; None takes those of `values`.
    Returns:
        the shape of `values`, zero outside the mask. One kept value gives 0 (or itself, if the mean is to
        stay).
    """
    mean, var = moments or (masked_mean(values, mask), masked_var(values, mask))
    whitened = keep(values - mean, mask) * torch.rsqrt(var + eps)
    return whitened if shift_mean else keep(whitened + mean, mask)
