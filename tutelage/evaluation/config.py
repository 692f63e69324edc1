"""Settings of evaluation; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.errors import ConfigError
from tutelage.models.config import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluate:
    """Compare models on held-out prompts; a report artifact with HTML in two languages, JSON and a model card."""

    models: tuple[str, ...] = ()       # the models to compare, any kind of name each
    names: tuple[str, ...] = ()        # how to call them on the page; empty: their own names
    reference: str = ""                # name of the one that differences and KL are taken from; empty: the first
    best_of: str = ""                  # name of the one whose best sample by the reward is a contestant of its own
    data: str = ""                     # data set of held-out prompts
    instructions: str = ""             # data set whose held-out responses perplexity is measured on; empty: none
    reward: str = ""                   # reward shown beside the truth, and what chooses the best sample; empty: none
    name: str = "report"               # name of the report artifact that is made
    per_prompt: int = 2                # samples of each prompt
    best_of_n: int = 4                 # samples of each prompt from the model of `best_of`
    temperature: float = 0.7           # of those samples; KL is measured on other ones, drawn at 1
    max_new_tokens: int = 64           # a response is cut there
    limit: int = 0                     # take the first so many prompts; 0 takes all
    slots: int = 64                    # responses decoded at the same time
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of samples and of the bootstrap

    def __post_init__(self) -> None:
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
