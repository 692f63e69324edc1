"""Settings of reward models; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision
from tutelage.training.config import Optimizer, check_looks

Aggregation = Literal["vote", "reliability"]
Objective = Literal["auto", "bradley_terry", "joint", "regression", "classification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotators:
    """What the joint objective learns of each annotator. The first five are standard deviations of normal priors, in the units
    of the score; 0 fixes what it is about."""

    reliability: float = 0.5       # of each annotator's factor on the score, around 1; 0: all are equally reliable
    thresholds: float = 1.0        # of each annotator's own thresholds on a scale, around the common ones
    loading: float = 0.5           # of each aspect's factor on the score, around 1: how much it is about what the others are
    strengths: float = 1.0         # of where a winner begins to be clearly and far better; 0: strengths are margins instead
    offset: float = 1.0            # of each group's offset on ratings and thumbs, around 0
    group_by: str = "annotator"    # what a group is: annotator (human, model, scripted), or a key of the rows (language …)
    lr: float = 0.0                # peak learning rate of all of them; 0: 4 / steps, at most 0.2, which reaches as far in any run

    def __post_init__(self) -> None:
        if min(self.reliability, self.thresholds, self.loading, self.strengths, self.offset, self.lr) < 0:
            raise ConfigError("reward: annotators.reliability, thresholds, loading, strengths, offset and lr must be >= 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What the joint objective makes of passages that somebody marked: a reward of each token (docs/one-reward-model.md)."""

    weight: float = 1.0            # of their loss, nats a passage, beside that of the judgments; 0 leaves them out
    neutral: float = 1.0           # what all tokens of a response that nobody marked weigh together; a passage weighs 1
    reward: float = 0.1            # what a token that is surely good earns in RL, in deviations of scores; a bad one costs it

    def __post_init__(self) -> None:
        if min(self.weight, self.neutral) < 0 or self.reward <= 0:
            raise ConfigError("reward: marks.weight and marks.neutral must be >= 0, marks.reward > 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardModel:
    """Learn how good a response is, from comparisons (Stiennon et al. 2020, arXiv:2009.01325, eq. 1) or from every kind of
    judgment together."""

    model: str = "sft"             # where the trunk comes from: usually the SFT model
    data: str = "feedback"         # feedback, for the project's own judgments, or a data set or file of judgments
    also: tuple[str, ...] = ()     # more judgments, of the same kind or others: data sets, files, feedback
    sources: tuple[str, ...] = ()  # kinds of judgment that train (comparison, rating, thumbs, edit, spans …); none: all
    objective: Objective = "auto"  # auto: bradley_terry where all say which of two is better, else joint
    aggregation: Aggregation = "vote"      # of the project's own pairs: each judge counts one, or by their reliability
    annotators: Annotators = field(default_factory=Annotators)
    marks: Marks = field(default_factory=Marks)
    critique_lm: float = 0.0       # weight of predicting what critiques say, nats a token; 0 leaves their words out
    members: int = 1               # adapters and heads on one trunk, whose mean is the score and whose spread is told
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
    seed: int = 0                  # of the order of pairs and the adapter; member n has seed + n - 1

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("reward: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        if self.layers < 0:
            raise ConfigError(f"reward: layers {self.layers} must be >= 0; 0 keeps all.")
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(f"reward: label_smoothing {self.label_smoothing} must be >= 0 and under 0.5: from there on labels "
                              "say nothing, or the opposite.")
        if self.critique_lm < 0 or (self.critique_lm and self.objective not in ("auto", "joint")):
            raise ConfigError(f"reward: critique_lm {self.critique_lm} must be >= 0, and above 0 it wants the objective joint.")
        if self.members < 1 or (self.members > 1 and not self.adapter.rank):
            raise ConfigError(f"reward: {self.members} members; wanted 1, or more with an adapter each on one trunk "
                              "(--adapter.rank 8). For whole models of several seeds: --seeds.")
        if self.centring < 0:
            raise ConfigError(f"reward: centring {self.centring} must be >= 0.")
        check_looks("reward", self.heldout_fraction, self.evaluate_every, self.patience)
