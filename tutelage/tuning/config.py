"""Settings of supervised stages; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter, Precision
from tutelage.records import AnnotatorKind
from tutelage.training.config import Optimizer


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """Chat tags the project declares; all empty takes the tokenizer's own template."""

    user_open: str = ""            # for instance <指令>
    user_close: str = ""           # for instance </指令>
    assistant_open: str = ""       # for instance <输出>
    assistant_close: str = ""      # for instance </输出>: the end of turn, a token of its own
    system_open: str = ""          # before a system message
    system_close: str = ""         # after it

    @property
    def declared(self) -> bool:
        return bool(self.assistant_close)


@dataclass(frozen=True, slots=True, kw_only=True)
class SFT:
    """Teach a model with instructions: the likelihood of the wanted responses (InstructGPT, arXiv:2203.02155, step 1)."""

    model: str = "smollm2-135m-q4"     # built-in name, directory, .gguf file, hf:org/name or artifact
    data: str = ""                     # data set of instructions: artifact, builtin:NAME or file
    name: str = "sft"                  # name of the model artifact that is made
    epochs: int = 3                    # passes over the data
    batch_tokens: int = 2048           # tokens of prompt and response in one step
    micro_tokens: int = 2048           # of them, at once in memory
    max_length: int = 1024             # rows longer than this many tokens are dropped or cut, and counted
    too_long: Literal["drop", "cut"] = "drop"    # cut takes the end of the response, and its end-of-turn label
    trained: Literal["all", "last"] = "all"      # which assistant turns of a conversation are labels
    annotators: tuple[AnnotatorKind, ...] = ()   # whose responses are trained on; several only where asked for
    template: Template = field(default_factory=Template)
    adapter: Adapter = field(default_factory=Adapter)
    optimizer: Optimizer = field(default_factory=lambda: Optimizer(lr=2e-5))
    precision: Precision = "auto"      # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                      # of the order of rows

    def __post_init__(self) -> None:
        if self.epochs < 1 or min(self.batch_tokens, self.micro_tokens, self.max_length) < 1:
            raise ConfigError("sft: epochs, batch_tokens, micro_tokens and max_length must be at least 1.")
        if self.max_length > self.batch_tokens:
            raise ConfigError(f"sft: a row of max_length {self.max_length} does not fit into batch_tokens "
                              f"{self.batch_tokens}. Raise batch_tokens or lower max_length.")
