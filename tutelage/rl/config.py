"""Settings of reinforcement learning; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision
from tutelage.training.config import Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """An RL algorithm as a composition: credit x policy loss x placement of the KL x passes (DESIGN D7)."""

    credit: Literal["gae", "leave_one_out", "group_mean"] = "gae"   # where a token's advantage comes from
    gamma: float = 1.0               # discount a token; 1 in all of RLHF
    gae_lambda: float = 0.95         # GAE's lambda; 1 is the Monte Carlo return minus the critic
    whiten: bool = True              # bring advantages to mean 0, variance 1 over the rollout's response tokens
    clip_range: float | None = 0.2   # PPO's epsilon (arXiv:1707.06347 eq. 7); none is the plain policy gradient
    dual_clip: float | None = None   # bound c > 1 of the loss at negative advantages (arXiv:1912.09729)
    value_clip: float | None = 0.2   # how far the critic may move in one rollout, reward units
    vf_coef: float = 0.1             # weight of the critic's loss, on the shared trunk
    ent_coef: float = 0.0            # bonus a nat of entropy
    kl_coef: float = 0.05            # reward units per nat of KL(policy || reference), paid per token
    kl_target: float | None = None   # nats a response; where set, kl_coef adapts towards it (arXiv:1909.08593)
    kl_horizon: float = 10_000.0     # responses over which kl_coef may change e-fold (same paper)
    epochs: int = 1                  # passes over each rollout; more passes, staler ratios
    minibatches: int = 1             # updates a pass

    def __post_init__(self) -> None:
        if not (0 <= self.gamma <= 1 and 0 <= self.gae_lambda <= 1):
            raise ConfigError("algorithm: gamma and gae_lambda must be in [0, 1].")
        if self.clip_range is not None and self.clip_range <= 0:
            raise ConfigError(f"algorithm.clip_range {self.clip_range}: must be > 0, or none.")
        if min(self.epochs, self.minibatches) < 1 or min(self.vf_coef, self.ent_coef, self.kl_coef) < 0:
            raise ConfigError("algorithm: epochs and minibatches must be >= 1, vf_coef, ent_coef and kl_coef >= 0.")
        if self.clip_range is None and self.epochs * self.minibatches > 1:
            raise ConfigError("algorithm: without clip_range only the first update of a rollout is on-policy; "
                              "set epochs and minibatches to 1, or a clip_range.")


@dataclass(frozen=True, slots=True, kw_only=True)
class RL:
    """Train a policy against a reward, held to its reference by a KL penalty (InstructGPT, arXiv:2203.02155, step 3)."""

    algorithm: Literal["ppo", "rloo"] = "ppo"    # preset that `settings` starts from
    policy: str = "sft"              # model the policy and its reference start as
    reward: str = "reward"           # reward artifact, or file.py:function
    prompts: str = ""                # data set of prompts (or instructions, whose prompts are taken)
    name: str = "policy"             # name of the model artifact that is made
    steps: int = 100                 # rollouts
    prompts_per_step: int = 16       # prompts in one rollout
    per_prompt: int = 4              # samples of each
    max_new_tokens: int = 64         # a response is cut there
    temperature: float = 1.0         # of sampling; the loss divides its logits by the same
    missing_end_penalty: float = 1.0 # taken off the score of a response that did not end its turn (N+, arXiv:2403.17031)
    reward_clip: float = 5.0         # scores, in standard deviations, are kept within +- this
    micro_tokens: int = 2048         # tokens at once in memory
    slots: int = 64                  # responses decoded at the same time
    settings: dict[str, float] = field(default_factory=dict)     # changes to the preset, by field of Algorithm
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=3e-6, warmup_fraction=0.0, schedule="constant"))
    precision: Precision = "auto"    # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                    # of prompts and samples

    def __post_init__(self) -> None:
        if min(self.steps, self.prompts_per_step, self.per_prompt, self.max_new_tokens, self.micro_tokens, self.slots) < 1:
            raise ConfigError("rl: steps, prompts_per_step, per_prompt, max_new_tokens, micro_tokens, slots must be >= 1.")
        if self.temperature <= 0 or self.missing_end_penalty < 0 or self.reward_clip <= 0:
            raise ConfigError("rl: temperature and reward_clip must be > 0, missing_end_penalty >= 0.")
