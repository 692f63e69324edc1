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
