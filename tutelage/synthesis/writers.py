"""Who writes: a protocol, and the local model behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tutelage.generation.engine import Engine
from tutelage.messages import Messages, messages_to_json, record_id
from tutelage.records import Prompt, Sampling
from tutelage.runs.signals import stop_if_asked


@dataclass(frozen=True, slots=True)
class Written:
    """An answer, and whether it came to its end."""

    text: str
    ended: bool


class Writer(Protocol):
    name: str

    def write(self, conversations: Sequence[Messages], sampling: Sampling) -> list[Written]:
        """One answer a conversation, in order."""
        ...

    def close(self) -> None: ...


class LocalWriter:
    """Writes with the project's own engine: the same seeds, conversations and weights give the same words."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.name = engine, engine.name

    def write(self, conversations: Sequence[Messages], sampling: Sampling) -> list[Written]:
        prompts = [Prompt(id=record_id("prompt", i, messages_to_json(messages)), messages=messages)
                   for i, messages in enumerate(conversations)]
        samples = self.engine.generate(prompts, sampling, on_done=lambda _: stop_if_asked())
        return [Written(sample.text, sample.ended) for sample in samples]

    def close(self) -> None:
        pass
