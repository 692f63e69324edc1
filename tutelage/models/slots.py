"""Keys and values of responses in flight, and the two ways a forward of decoding sees them: prompts in, one more token each.

H query heads · K key/value heads · N tokens of all prompts · R prompts of one length n · D head size
S slots in use · C slot capacity
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
import torch.nn.functional as F
from torch import Tensor

from tutelage.models.attention import capped_scores, causal

ALIGN = 32      # positions: products over widths in between take up to twice as long (docs/LOG.md)


def aligned(positions: int) -> int:
    """The next width that products like."""
    return -(-positions // ALIGN) * ALIGN


class SlotCache:
    """Keys and values of S sequences in flight, preallocated: (S, K, D, C) and (S, K, C, D) a layer.

    Keys lie as the product with queries reads them (docs/LOG.md). Those of a layer are made when its first prompt is written,
    in the shapes that layer has.
    """

    def __init__(self, slots: int, capacity: int) -> None:
        self.slots, self.capacity = slots, aligned(capacity)
        self.keys: dict[int, Tensor] = {}
        self.values: dict[int, Tensor] = {}

    def write(self, layer: int, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """Keep the keys and values of R prompts of one length, (R, K, n, D) each, in their slots (R,)."""
        if layer not in self.keys:
            self.keys[layer] = k.new_zeros((self.slots, k.shape[1], k.shape[3], self.capacity))
            self.values[layer] = v.new_zeros((self.slots, v.shape[1], self.capacity, v.shape[3]))
        self.keys[layer][slots, ..., : k.shape[2]] = k.transpose(2, 3)
        self.values[layer][slots, :, : v.shape[2]] = v

    def add(self, layer: int, slots: Tensor, lengths: Tensor, k: Tensor, v: Tensor) -> None:
        """Keep those of one more token of each of S slots, (S, K, D) each, behind the `lengths` (S,) before."""
        self.keys[layer][slots, :, :, lengths] = k
        self.values[layer][slots, :, lengths] = v

    def copy(self, source: int, target: int | slice, length: int) -> None:
        """Let `target` continue what `source` holds: how one prompt's prefill serves all its samples."""
        for keys, values in zip(self.keys.values(), self.values.values(), strict=True):
            keys[target, ..., :length] = keys[source, ..., :length]
            values[target, :, :length] = values[source, :, :length]


    def take(self, other: SlotCache, source: int, target: int, length: int) -> None:
        """Let `target` continue what slot `source` of another cache of this shape holds."""
        for layer in self.keys:
            self.keys[layer][target, ..., :length] = other.keys[layer][source, ..., :length]
            self.values[layer][target, :, :length] = other.values[layer][source, :, :length]


class Prefill:
    """Prompts laid end to end, each attending to itself; their keys and values are kept, prompt i in slot `slots[i]`.

    Neighbours of one length are computed together, so prompts should stand in the order of their lengths.
    """

    def __init__(self, lengths: Sequence[int], cache: SlotCache, slots: Sequence[int]) -> None:
        self.cache = cache
        self.runs: list[tuple[int, int, Tensor]] = []      # first token, length of each, slots
        first = 0
        for length, members in groupby(zip(lengths, slots, strict=True), key=lambda each: each[0]):
            taken = [slot for _, slot in members]
            self.runs.append((first, length, torch.tensor(taken)))
            first += length * len(taken)

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        pieces = []
        for first, length, slots in self.runs:
            q_RHnD, k_RKnD, v_RKnD = (_one_by_one(each, first, length, len(slots)) for each in (q, k, v))
            self.cache.write(layer, slots.to(k.device), k_RKnD, v_RKnD)
            out = causal(q_RHnD, k_RKnD, v_RKnD, scaling, window, softcap)
            pieces.append(out.transpose(1, 2).flatten(0, 1))                          # (R n, H, D)
        return torch.cat(pieces).transpose(0, 1)[None]


def _one_by_one(laid: Tensor, first: int, length: int, count: int) -> Tensor:
    """(R, H, n, D) of the R = `count` sequences that begin at token `first` of (1, H, N, D)."""
    return laid[0].transpose(0, 1)[first : first + length * count].unflatten(0, (count, length)).transpose(1, 2)


class Decode:
    """One new token for each of the first S slots; slot s holds `lengths[s]` tokens before this one."""

    def __init__(self, cache: SlotCache, lengths: Tensor) -> None:
        self.cache = cache
        self.lengths = lengths                                   # (S,)
        self.rows = torch.arange(lengths.shape[0], device=lengths.device)
        self.width = aligned(int(lengths.max()) + 1)
        columns = torch.arange(self.width, device=lengths.device)
        self.distance = lengths[:, None] - columns[None, :]      # (S, width): 0 is the token itself
        self.visible: dict[int | None, Tensor] = {}              # by window
        self.hidden: dict[int | None, Tensor] = {}

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor, scaling: float | None,
               window: int | None, softcap: float | None) -> Tensor:
        self.cache.add(layer, self.rows, self.lengths, k[0].transpose(0, 1), v[0].transpose(0, 1))
        s, heads, dim = q.shape[2], k.shape[1], q.shape[3]
        q = q[0].transpose(0, 1).reshape(s, heads, -1, dim)             # the queries that share a key head stand as rows
        k = self.cache.keys[layer][:s, ..., : self.width].transpose(2, 3)      # (S, K, width, D)
        v = self.cache.values[layer][:s, :, : self.width]
        if softcap is not None:
            weights = capped_scores(q, k, scaling, softcap).masked_fill(~self._visible(window), float("-inf"))
            out = torch.softmax(weights, dim=-1, dtype=torch.float32).to(q.dtype) @ v
        elif q.device.type == "cpu":
            out = self._two_products(q, k, v, dim**-0.5 if scaling is None else scaling, window)
        else:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=self._visible(window), scale=scaling)
        return out.reshape(s, -1, v.shape[3]).transpose(0, 1)[None]     # (1, H, S, D)

    def _two_products(self, q: Tensor, k: Tensor, v: Tensor, scaling: float, window: int | None) -> Tensor:
        """Takes half the time of torch's own kernel for a few queries each (docs/LOG.md)."""
        q, k, v = (each.flatten(0, 1) for each in (q, k, v))            # (S K, G or width, D)
        hidden = self._hidden(window, k.shape[0] // len(self.rows), q.dtype)
        scores = torch.baddbmm(hidden, q, k.transpose(1, 2), alpha=scaling)
        return torch.bmm(torch.softmax(scores, -1), v)

    def _hidden(self, window: int | None, heads: int, dtype: torch.dtype) -> Tensor:
        """(S K, 1, width): 0 where a slot sees the position, else minus infinity; made once for all layers with this window."""
        if window not in self.hidden:
            seen = self._visible(window)[:, :, 0].expand(-1, heads, -1).reshape(-1, 1, self.width)
            self.hidden[window] = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, float("-inf"))
        return self.hidden[window]

    def _visible(self, window: int | None) -> Tensor:
        """(S, 1, 1, width): made once for all layers with this window."""
        if window not in self.visible:
            seen = self.distance >= 0
            self.visible[window] = (seen if window is None else seen & (self.distance < window))[:, None, None, :]
        return self.visible[window]
