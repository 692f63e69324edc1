"""Settings of models; imports no torch, so that help and validation start at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError

Precision = Literal["auto", "bf16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """LoRA's settings; rank 0 means none: all weights are trained."""

    rank: int = 0                  # r of the paper; 0 trains the weights themselves
    alpha: float = 32.0            # the update is scaled by alpha / rank (alpha / sqrt(rank) with rs)
    dropout: float = 0.0           # on the adapter's input; keep 0 for RL
    rs: bool = False               # rank-stabilised scaling (arXiv:2312.03732)
    targets: tuple[str, ...] = ()  # module names; empty takes every linear layer of the trunk

    def __post_init__(self) -> None:
        if self.rank < 0 or not 0 <= self.dropout < 1 or self.alpha <= 0:
            raise ConfigError(f"adapter: rank {self.rank} must be >= 0, alpha {self.alpha} > 0 and dropout {self.dropout} in "
                              "[0, 1).")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scratch:
    """Sizes of a model that begins with nothing; the defaults make 4.3 million parameters, which two cores teach in minutes."""

    vocab_size: int = 4096         # of the byte-level tokenizer that is trained on the corpus
    hidden_size: int = 256         # width of the trunk
    layers: int = 4                # blocks
    heads: int = 4                 # of attention; hidden_size is divided among them
    kv_heads: int = 0              # heads of keys and values; 0: as many as `heads`
    intermediate_size: int = 0     # width inside a block; 0: about 8/3 of hidden_size, a multiple of 32

    def __post_init__(self) -> None:
        if self.vocab_size < 258 or min(self.hidden_size, self.layers, self.heads) < 1 or \
                min(self.kv_heads, self.intermediate_size) < 0:
            raise ConfigError(f"scratch: vocab_size {self.vocab_size} must be at least 258 (256 bytes, a beginning, an end), "
                              "hidden_size, layers and heads at least 1, kv_heads and intermediate_size >= 0.")
        if self.hidden_size % (2 * self.heads) or (self.kv_heads and self.heads % self.kv_heads):
            raise ConfigError(f"scratch: each of {self.heads} heads needs an even share of hidden_size {self.hidden_size}, and "
                              f"kv_heads {self.kv_heads} must divide heads.")
