"""Attention over sequences laid end to end, through transformers' attention interface (D2).

H query heads · K key/value heads · N tokens of all sequences · D head size

A forward passes one `attention_plan` down to every layer. The plan owns the question "which tokens see which": no
padding mask and no N x N mask is ever built.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

from tutelage.models.causal import causal_attention, masked_attention

NAME = "tutelage_ragged"
TILE = 128      # tokens; a product over more costs more than the calls that it saves


class AttentionPlan(Protocol):
    """Attends for one layer. Shapes as transformers hands them over: q (1, H, N, D), k and v (1, K, N, D)."""

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor: ...   # as q


def _ragged_attention(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
                      scaling: float | None = None, attention_plan: AttentionPlan | None = None,
                      sliding_window: int | None = None, softcap: float | None = None,
                      **ignored: Any) -> tuple[Tensor, None]:
    assert attention_plan is not None, "a model with ragged attention is only called through models.policy"
    layer = getattr(module, "layer_idx", 0)       # some encoders do not count theirs, nor does their plan ask
    out = attention_plan.attend(layer, query, key, value, scaling, sliding_window, softcap)
    return out.transpose(1, 2).contiguous(), None      # some architectures take a view of it


AttentionInterface.register(NAME, _ragged_attention)


def takes_plan(model: PreTrainedModel) -> bool:
    """Whether every layer asks the attention interface, and for attention a plan knows: no recurrence, no chunks."""
    kinds = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    return model._supports_attention_backend and kinds <= {"full_attention", "sliding_attention"}


class Segments:
    """Each segment attends to itself, causally, and to the whole of its prefix segment where it has one."""

    def __init__(self, cu_seqlens: Tensor, prefix: Tensor | None = None) -> None:
        bounds = cu_seqlens.tolist()
        self.spans = list(pairwise(bounds))
        self.prefix = [-1] * len(self.spans) if prefix is None else prefix.tolist()

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        pieces = []
        queries, keys, values = (_cut(each, self.spans) for each in (q, k, v))
        for segment, prefix in enumerate(self.prefix):
            own_k, own_v = keys[segment], values[segment]
            if prefix >= 0:
                own_k, own_v = torch.cat((keys[prefix], own_k), dim=2), torch.cat((values[prefix], own_v), dim=2)
            pieces.append(causal(queries[segment], own_k, own_v, scaling, window, softcap))
        return torch.cat(pieces, dim=2)


class Tiles:
    """What `Segments` gives, to round-off, and without a graph: where segments are short, neighbours of up to `TILE` tokens
    are one product under a mask. Not for what must be equal to the bit to a training forward (D8).
    """

    def __init__(self, cu_seqlens: Tensor, prefix: Tensor) -> None:
        self.whole = Segments(cu_seqlens, prefix)
        bounds = cu_seqlens.tolist()
        self.spans: list[tuple[int, int]] = []
        self.parts: list[Tensor | Segments] = []      # the mask of a tile, or segments one by one
        for first, end in _tiles(bounds, self.whole.prefix):
            start = bounds[first]
            lengths = cu_seqlens[first:end + 1] - start
            behind = [max(each - first, -1) for each in self.whole.prefix[first:end]]
            self.spans.append((start, bounds[end]))
            alone = end - first == 1 or bounds[end] - start > TILE
            self.parts.append(Segments(lengths, torch.tensor(behind)) if alone else _mask(lengths.tolist(), behind))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        if window is not None or softcap is not None or q.device.type != "cpu":
            return self.whole.attend(layer, q, k, v, scaling, window, softcap)
        scale = q.shape[-1] ** -0.5 if scaling is None else scaling
        pieces = []
        cuts = (_cut(each, self.spans) for each in (q, k, v))
        for part, queries, keys, values in zip(self.parts, *cuts, strict=True):
            if isinstance(part, Segments):
                pieces.append(part.attend(layer, queries, keys, values, scaling, None, None))
            else:
                pieces.append(masked_attention(queries[0], keys[0], values[0], scale, part)[None])
        return torch.cat(pieces, dim=2)


def _tiles(bounds: Sequence[int], prefix: Sequence[int]) -> list[tuple[int, int]]:
    """First segment and end of each tile: whole families of a prefix and what goes on from it, as many as fit in `TILE`."""
    starts = [at for at, behind in enumerate(prefix) if behind < 0 and all(each >= at or each < 0 for each in prefix[at:])]
    found: list[tuple[int, int]] = []
    for first, end in pairwise([*starts, len(prefix)]):
        if found and bounds[end] - bounds[found[-1][0]] <= TILE:
            found[-1] = (found[-1][0], end)
        else:
            found.append((first, end))
    return found


def _mask(bounds: Sequence[int], prefix: Sequence[int]) -> Tensor:
    """(t, t) fp32, 0 where a token (row) sees another (column): its own segment up to itself, and the whole of its prefix."""
    mask = torch.full((bounds[-1], bounds[-1]), float("-inf"))
    for (start, end), behind in zip(pairwise(bounds), prefix, strict=True):
        mask[start:end, start:end] = torch.full((end - start, end - start), float("-inf")).triu_(1)
        if behind >= 0:
            mask[start:end, bounds[behind]:bounds[behind + 1]] = 0.0
    return mask


class TwoSided:
    """Each segment attends to the whole of itself, as encoders do."""

    def __init__(self, cu_seqlens: Tensor) -> None:
        self.spans = list(pairwise(cu_seqlens.tolist()))

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        assert window is None and softcap is None, "no encoder of models.classifier has either"
        segments = zip(_cut(q, self.spans), _cut(k, self.spans), _cut(v, self.spans), strict=True)
        return torch.cat([F.scaled_dot_product_attention(*segment, scale=scaling) for segment in segments], dim=2)


def _cut(tensor_1HND: Tensor, spans: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
    """A piece for each span, end to end. Not by slices: the gradient of each would be as large as the whole."""
    return tensor_1HND.split([end - start for start, end in spans], dim=2)


def causal(q: Tensor, k: Tensor, v: Tensor, scaling: float | None, window: int | None, softcap: float | None) -> Tensor:
    """Causal attention of the last n of m tokens, q (R, H, n, D), k and v (R, K, m, D).

    Token i of the m sees j where i - window < j <= i.
    """
    n, m = q.shape[2], k.shape[2]
    plain = softcap is None and (window is None or m <= window)
    if plain and q.device.type == "cpu":
        scale = q.shape[-1] ** -0.5 if scaling is None else scaling
        return causal_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), scale).view_as(q)
    groups = q.shape[1] // k.shape[1]
    if groups > 1:      # repeating keys and values is faster than enable_gqa, measured
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    if plain and n == m:
        return F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, scale=scaling)
    distance = torch.arange(m - n, m, device=q.device)[:, None] - torch.arange(m, device=q.device)[None, :]
    visible = (distance >= 0) & (distance < (window or m))
    if softcap is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scaling)
    weights = capped_scores(q, k, scaling, softcap).masked_fill(~visible, float("-inf"))
    return torch.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def capped_scores(q: Tensor, k: Tensor, scaling: float | None, softcap: float) -> Tensor:
    """Gemma 2's capped attention scores: softcap * tanh(q k / softcap)."""
    scores = (q @ k.transpose(-1, -2)) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    return softcap * torch.tanh(scores / softcap)
