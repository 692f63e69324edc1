"""Settings of reward models; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision
from tutelage.training.config import Optimizer, check_looks

Aggregation = Literal["vote", "reliability"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """Learn from comparisons which response is the better one (Stiennon et al. 2020, arXiv:2009.01325, eq. 1)."""

    model: str = "sft"             # where the trunk comes from: usually the SFT model
    data: str = "feedback"         # feedback, for the project's own judgments, or a data set of preferences
    aggregation: Aggregation = "vote"      # of the project's own judgments: each judge counts one, or by their reliability
    name: str = "reward"           # name of the reward artifact that is made
    layers: int = 0                # blocks of the trunk that are kept, from the input on; 0 keeps all
    epochs: int = 1                # passes over the pairs; more than one soon overfits
    batch_tokens: int = 4096       # tokens of prompts and responses in one step
    micro_tokens: int = 2048       # of them, at once in memory
    max_length: int = 1024         # pairs with a longer side are dropped (never cut), and counted
    centring: float = 0.01         # weight of (r_chosen + r_rejected)^2, which keeps scores around 0 (Eisenstein 2023)
    label_smoothing: float = 0.0   # share of judgments taken to be turned round: a label p is trained as (1 - e) p + e (1 - p)
    regress_length: bool = False   # take out of scores what length alone earns, by a line in log(1 + tokens) (docs/rewards.md)
    heldout_fraction: float = 0.1  # share of prompts kept out, for the accuracy that is reported
    heldout_seed: int = 0          # of which prompts are kept out: the same ones for every seed
    heldout: str = ""              # data set that is kept out instead; refused where its prompts are nearly trained on
    evaluate_every: int = 0        # steps between looks at them; 0: at the end of each epoch
    patience: int = 0              # looks in a row without a better one that end training, with the best weights; 0: never
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=2e-5))
    checkpointing: bool = False    # each block is computed again in the backward: less memory, about a third more time
    precision: Precision = "auto"  # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                  # of the order of pairs

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("reward: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        if self.layers < 0:
            raise ConfigError(f"reward: layers {self.layers} must be >= 0; 0 keeps all.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"reward: label_smoothing {self.label_smoothing} must be >= 0 and under 0.5: from there on labels "
                              "say nothing, or the opposite.")
        if self.centring < 0:
            raise ConfigError(f"reward: centring {self.centring} must be >= 0.")
        check_looks("reward", self.heldout_fraction, self.evaluate_every, self.patience)
