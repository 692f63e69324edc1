"""Settings of everything that takes gradient steps; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError


def check_looks(stage: str, heldout_fraction: float, evaluate_every: int, patience: int) -> None:
    """Settings of the rows that a stage keeps out of training and looks at between steps.

    Raises:
        ConfigError: if one is out of its range, or nothing is kept out to look at.
    """
    if not 0 <= heldout_fraction < 1 or evaluate_every < 0 or patience < 0:
        raise ConfigError(f"{stage}: heldout_fraction {heldout_fraction} must be in [0, 1), evaluate_every {evaluate_every} and "
                          f"patience {patience} >= 0.")
    if heldout_fraction == 0 and (evaluate_every or patience):
        raise ConfigError(f"{stage}: evaluate_every {evaluate_every} and patience {patience} look at rows that are kept out, "
                          "and heldout_fraction is 0. Set it, for instance to 0.05.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) over fp32 masters."""

    lr: float = 2e-5               # peak learning rate
    head_lr: float | None = None   # of heads (critic, reward, classes), which start at zero; none is 10 x lr
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-5              # larger than Adam's 1e-8: tames the first updates (37 details of PPO, N+)
    weight_decay: float = 0.0      # on matrices only, never on embeddings, norms or biases
    max_grad_norm: float = 1.0     # gradients are scaled down to this L2 norm; 0 leaves them
    warmup_fraction: float = 0.03  # share of the steps in which the rate rises from 0
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    final_fraction: float = 0.1    # where a falling schedule ends, as a share of lr
    frozen_layers: int = 0         # blocks, from the input on, that are not trained (embeddings too then)

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.eps <= 0 or self.weight_decay < 0 or self.max_grad_norm < 0:
            raise ConfigError(f"optimizer: lr {self.lr} and eps {self.eps} must be > 0, weight_decay {self.weight_decay} "
                              f"and max_grad_norm {self.max_grad_norm} >= 0.")
        if self.head_lr is not None and self.head_lr <= 0:
            raise ConfigError(f"optimizer.head_lr {self.head_lr}: must be > 0, or none for 10 x lr.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"optimizer.betas {self.betas}: each must be in [0, 1).")
        if not (0 <= self.warmup_fraction <= 1 and 0 <= self.final_fraction <= 1 and self.frozen_layers >= 0):
            raise ConfigError("optimizer: warmup_fraction and final_fraction must be in [0, 1], frozen_layers >= 0.")
