"""The small layers of a trunk, each with a backward of its own that keeps less and makes fewer passes over memory.

transformers writes a root-mean-square norm as six operations, of which autograd keeps two float32 copies of its input, and a
gated MLP as two, of which it keeps three tensors of the inner width. What is put in their place gives the same numbers in
the forward, to the bit; a layer for which it does not is left as it is.

N tokens · D hidden size · I inner size of the MLP
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _RMSNorm(torch.autograd.Function):
    """weight * (x / rms(x)), Zhang & Sennrich 2019 (arXiv:1910.07467), in fp32; rounded before the weight, or `late`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, late: bool) -> Tensor:
        wide = x.float()
        scale = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + eps)
        ctx.save_for_backward(x, weight, scale)
        normed = wide * scale
        return (weight * normed).to(x.dtype) if late else weight * normed.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        normed = x.float() * scale
        wide = grad.float()
        of_weight = (wide * normed).flatten(0, -2).sum(0).to(weight.dtype) if ctx.needs_input_grad[1] else None
        of_normed = wide * weight
        of_normed -= normed.mul_((of_normed * normed).mean(-1, keepdim=True))
        return of_normed.mul_(scale).to(x.dtype), of_weight, None, None


class _Gated(torch.autograd.Function):
    """silu(gate) * up (SwiGLU, arXiv:2002.05202)."""

    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(grad * up, gate), F.silu(gate).mul_(grad)


class RMSNorm(nn.Module):
    """In the place of a model's own; `weight` keeps its name."""

    def __init__(self, own: Any, late: bool) -> None:
        super().__init__()
        self.weight, self.eps, self.late = own.weight, _epsilon(own), late

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _RMSNorm.apply(x, self.weight, self.eps, self.late)
        return out


def fuse(model: nn.Module) -> None:
    """Put the layers of this file in the place of those of `model` that they equal; names of weights stay as they are."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if (fused := _fused_norm(child)) is not None:
                setattr(parent, name, fused)
        if is_gated(parent):
            parent.forward = _GatedForward(parent)


class _GatedForward:
    """The forward of a gated MLP: down(silu(gate(x)) * up(x))."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        module = self.module
        out: Tensor = module.down_proj(_Gated.apply(module.gate_proj(x), module.up_proj(x)))
        return out


def _epsilon(module: Any) -> float:
    return float(getattr(module, "variance_epsilon", None) or getattr(module, "eps", None) or 0.0)


def _fused_norm(module: Any) -> RMSNorm | None:
    """What may stand in the place of `module`; None where that is no norm of this kind, or one with other numbers."""
    weight = getattr(module, "weight", None)
    if not type(module).__name__.endswith("RMSNorm") or not isinstance(weight, Tensor) or _epsilon(module) == 0.0:
        return None
    probe = torch.linspace(-3, 3, 4 * weight.numel()).view(4, -1).to(weight)
    with torch.no_grad():
        wanted = module(probe)
        return next((each for each in (RMSNorm(module, False), RMSNorm(module, True)) if torch.equal(each(probe), wanted)), None)


def is_gated(module: Any) -> bool:
    names = dict(module.named_children())
    return {"gate_proj", "up_proj", "down_proj", "act_fn"} == names.keys() and type(names["act_fn"]).__name__ in (
        "SiLU", "SiLUActivation")
