"""Settings of evaluation; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Precision
from tutelage.scoring import Scoring

Probe = Literal["refusal", "counterfactual", "robustness", "leakage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Compare models on held-out prompts or on tasks; a report artifact with HTML in two languages and JSON, and for prompts a
    model card.
    """

    models: tuple[str, ...] = ()       # the models to compare, any kind of name each; with tasks also http://host/v1#model
    names: tuple[str, ...] = ()        # how to call them on the page; empty: their own names
    reference: str = ""                # name of the one that differences and KL are taken from; empty: the first
    best_of: str = ""                  # name of the one whose best sample by the reward is a contestant of its own
    data: str = ""                     # data set of held-out prompts
    tasks: tuple[str, ...] = ()        # files of tasks, instead of data: each a TOML head or JSON lines of items
    probes: tuple[Probe, ...] = ()     # built-in tasks about safety and fairness, instead of data or beside tasks
    languages: tuple[Literal["en", "zh"], ...] = ("en", "zh")      # of the probes
    instructions: str = ""             # data set whose held-out responses perplexity is measured on; empty: none
    reward: str = ""                   # reward shown beside the truth, and what chooses the best sample; of probes a measure
    name: str = "report"               # name of the report artifact that is made
    per_prompt: int = 2                # samples of each prompt
    best_of_n: int = 4                 # samples of each prompt from the model of `best_of`
    temperature: float = 0.7           # of those samples; KL is measured on other ones, drawn at 1
    max_new_tokens: int = 64           # a response is cut there
    limit: int = 0                     # take the first so many prompts, or items of each task; 0 takes all
    judge: str = ""                    # a model or an address that compares the last model with the reference, in both orders
    human: str = ""                    # a campaign whose comparisons of the last model and the reference stand beside the truth
    freeze: str = ""                   # write the plan of this evaluation to this file, with its hash, and run nothing
    frozen: str = ""                   # a plan written so; the report states where this run departs from it
    contamination: bool = True         # with tasks: look for their items in what the models were trained on
    scoring: Scoring = field(default_factory=Scoring)      # of rewards; of tasks that are graded by one
    slots: int = 64                    # responses decoded at the same time
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of samples and of the bootstrap

    @property
    def focus(self) -> str:
        """Name of the model that the report is about: the last one that is not the reference."""
        names = self.names or self.models
        return next((name for name in reversed(names) if name != (self.reference or names[0])), names[-1])

    def __post_init__(self) -> None:
        if self.data and self.tasks:
            raise ConfigError("evaluate takes data or tasks, not both: one report answers one question.")
        if self.probes and self.data:
            raise ConfigError("evaluate takes data or probes, not both: probes are tasks.")
        if self.on_tasks and (self.instructions or self.judge or self.human
                              or (self.reward and "counterfactual" not in self.probes)):
            raise ConfigError("evaluate: reward, instructions, judge and human go with data; a task brings its own grader. "
                              "Only the probe counterfactual takes a reward.")
        if self.on_tasks and self.scoring.on_error == "skip":
            raise ConfigError("evaluate: a response without a mark cannot be left out of a paired comparison. Set "
                              "scoring.on_error to stop.")
        if not self.languages or len(set(self.probes)) != len(self.probes):
            raise ConfigError("evaluate: languages must name one at least, and probes none twice.")
        if not self.on_tasks and (behind := [model for model in self.models if model.startswith(("http://", "https://"))]):
            raise ConfigError(f"evaluate: {behind[0]} is behind an address, which gives no token's probability; compare it "
                              f"on tasks: "
                              "--tasks FILE.")
        if self.names and len(self.names) != len(self.models):
            raise ConfigError(f"evaluate: {len(self.names)} names for {len(self.models)} models; wanted one each, or none.")
        if self.best_of and not self.reward:
            raise ConfigError("evaluate.best_of needs a reward to choose by: give --reward.")
        if min(self.per_prompt, self.best_of_n, self.max_new_tokens, self.slots) < 1 or min(self.limit, self.temperature) < 0:
            raise ConfigError("evaluate: per_prompt, best_of_n, max_new_tokens and slots must be >= 1, limit and temperature "
                              ">= 0.")
        for key, value in (("reference", self.reference), ("best_of", self.best_of)):
            if value and value not in (self.names or self.models):
                raise ConfigError(f"evaluate.{key} {value!r} is none of {', '.join(self.names or self.models)}.")

    @property
    def on_tasks(self) -> bool:
        return bool(self.tasks or self.probes)


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardReport:
    """Hold a reward model against judgments it was not trained on; a report artifact with HTML in two languages and JSON."""

    reward_model: str = ""             # any kind of name that rl --reward takes
    data: str = ""                     # judgments: feedback, or a data set; empty: what the model kept out of its own training
    name: str = "reward-report"        # name of the report artifact that is made
    errors: int = 10                   # worst errors that are shown in full
    limit: int = 0                     # take the first so many pairs; 0 takes all
    seed: int = 0                      # of the bootstrap

    def __post_init__(self) -> None:
        if not self.reward_model:
            raise ConfigError("evaluate: no reward model is named. Give one with --reward-model NAME.")
        if min(self.errors, self.limit) < 0:
            raise ConfigError("evaluate: errors and limit must be >= 0.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The head of a task's TOML file: what is asked, and how a response is graded. A file of JSON lines alone is a task with
    these defaults, its kind and grader told from its items' fields.
    """

    name: str = ""                     # what the report calls it; empty: the file's name
    kind: Literal["text", "choice", "perplexity",
                  "continuation"] = "text"    # a response to grade, choices by likelihood, plain text; rows of training data
    items: str = ""                    # JSON lines beside this file, or hf:org/name, which goes to the network
    split: str = "test"                # of an hf: data set
    examples: str = ""                 # JSON lines that the examples shown before a question are taken from
    shots: int = 0                     # how many of them, the first ones, the same for every item
    system: str = ""                   # a system message before everything, where chat is on
    prompt: str = "{prompt}"           # the question; an item's fields stand in braces
    answer: str = "{answer}"           # how an example is answered
    choice: str = " {choice}"          # how a choice goes on after the question
    separator: str = "\n\n"            # between examples, where chat is off
    chat: bool = True                  # ask in the model's chat template; off: plain text to go on from
    grader: Literal["exact_match", "contains", "token_f1", "bleu", "chrf", "rouge_l", "rules", "label",
                    "sycophancy", "refuses", "complies", "impression", "reward"] = "exact_match"  # of text
    reward: str = ""                   # of the grader reward: rule:tests, file.py:function, any name; of impression beside it
    twin: str = ""                     # template of another form of the question; each item is then asked both ways
    compare: Literal["change", "gap"] = "change"      # of the two forms: what the other one loses, or how far they are apart
    group: str = ""                    # field of the items by which results are told apart too
    cluster: str = ""                  # field whose items are alike (one template, one question): intervals draw them together
    labels: tuple[str, ...] = ()       # of the grader label: the classes, one of which a response must name
    by: Literal["raw", "characters", "bytes", "tokens"] = "characters"      # what a choice's log-likelihood is divided by
    language: Literal["en", "zh"] = "en"      # of BLEU and ROUGE: words, or characters of Chinese
    max_new_tokens: int = 64           # a response is cut there
    stop: tuple[str, ...] = ()         # and at the first of these texts
    samples: int = 1                   # responses drawn for each item; their scores are averaged
    temperature: float = 0.0           # of the draws; 0 takes the likeliest token
    pass_at: int = 0                   # also report pass@k for this k, of samples that score 1; 0 does not

    def __post_init__(self) -> None:
        if min(self.max_new_tokens, self.samples) < 1 or min(self.shots, self.temperature, self.pass_at) < 0:
            raise ConfigError("task: max_new_tokens and samples must be >= 1; shots, temperature and pass_at >= 0.")
        if self.pass_at > self.samples:
            raise ConfigError(f"task: pass@{self.pass_at} needs at least as many samples; got {self.samples}.")
        if self.shots and not self.examples:
            raise ConfigError(f"task: {self.shots} shots need examples, a file of JSON lines to take them from.")
        if (self.grader == "reward") > bool(self.reward):
            raise ConfigError("task: the grader reward needs a reward by name: reward = \"rule:tests\".")
        if self.twin and (self.kind not in ("text", "choice") or self.grader == "sycophancy"):
            raise ConfigError("task: a twin goes with the kinds text and choice, and not with the grader sycophancy, which has "
                              "turns of its own.")
        if self.grader == "label" and len(self.labels) < 2:
            raise ConfigError("task: the grader label needs two labels or more.")
