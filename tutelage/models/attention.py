"""Attention over sequences laid end to end, through transformers' attention interface (D2).

H query heads · K key/value heads · N tokens of all sequences · S sequences in decoding slots · C slot capacity · D head size

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

from tutelage.models.causal import causal_attention

NAME = "tutelage_ragged"


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
    """Each segment attends to itself, causally, and to the whole of its prefix segment where it has one.

    With `store`, keys and values are also kept, segment i in slot `slots[i]`, for decoding to go on from.
    """

    def __init__(self, cu_seqlens: Tensor, prefix: Tensor | None = None, store: SlotCache | None = None,
                 slots: Sequence[int] = ()) -> None:
        bounds = cu_seqlens.tolist()
        self.spans = list(pairwise(bounds))
        self.prefix = [-1] * len(self.spans) if prefix is None else prefix.tolist()
        self.store = store
        self.slots = slots

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        if self.store is not None:
            for slot, (start, end) in zip(self.slots, self.spans, strict=True):
                self.store.write_prompt(layer, slot, k[0, :, start:end], v[0, :, start:end])
        pieces = []
        queries, keys, values = (_cut(each, self.spans) for each in (q, k, v))
        for segment, prefix in enumerate(self.prefix):
            own_k, own_v = keys[segment], values[segment]
            if prefix >= 0:
                own_k, own_v = torch.cat((keys[prefix], own_k), dim=2), torch.cat((values[prefix], own_v), dim=2)
            pieces.append(_causal(queries[segment], own_k, own_v, scaling, window, softcap))
        return torch.cat(pieces, dim=2)


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


def _causal(q: Tensor, k: Tensor, v: Tensor, scaling: float | None, window: int | None, softcap: float | None) -> Tensor:
    """Causal attention of the last n of m tokens, q (1, H, n, D), k and v (1, H, m, D).

    Token i of the m sees j where i - window < j <= i.
    """
    n, m = q.shape[2], k.shape[2]
    plain = softcap is None and (window is None or m <= window)
    if plain and q.device.type == "cpu":
        return causal_attention(q[0], k[0], v[0], q.shape[-1] ** -0.5 if scaling is None else scaling)[None]
    groups = q.shape[1] // k.shape[1]
    if groups > 1:      # repeating keys and values is faster than enable_gqa, measured
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    if plain and n == m:
        return F.scaled_dot_product_attention(q, k, v, is_causal=n > 1, scale=scaling)
    distance = torch.arange(m - n, m, device=q.device)[:, None] - torch.arange(m, device=q.device)[None, :]
    visible = (distance >= 0) & (distance < (window or m))
    if softcap is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scaling)
    weights = _capped_scores(q, k, scaling, softcap).masked_fill(~visible, float("-inf"))
    return torch.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype) @ v


def _capped_scores(q: Tensor, k: Tensor, scaling: float | None, softcap: float) -> Tensor:
    """Gemma 2's capped attention scores: softcap * tanh(q k / softcap)."""
    scores = (q @ k.transpose(-1, -2)) * (q.shape[-1] ** -0.5 if scaling is None else scaling)
    return softcap * torch.tanh(scores / softcap)


class SlotCache:
    """Keys and values of S sequences in flight, preallocated: two tensors (S, K, C, D) a layer.

    Those of a layer are made when its first prompt is written, in the shapes that layer has.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, capacity
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def write_prompt(self, layer: int, slot: int, k: Tensor, v: Tensor) -> None:
        """Keep a prompt's keys and values, (K, n, D) each."""
        for held, new in ((self.keys, k), (self.values, v)):
            if layer not in held:
                held[layer] = new.new_zeros((self.slots, new.shape[0], self.capacity, new.shape[2]))
            held[layer][slot, :, : new.shape[1]] = new

    def copy(self, source: int, target: int, length: int) -> None:
        """Let `target` continue what `source` holds: how one prompt's prefill serves all its samples."""
        for tensor in (*self.keys.values(), *self.values.values()):
            tensor[target, :, :length] = tensor[source, :, :length]


class Decode:
    """One new token for each of the first S slots; slot s holds `lengths[s]` tokens before this one."""

    def __init__(self, cache: SlotCache, lengths: Tensor) -> None:
        self.cache = cache
        self.lengths = lengths                                   # (S,)
        self.rows = torch.arange(lengths.shape[0], device=lengths.device)
        self.width = int(lengths.max()) + 1
        columns = torch.arange(self.width, device=lengths.device)
        self.distance = lengths[:, None] - columns[None, :]      # (S, width): 0 is the token itself

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        keys[self.rows, :, self.lengths] = k[0].transpose(0, 1)         # k (1, K, S, D)
        values[self.rows, :, self.lengths] = v[0].transpose(0, 1)
        s, heads, dim = q.shape[2], keys.shape[1], q.shape[3]
        q = q[0].transpose(0, 1).reshape(s, heads, -1, dim)             # the queries that share a key head stand as rows
        k, v = keys[:s, :, : self.width], values[:s, :, : self.width]
        visible = (self.distance >= 0) if window is None else (self.distance >= 0) & (self.distance < window)
        if softcap is None:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None, None, :], scale=scaling)
        else:
            weights = _capped_scores(q, k, scaling, softcap).masked_fill(~visible[:, None, None, :], float("-inf"))
            out = torch.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype) @ v
        return out.reshape(s, -1, v.shape[3]).transpose(0, 1)[None]     # (1, H, S, D)
