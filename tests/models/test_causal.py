"""Our causal attention is torch's, in value and gradient, for prefixes, shared key heads and every place in a block."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.models.causal import BLOCK, causal_attention

Inputs = tuple[Tensor, Tensor, Tensor]


def inputs(heads: int, key_heads: int, n: int, m: int, dtype: torch.dtype, size: int = 16) -> Inputs:
    draw = torch.Generator().manual_seed(n * m)
    return tuple(torch.randn(h, length, size, generator=draw, dtype=torch.float64).to(dtype).requires_grad_()
                 for h, length in ((heads, n), (key_heads, m), (key_heads, m)))      # type: ignore[return-value]


def torchs(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    n, m, groups = q.shape[1], k.shape[1], q.shape[0] // k.shape[0]
    visible = torch.arange(m - n, m)[:, None] >= torch.arange(m)
    k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
    return F.scaled_dot_product_attention(q[None], k[None], v[None], attn_mask=visible, scale=scale)[0]


def both(given: Inputs, scale: float) -> list[list[Tensor]]:
    grad = torch.randn(given[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(given[0].dtype)
    outs = [attend(*given, scale) for attend in (causal_attention, torchs)]
    return [[out, *torch.autograd.grad(out, given, grad)] for out in outs]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 200), (5, 5), (BLOCK, BLOCK), (BLOCK + 1, BLOCK + 1),
                                      (3 * BLOCK - 1, 3 * BLOCK + 40), (2 * BLOCK, 2 * BLOCK)])
@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (6, 2), (3, 1)])
def test_value_and_gradients_are_torchs(n: int, m: int, heads: int, key_heads: int) -> None:
    ours, wanted = both(inputs(heads, key_heads, n, m, torch.float64), 0.3)
    assert all(torch.allclose(a, b, rtol=1e-11, atol=1e-12) for a, b in zip(ours, wanted, strict=True))


def test_half_precision_is_as_near_to_the_truth_as_torchs_own() -> None:
    given = inputs(9, 3, 300, 300, torch.bfloat16, size=64)
    ours, theirs = both(given, 64 ** -0.5)
    truth = both(tuple(each.detach().double().requires_grad_() for each in given), 64 ** -0.5)[1]      # type: ignore[arg-type]
    for a, b, true in zip(ours, theirs, truth, strict=True):
        assert (a.double() - true).norm() / true.norm() < 0.006
        assert (a.double() - true).norm() < 2.5 * (b.double() - true).norm()


def test_what_is_kept_grows_with_the_tokens_and_not_with_their_square() -> None:
    def kept(n: int) -> int:
        sizes: dict[int, int] = {}
        given = inputs(4, 2, n, n, torch.float32)
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.setdefault(t.data_ptr(), t.nbytes), lambda kept: kept):
            causal_attention(*given, 1.0)
        return sum(sizes.values())
    assert kept(400) == 4 * kept(100) > 0
