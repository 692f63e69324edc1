"""Settings of self-instruct; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from tutelage.errors import ConfigError
from tutelage.models.config import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Have a model write new tasks after the example of seed tasks, and answer them (Self-Instruct, arXiv:2212.10560).

    What it writes is a data set of instructions marked `model`. It is never mixed with people's silently.
    """

    tasks: str = ""                # seed tasks: a data set of instructions; on the command line also --from
    model: str = "smollm2-135m-q4" # who writes: built-in name, directory, .gguf file, hf:org/name or artifact
    endpoint: str = ""             # instead of `model`: base URL of an OpenAI-compatible service, such as http://127.0.0.1:8000/v1
    endpoint_model: str = ""       # the service's name for its model
    name: str = "written"          # name of the data set that is made
    count: int = 100               # how many pairs are wanted
    demonstrations: int = 6        # seed tasks shown in each request for new ones (6 in the paper)
    own_demonstrations: int = 2    # of the tasks written so far, shown beside them (2 in the paper)
    requests: int = 16             # requests in one round; a round is what an interruption costs at most
    rounds: int = 0                # rounds at most; 0 takes as many as needed, up to four times what all-good rounds would take
    similarity: float = 0.7        # a task is new where its ROUGE-L with every other is below this (0.7 in the paper)
    temperature: float = 0.8       # of tasks; responses are drawn at half of it
    top_p: float = 0.95            # nucleus of both
    task_tokens: int = 160         # a request's new tasks are cut there
    response_tokens: int = 256     # a response is cut there, and refused
    slots: int = 64                # responses decoded at the same time
    timeout_s: float = 60.0        # of one request to the endpoint, seconds
    retries: int = 4               # of one request, where the service is busy or out of reach
    precision: Precision = "auto"  # auto: bf16 where this processor is faster with it, measured once
    seed: int = 0                  # of what is shown and of every draw

    def __post_init__(self) -> None:
        if min(self.count, self.demonstrations, self.requests, self.task_tokens, self.response_tokens, self.slots) < 1:
            raise ConfigError("generate: count, demonstrations, requests, task_tokens, response_tokens, slots must be >= 1.")
        if min(self.own_demonstrations, self.rounds, self.retries) < 0 or self.timeout_s <= 0:
            raise ConfigError("generate: own_demonstrations, rounds and retries must be >= 0, timeout_s > 0.")
        if not 0 < self.similarity <= 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ConfigError("generate: similarity and top_p must be in (0, 1], temperature >= 0.")

    @property
    def most_rounds(self) -> int:
        return self.rounds or 4 * -(-self.count // self.requests)
