"""Settings of reinforcement learning; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision
from tutelage.scoring import Constraints, Scoring
from tutelage.training.config import Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithm:
    """An RL algorithm as a composition: credit x policy loss x placement of the KL x passes (DESIGN D7)."""

    credit: Literal[                 # where an advantage comes from; best: 1 for the best of a prompt's samples, 0 for the rest;
        "gae", "returns", "leave_one_out", "group_mean", "group_std", "best", "pair",      # pair: DPO's weights on the best and
    ] = "gae"                        # the worst, kl_coef being its beta
    baseline: Literal["none", "mean", "critic"] = "critic"    # of credit returns: nothing, the mean of earlier rollouts, V
    gamma: float = 1.0               # discount a token; 1 in all of RLHF
    gae_lambda: float = 0.95         # GAE's lambda; 1 is the Monte Carlo return minus the critic
    whiten_rewards: bool = False     # bring a rollout's rewards a token to variance 1, their mean left as it is
    whiten: bool = True              # bring advantages to mean 0, variance 1 over the rollout's response tokens
    ratio: Literal["token", "sequence"] = "token"    # of what the ratio to the sampling policy is taken; sequence: GSPO
    clip_range: float | None = 0.2   # PPO's epsilon (arXiv:1707.06347 eq. 7); none is the plain policy gradient
    clip_higher: float | None = None # epsilon above 1, where it is another than below (DAPO)
    dual_clip: float | None = None   # bound c > 1 of the loss at negative advantages (arXiv:1912.09729)
    average: Literal["tokens", "responses", "constant", "sums"] = "tokens"    # what the policy loss is divided by, see docs/rl.md
    drop_equal: bool = False         # leave out prompts whose samples all score the same (DAPO)
    value_clip: float | None = 0.2   # how far the critic may move in one rollout, reward units
    vf_coef: float = 0.1             # weight of the critic's loss, on the shared trunk
    critic_warmup: int = 0           # rollouts at the start that teach a critic of its own alone (`RL.critic`)
    ent_coef: float = 0.0            # bonus a nat of entropy
    ent_target: float | None = None  # nats a token; where set, ent_coef adapts towards it (arXiv:1812.05905)
    ent_rate: float = 0.05           # how fast: e-fold a rollout and nat of error
    ptx_coef: float = 0.0            # weight of the loss on `RL.ptx_data` in each update (PPO-ptx, arXiv:2203.02155)
    kl_in: Literal["reward", "loss"] = "reward"          # where the distance from the reference is paid
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"       # how it is estimated from the sampled token; k1 in the reward only
    kl_coef: float = 0.05            # reward units per nat of KL(policy || reference)
    kl_target: float | None = None   # nats a response; where set, kl_coef adapts towards it (arXiv:1909.08593)
    kl_horizon: float = 10_000.0     # responses over which kl_coef may change e-fold (same paper)
    target_kl: float | None = None   # nats a token; passes over a rollout stop when the policy moved 1.5 x as far (SB3)
    importance_limit: float | None = None    # C > 0: weigh tokens by min(policy / sampler, C), see docs/rl.md
    epochs: int = 1                  # passes over each rollout; more passes, staler ratios
    minibatches: int = 1             # updates a pass

    def __post_init__(self) -> None:
        if not (0 <= self.gamma <= 1 and 0 <= self.gae_lambda <= 1):
            raise ConfigError("algorithm: gamma and gae_lambda must be in [0, 1].")
        for name in ("clip_range", "clip_higher", "value_clip", "kl_target", "kl_horizon", "target_kl", "ent_target", "ent_rate",
                     "importance_limit"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ConfigError(f"algorithm.{name} {value}: must be > 0, or none.")
        if self.dual_clip is not None and self.dual_clip <= 1:
            raise ConfigError(f"algorithm.dual_clip {self.dual_clip}: must be > 1, or none.")
        if min(self.epochs, self.minibatches) < 1 or min(self.vf_coef, self.ent_coef, self.kl_coef, self.ptx_coef) < 0:
            raise ConfigError("algorithm: epochs and minibatches must be >= 1, vf_coef, ent_coef, kl_coef and ptx_coef >= 0.")
        if self.critic_warmup < 0 or (self.critic_warmup and not self.has_critic):
            raise ConfigError(f"algorithm.critic_warmup {self.critic_warmup}: must be >= 0, and 0 without a critic.")
        if self.ent_target is not None and self.ent_coef == 0:
            raise ConfigError("algorithm: ent_target multiplies ent_coef, which is 0. Set a start for it, for instance 0.01.")
        self._check_composition()

    def _check_composition(self) -> None:
        if self.clip_range is None and (self.epochs * self.minibatches > 1 or self.ratio == "sequence" or self.clip_higher):
            raise ConfigError("algorithm: without clip_range only the first update of a rollout is on-policy and there is no "
                              "ratio; set epochs and minibatches to 1, ratio to token and clip_higher to none, or a clip_range.")
        if self.kl_in == "loss" and self.kl_estimator == "k1":
            raise ConfigError("algorithm: k1 in the loss has a gradient of mean zero, so it holds the policy to nothing. "
                              "Set kl_estimator to k2 or k3.")
        if self.credit == "pair" and (self.kl_in != "reward" or self.kl_coef == 0 or self.clip_range is not None):
            raise ConfigError("algorithm: the weights of credit pair are those of DPO's loss in the first update alone, with "
                              "kl_coef as its beta. Set kl_coef > 0, kl_in to reward and clip_range to none.")
        if self.credit in ("best", "pair") and self.whiten:
            raise ConfigError(f"algorithm: credit {self.credit} says which responses to learn from; set whiten to false.")

    @property
    def has_critic(self) -> bool:
        return self.credit == "gae" or (self.credit == "returns" and self.baseline == "critic")

    @property
    def in_groups(self) -> bool:
        """Whether a response is measured against the other responses to its prompt."""
        return self.credit in ("leave_one_out", "group_mean", "group_std", "best", "pair")

    @property
    def selects(self) -> bool:
        """Whether only some of the responses to a prompt are learned from."""
        return self.credit in ("best", "pair")


Action = Literal["off", "warn", "stop", "rollback"]
SIGNALS = ("kl", "entropy", "length", "repetition", "ended", "gap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarding:
    """Limits on how far a run may drift, and what is done past them (docs/guard.md). A limit of none is not watched."""

    action: Action = "warn"            # nothing; a warning; the run ends with the best weights within all limits; back to these
    actions: dict[str, Action] = field(default_factory=dict)      # signals for which it is another, by name
    reward: str = ""                   # a reward that nothing is trained on, for the gap; named as the reward is
    window: int = 3                    # steps a signal is averaged over; the first so many are what it is compared with
    every: int = 5                     # steps between states that may be gone back to
    lr_factor: float = 0.5             # what a rollback multiplies the learning rate by
    max_rollbacks: int = 3             # the next one ends the run
    kl: float | None = 50.0            # nats a response from the reference
    entropy: float | None = 0.2        # least share of the entropy it began with
    length: float | None = 3.0         # factor by which responses may grow or shrink
    repetition: float | None = 0.25    # rise in the share of a response's runs of 4 tokens that it has said before
    ended: float | None = 0.4          # fall in the share of responses that end their turn
    gap: float | None = 1.0            # standard deviations by which the two rewards may part once the held-out one falls

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.actions) - set(SIGNALS)):
            raise ConfigError(f"guard.actions: there is no signal {unknown[0]!r}; there are {', '.join(SIGNALS)}.")
        if min(self.window, self.every) < 1 or self.max_rollbacks < 0 or not 0 < self.lr_factor <= 1:
            raise ConfigError("guard: window and every must be >= 1, max_rollbacks >= 0, lr_factor in (0, 1].")
        for name in SIGNALS:
            if (limit := getattr(self, name)) is not None and limit <= (1 if name == "length" else 0):
                raise ConfigError(f"guard.{name} {limit}: must be > {1 if name == 'length' else 0}, or none.")

    def action_on(self, signal: str) -> Action:
        return self.actions.get(signal, self.action)

    @property
    def watches(self) -> bool:
        return any(self.action_on(signal) != "off" for signal in SIGNALS)

    @property
    def goes_back(self) -> bool:
        """Whether it may come to weights that were kept earlier."""
        return any(self.action_on(signal) in ("stop", "rollback") for signal in SIGNALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class RL:
    """Train a policy against a reward, held to its reference by a KL penalty (InstructGPT, arXiv:2203.02155, step 3)."""

    algorithm: Literal[
        "reinforce", "reinforce_mean", "reinforce_critic", "a2c", "ppo", "rloo", "grpo", "dr_grpo", "dapo", "gspo",
        "online_dpo", "expert_iteration",
    ] = "ppo"                        # preset that `settings` starts from
    policy: str = "sft"              # model the policy and its reference start as
    reward: tuple[str, ...] = ("reward",)    # one or several: artifact, rm:, hf:NAME[label], rule:, file.py:function, http(s)://
    reward_weight: tuple[float, ...] = ()    # of each in the sum; empty: 1 each
    prompts: str = ""                # data set of prompts (or instructions, whose prompts are taken)
    name: str = "policy"             # name of the model artifact that is made
    steps: int = 100                 # rollouts
    prompts_per_step: int = 16       # prompts in one rollout
    per_prompt: int = 4              # samples of each
    max_new_tokens: int = 64         # a response is cut there
    temperature: float = 1.0         # of sampling; the loss divides its logits by the same
    last_temperature: float | None = None    # of the last step, reached in equal parts; none leaves it as it is
    one_step_late: bool = False      # samples are drawn before the last update is made; needs importance_limit
    reference_samples: int = 0       # of the policy as it starts: their best of n is told, `standardise` takes their scale
    standardise: bool = False        # scores less the mean of the reference samples' over their standard deviation
    missing_end_penalty: float = 1.0 # taken off the score of a response that did not end its turn (N+, arXiv:2403.17031)
    overlong_tokens: int = 0         # the last tokens before the limit cost up to overlong_penalty, linearly (DAPO)
    overlong_penalty: float = 1.0    # what a response of max_new_tokens loses then
    reward_clip: float = 5.0         # scores, in standard deviations, are kept within +- this
    micro_tokens: int = 2048         # tokens at once in memory
    slots: int = 64                  # responses decoded at the same time
    critic: str = ""                 # model or reward model a critic of its own starts as; empty: a head on the policy's trunk
    critic_lr: float | None = None   # of that critic; none is the policy's
    ptx_data: str = ""               # instructions or documents, mixed into each update by ptx_coef
    ptx_tokens: int = 1024           # of them in an update; a longer row is left out
    look_every: int = 10             # steps between looks at the same five prompts, kept as samples.jsonl; 0: none
    scoring: Scoring = field(default_factory=Scoring)
    constraints: Constraints = field(default_factory=Constraints)
    settings: dict[str, float | str | bool | None] = field(default_factory=dict)   # changes to the preset, by field of Algorithm
    guard: Guarding = field(default_factory=Guarding)
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=3e-6, warmup_fraction=0.0, schedule="constant"))
    precision: Precision = "auto"    # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                    # of prompts and samples

    def __post_init__(self) -> None:
        if min(self.steps, self.prompts_per_step, self.per_prompt, self.max_new_tokens, self.micro_tokens, self.slots) < 1:
            raise ConfigError("rl: steps, prompts_per_step, per_prompt, max_new_tokens, micro_tokens, slots must be >= 1.")
        if self.look_every < 0:
            raise ConfigError(f"rl: look_every {self.look_every} must be >= 0; 0 is never.")
        if self.reward_weight and len(self.reward_weight) != len(self.reward):
            raise ConfigError(f"rl: reward_weight has {len(self.reward_weight)} numbers for {len(self.reward)} rewards; wanted one "
                              "each, or none.")
        if self.temperature <= 0 or self.missing_end_penalty < 0 or self.reward_clip <= 0:
            raise ConfigError("rl: temperature and reward_clip must be > 0, missing_end_penalty >= 0.")
        rates = [each for each in (self.last_temperature, self.critic_lr) if each is not None]
        if min(rates, default=1.0) <= 0 or self.reference_samples < 0 or self.ptx_tokens < 2:
            raise ConfigError("rl: last_temperature and critic_lr must be > 0, reference_samples >= 0 and ptx_tokens >= 2.")
        if self.standardise and self.reference_samples < 2:
            raise ConfigError("rl: standardise takes the scale of the reference samples; set reference_samples, "
                              "for instance 256.")
        if not 0 <= self.overlong_tokens <= self.max_new_tokens or self.overlong_penalty < 0:
            raise ConfigError(f"rl: overlong_tokens {self.overlong_tokens} must be in [0, max_new_tokens] and overlong_penalty "
                              f"{self.overlong_penalty} >= 0.")
