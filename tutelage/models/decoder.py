"""A policy as decoding runs it: hundreds of forwards of a few rows each, without a gradient, on weights that hold still.

`Decoder` runs the policy's own forward. `PlainDecoder` is that forward of the plain kind of decoder (Llama, Mistral, Qwen 2
and 3) without the modules around it, and with weights laid out once as the processor's bf16 products want them, where else
every product would lay them out again: as many bytes as the weights have, made anew for each `generate`, so that they are
never stale.

N tokens · S sequences in flight · D hidden size · H query heads · K key/value heads · d head size · I inner size · V vocabulary
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutelage.models.attention import AttentionPlan
from tutelage.models.footprint import weight_bytes
from tutelage.models.fused import RMSNorm, is_gated
from tutelage.models.policy import Policy

PLAIN = frozenset(("llama", "mistral", "qwen2", "qwen3"))      # which the tests hold to transformers' own forward
PART = 16      # rows of logits that are finished at a time: 3 MB in fp32 at a vocabulary of 49,152, which stays in the cache


class Decoder:
    """The policy's own forward."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    @torch.no_grad()
    def hidden(self, ids: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        """(N, D)"""
        return self.policy.hidden(ids, positions, plan)

    @torch.no_grad()
    def logits(self, hidden: Tensor, rows: Tensor | None = None) -> Iterator[Tensor]:
        """(PART, V) fp32 logits, a few rows of `hidden` after the other, or of those that `rows` (S,) names; each part is the
        caller's to overwrite.
        """
        products = self._products(hidden)
        for start in range(0, len(products) if rows is None else len(rows), PART):
            part = slice(start, start + PART)
            yield self.policy.finished(products[part] if rows is None else products[rows[part]])

    def _products(self, hidden: Tensor) -> Tensor:
        products: Tensor = self.policy.head(hidden)
        return products


def decoder_of(policy: Policy, rows: int) -> Decoder:
    """The fastest decoder of `policy` for steps of about so many rows."""
    return PlainDecoder(policy, rows) if is_plain(policy) else Decoder(policy)


def packed_bytes(policy: Policy) -> int:
    """What its decoder holds beside the policy."""
    return weight_bytes(policy.model) if is_plain(policy) and _packs(policy) else 0


def is_plain(policy: Policy) -> bool:
    """Whether every module of the trunk is one that `PlainDecoder` knows."""
    if policy.has_adapter or policy.config.model_type not in PLAIN or not policy.ragged:
        return False
    trunk = policy.trunk
    names = {name for name, _ in trunk.named_children()}
    return (names == {"embed_tokens", "layers", "norm", "rotary_emb"} and isinstance(trunk.norm, RMSNorm)
            and 2 * trunk.rotary_emb.inv_freq.numel() == trunk.layers[0].self_attn.head_dim
            and all(_is_plain_block(block) for block in policy.blocks()))


def _is_plain_block(block: Any) -> bool:
    own = {name for name, _ in block.named_children()}
    attention = dict(block.self_attn.named_children()) if "self_attn" in own else {}
    norms = [attention.pop(name) for name in ("q_norm", "k_norm") if name in attention]
    return (own == {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"} and is_gated(block.mlp)
            and attention.keys() == {"q_proj", "k_proj", "v_proj", "o_proj"}
            and all(type(each) is nn.Linear for each in (*attention.values(), *_mlp(block)))
            and all(isinstance(each, RMSNorm) for each in (*norms, block.input_layernorm, block.post_attention_layernorm)))


def _mlp(block: Any) -> tuple[Any, Any, Any]:
    return block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj


@dataclass(frozen=True, slots=True)
class _Block:
    """What one layer computes with."""

    before_attention: RMSNorm
    qkv: _Product
    q_norm: RMSNorm | None
    k_norm: RMSNorm | None
    out: _Product
    before_mlp: RMSNorm
    gate: _Product
    up: _Product
    down: _Product
    scaling: float
    window: int | None


class PlainDecoder(Decoder):
    """Pre-norm blocks of attention with rotary positions and a gated MLP."""

    def __init__(self, policy: Policy, rows: int) -> None:
        super().__init__(policy)
        text, first = policy.config.get_text_config(), policy.blocks()[0]
        self.head_size: int = cast(Any, first).self_attn.head_dim
        self.query_heads, self.key_heads = text.num_attention_heads, text.num_key_value_heads
        pack = _packs(policy)
        self._blocks = [_block(each, policy, rows, pack) for each in policy.blocks()]
        self._head = _Product([policy.head], rows, pack)

    @torch.no_grad()
    def hidden(self, ids: Tensor, positions: Tensor, plan: AttentionPlan) -> Tensor:
        trunk = self.policy.trunk
        x = trunk.embed_tokens(ids)                                                  # (N, D)
        cos, sin = (each[0, :, None] for each in trunk.rotary_emb(x[None], position_ids=positions[None]))      # (N, 1, d)
        sin = torch.cat((-sin[..., : self.head_size // 2], sin[..., self.head_size // 2 :]), -1)
        for number, block in enumerate(self._blocks):
            x = block.out.plus(self._attend(number, block, _normed(block.before_attention, x), cos, sin, plan), x)
            normed = _normed(block.before_mlp, x)
            x = block.down.plus(block.up.times(normed, block.gate.silu(normed)), x)
        return _normed(trunk.norm, x)

    def _attend(self, number: int, block: _Block, x: Tensor, cos: Tensor, sin: Tensor, plan: AttentionPlan) -> Tensor:
        """(N, H d)"""
        qkv = block.qkv(x).unflatten(-1, (-1, self.head_size))                       # (N, H + 2 K, d)
        turned, values = qkv[:, : -self.key_heads], qkv[:, -self.key_heads :]
        if block.q_norm is not None and block.k_norm is not None:
            turned = torch.cat((_normed(block.q_norm, turned[:, : self.query_heads]),
                                _normed(block.k_norm, turned[:, self.query_heads :])), 1)
        turned = (turned * cos).add_(turned.roll(self.head_size // 2, -1).mul_(sin))
        q, k, v = (each.transpose(0, 1)[None] for each in (turned[:, : self.query_heads], turned[:, self.query_heads :], values))
        return plan.attend(number, q, k, v, block.scaling, block.window, None)[0].transpose(0, 1).flatten(1)

    def _products(self, hidden: Tensor) -> Tensor:
        return self._head(hidden)


def _block(block: Any, policy: Policy, rows: int, pack: bool) -> _Block:
    attention = block.self_attn
    gate, up, down = (_Product([each], rows, pack) for each in _mlp(block))
    window = policy.config.sliding_window if policy.config.model_type == "mistral" else getattr(attention, "sliding_window", None)
    return _Block(
        block.input_layernorm, _Product([attention.q_proj, attention.k_proj, attention.v_proj], rows, pack),
        getattr(attention, "q_norm", None), getattr(attention, "k_norm", None), _Product([attention.o_proj], rows, pack),
        block.post_attention_layernorm, gate, up, down, attention.scaling, window)


def _normed(norm: RMSNorm, x: Tensor) -> Tensor:
    """As the module, without autograd's machinery."""
    wide = x.float()
    normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + norm.eps)
    return (norm.weight * normed).to(x.dtype) if norm.late else norm.weight * normed.to(x.dtype)


def _packs(policy: Policy) -> bool:
    """Whether products of this policy gain from weights laid out beforehand: bf16, on a processor that multiplies it."""
    return policy.device.type == "cpu" and policy.dtype == torch.bfloat16 and _multiplies_bf16()


def _multiplies_bf16() -> bool:
    """Whether this processor has what torch lays bf16 weights out for; it refuses elsewhere."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _Product:
    """What these linear layers give for their input, side by side, and what is done with it at once.

    On weights that were laid out it is done before the product is rounded, and without another pass over memory.
    """

    @torch.no_grad()
    def __init__(self, layers: list[Any], rows: int, pack: bool) -> None:
        joined = torch.cat([each.weight for each in layers]) if pack and len(layers) > 1 else layers[0].weight.detach()
        self._layers = layers
        self._bias = torch.cat([each.bias for each in layers]) if layers[0].bias is not None else None
        self._laid = torch.ops.mkldnn._reorder_linear_weight(joined, rows) if pack else None

    def __call__(self, x: Tensor) -> Tensor:
        if self._laid is None:
            return torch.cat([F.linear(x, each.weight, each.bias) for each in self._layers], -1)
        return torch.ops.mkldnn._linear_pointwise(x, self._laid, self._bias, "none", [], "")

    def silu(self, x: Tensor) -> Tensor:
        if self._laid is None:
            return F.silu(self(x))
        return torch.ops.mkldnn._linear_pointwise(x, self._laid, self._bias, "swish", [], "")

    def times(self, x: Tensor, other: Tensor) -> Tensor:
        return self(x) * other if self._laid is None else self._with(x, other, "mul")

    def plus(self, x: Tensor, other: Tensor) -> Tensor:
        return self(x) + other if self._laid is None else self._with(x, other, "add")

    def _with(self, x: Tensor, other: Tensor, what: str) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise.binary(x, other, self._laid, self._bias, what)
