"""Fused layers give the numbers of those they stand for: forward to the bit, gradients to round-off; others stay."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tutelage.models.fused import RMSNorm, _fused_norm, _GatedForward, fuse
from tutelage.models.tiny import tiny_model

FUSED = {"llama": (5, 2), "qwen2": (5, 2), "qwen3": (9, 2), "mistral": (5, 2), "phi3": (5, 0), "olmo2": (9, 2), "granite": (5, 2),
         "gemma2": (0, 0), "gpt2": (0, 0), "cohere": (0, 2)}      # norms and gated MLPs that are replaced


@pytest.mark.parametrize("architecture", FUSED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fused_model_is_the_same_model(architecture: str, dtype: torch.dtype) -> None:
    own = tiny_model(architecture).to(dtype)
    with torch.no_grad():      # norms that are not all ones, which would hide where the weight is applied
        for name, value in own.named_parameters():
            if value.ndim == 1:
                value.add_(torch.randn(value.shape, generator=torch.Generator().manual_seed(len(name))).to(dtype) * 0.2)
    fused = copy.deepcopy(own)
    fuse(fused)
    assert FUSED[architecture] == (sum(isinstance(each, RMSNorm) for each in fused.modules()),
                                   sum(isinstance(each.__dict__.get("forward"), _GatedForward) for each in fused.modules()))
    assert list(fused.state_dict()) == list(own.state_dict())
    ids = torch.randint(0, 200, (2, 24), generator=torch.Generator().manual_seed(0))
    logits = [model(ids).logits for model in (own, fused)]
    assert torch.equal(*logits)
    for each in logits:
        each.float().log_softmax(-1)[..., 7].sum().backward()
    gradients = dict(fused.named_parameters())
    for name, value in own.named_parameters():
        if value.grad is not None:
            off = (gradients[name].grad.float() - value.grad.float()).norm() / value.grad.float().norm().clamp(min=1e-6)
            assert off < (2e-5 if dtype == torch.float32 else 0.03), name


def test_a_layer_with_other_numbers_stays() -> None:
    class LooksLikeRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.eps = nn.Parameter(torch.ones(8)), 1e-5

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (1.0 + self.weight) * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    assert _fused_norm(LooksLikeRMSNorm()) is None
    assert _fused_norm(nn.LayerNorm(8)) is None


def test_a_copy_of_a_fused_model_has_layers_of_its_own() -> None:
    model = tiny_model()
    fuse(model)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for value in other.parameters():
            value.zero_()
    ids = torch.tensor([[1, 2, 3]])
    assert float(other(ids).logits.detach().abs().max()) == 0.0 < float(model(ids).logits.detach().abs().max())


def test_inputs_and_incoming_gradients_are_left_as_they_are() -> None:
    """In fp32 `.float()` copies nothing: writing into it would change what other layers read."""
    norm = _fused_norm(tiny_model().model.norm)
    assert norm is not None
    x, grad = torch.randn(5, norm.weight.numel(), requires_grad=True), torch.randn(5, norm.weight.numel())
    before = x.detach().clone(), grad.clone()
    norm(x).backward(grad)
    assert torch.equal(x.detach(), before[0]) and torch.equal(grad, before[1])
