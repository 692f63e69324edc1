"""Settings of evaluation; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Precision


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
    instructions: str = ""             # data set whose held-out responses perplexity is measured on; empty: none
    reward: str = ""                   # reward shown beside the truth, and what chooses the best sample; empty: none
    name: str = "report"               # name of the report artifact that is made
    per_prompt: int = 2                # samples of each prompt
    best_of_n: int = 4                 # samples of each prompt from the model of `best_of`
    temperature: float = 0.7           # of those samples; KL is measured on other ones, drawn at 1
    max_new_tokens: int = 64           # a response is cut there
    limit: int = 0                     # take the first so many prompts, or items of each task; 0 takes all
    judge: str = ""                    # a model or an address that compares the last model with the reference, in both orders
    freeze: str = ""                   # write the plan of this evaluation to this file, with its hash, and run nothing
    frozen: str = ""                   # a plan written so; the report states where this run departs from it
    contamination: bool = True         # with tasks: look for their items in what the models were trained on
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
        if self.tasks and (self.reward or self.instructions or self.judge):
            raise ConfigError("evaluate: reward, instructions and judge go with data; a task brings its own grader.")
        if not self.tasks and (behind := [model for model in self.models if model.startswith(("http://", "https://"))]):
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The head of a task's TOML file: what is asked, and how a response is graded. A file of JSON lines alone is a task with
    these defaults, its kind and grader told from its items' fields.
    """

    name: str = ""                     # what the report calls it; empty: the file's name
    kind: Literal["text", "choice", "perplexity"] = "text"    # a response to grade, choices by likelihood, or plain text
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
                    "sycophancy"] = "exact_match"  # of text
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
        if self.grader == "label" and len(self.labels) < 2:
            raise ConfigError("task: the grader label needs two labels or more.")
