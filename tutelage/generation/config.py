"""Settings of sampling; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.errors import ConfigError
from tutelage.models.config import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Draw responses to prompts from a model; they become a samples artifact."""

    model: str = "sft"             # built-in name, directory, .gguf file, hf:org/name or artifact
    prompts: str = ""              # data set of prompts (or instructions, whose prompts are taken)
    name: str = "samples"          # name of the samples artifact that is made
    per_prompt: int = 4            # samples of each prompt
    limit: int = 0                 # take the first so many prompts; 0 takes all
    temperature: float = 1.0       # divides the logits; 0 takes the most likely token
    top_p: float = 1.0             # nucleus kept before the draw; 1 keeps all
    top_k: int = 0                 # most likely tokens kept; 0 keeps all
    min_p: float = 0.0             # least probability kept, as a share of the largest; 0 keeps all
    repetition_penalty: float = 1.0      # above 1, tokens of the prompt and the response so far become less likely
    min_new_tokens: int = 0        # no response ends before
    max_new_tokens: int = 64       # a response is cut there
    stop_strings: tuple[str, ...] = ()   # a response ends where its text holds one of them
    merge_adapter: bool = False    # decode with a copy of the weights that has the model's adapter in it
    slots: int = 64                # responses decoded at the same time
    chunk_prompts: int = 64        # prompts between two checkpoints
    precision: Precision = "auto"  # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                  # of every draw

    def __post_init__(self) -> None:
        if min(self.per_prompt, self.max_new_tokens, self.slots, self.chunk_prompts) < 1 or self.limit < 0:
            raise ConfigError("sample: per_prompt, max_new_tokens, slots and chunk_prompts must be >= 1, limit >= 0.")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0 or not 0 <= self.min_p <= 1:
            raise ConfigError("sample: temperature and top_k must be >= 0, top_p in (0, 1], min_p in [0, 1].")
        if self.repetition_penalty <= 0 or not 0 <= self.min_new_tokens <= self.max_new_tokens or "" in self.stop_strings:
            raise ConfigError("sample: repetition_penalty must be > 0, min_new_tokens 0 to max_new_tokens, and no stop string "
                              "empty.")
