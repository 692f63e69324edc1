"""Causal attention of one segment on a processor without an attention kernel worth the name.

H query heads · K key/value heads, each shared by G = H / K query heads · n queries, the last of m keys · D head size

Queries are taken in blocks of `BLOCK`, so that half of the products is left out, and the query heads of one key head stand
as rows of one product, so that keys and values are never repeated. Weights are made anew in the backward: what is kept
grows with the tokens. Measured beside torch's own (bf16 without AMX, H = 9, K = 3, D = 64; forward and backward, one thread):
0.3 of its time at 64 tokens, 0.6 at 256, 512 and 2,048, 0.75 at 1,024; docs/LOG.md.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 128


def causal_attention(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """softmax(scale q k^T) v, where query i of the n sees keys 0 … m - n + i.

    Args:
        q: (H, n, D); k, v: (K, m, D), K a divisor of H.
    Returns:
        (H, n, D). Products in the dtype of q, rows of the softmax in fp32, gradients of keys and values summed in fp32.
    """
    out: Tensor = _Causal.apply(q, k, v, scale)
    return out


class _Causal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
        rows = _by_key_head(q, k)                                                    # (K, G, n, D)
        out = torch.empty_like(rows)
        for start, end, seen in _blocks(q, k):
            weights = _weights(_flat(rows[:, :, start:end]), k[:, :seen], scale, end - start)
            out[:, :, start:end] = torch.bmm(weights, v[:, :seen]).view_as(out[:, :, start:end])
        out = out.view(q.shape)
        ctx.scale = scale
        ctx.save_for_backward(q, k, v, out)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out = ctx.saved_tensors
        rows, grads = _by_key_head(q, k), _by_key_head(grad, k)
        wide = torch.promote_types(q.dtype, torch.float32)
        means = _by_key_head((grad.to(wide) * out).sum(-1, keepdim=True), k)          # of the weights' gradients, (K, G, n, 1)
        grad_q = torch.empty_like(rows)
        grad_k, grad_v = torch.zeros_like(k, dtype=wide), torch.zeros_like(v, dtype=wide)
        for start, end, seen in _blocks(q, k):
            queries, given = _flat(rows[:, :, start:end]), _flat(grads[:, :, start:end])
            weights = _weights(queries, k[:, :seen], ctx.scale, end - start)
            grad_v[:, :seen] += torch.bmm(weights.transpose(1, 2), given)
            of_weights = torch.bmm(given, v[:, :seen].transpose(1, 2))
            of_scores = (of_weights - _flat(means[:, :, start:end])).mul_(weights).mul_(ctx.scale).to(q.dtype)
            grad_q[:, :, start:end] = torch.bmm(of_scores, k[:, :seen]).view_as(grad_q[:, :, start:end])
            grad_k[:, :seen] += torch.bmm(of_scores.transpose(1, 2), queries)
        return grad_q.view(q.shape), grad_k.to(k.dtype), grad_v.to(v.dtype), None


def masked_attention(q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor) -> Tensor:
    """softmax(scale q k^T + mask) v, without a backward of its own.

    Args:
        q: (H, n, D); k, v: (K, m, D). mask: (n, m), 0 or -inf, fp32.
    Returns:
        (H, n, D).
    """
    rows = _by_key_head(q, k)                                                         # (K, G, n, D)
    scores = torch.baddbmm(q.new_empty(1), _flat(rows), k.transpose(1, 2), beta=0.0, alpha=scale)
    scores.view(*rows.shape[:3], k.shape[1]).add_(mask)
    return torch.bmm(torch.softmax(scores, -1), v).view(q.shape)


def _blocks(q: Tensor, k: Tensor) -> list[tuple[int, int, int]]:
    """First and last query of each block, and how many keys the last one sees."""
    n, before = q.shape[1], k.shape[1] - q.shape[1]
    return [(start, min(start + BLOCK, n), before + min(start + BLOCK, n)) for start in range(0, n, BLOCK)]


def _by_key_head(tensor_HnX: Tensor, k: Tensor) -> Tensor:
    heads, n, size = tensor_HnX.shape
    return tensor_HnX.reshape(k.shape[0], heads // k.shape[0], n, size)


def _flat(tensor_KGbX: Tensor) -> Tensor:
    """(K, G b, X): the rows of one product."""
    return tensor_KGbX.reshape(tensor_KGbX.shape[0], -1, tensor_KGbX.shape[3])


def _weights(queries: Tensor, keys: Tensor, scale: float, size: int) -> Tensor:
    """(K, G b, seen): of the b = `size` last of the keys that are seen, each sees those up to itself."""
    scores = torch.baddbmm(queries.new_empty(1), queries, keys.transpose(1, 2), beta=0.0, alpha=scale)
    hidden = scores.new_full((size, size), float("-inf")).triu_(1)
    scores.view(scores.shape[0], -1, size, scores.shape[2])[..., -size:].add_(hidden)
    return torch.softmax(scores, -1)
