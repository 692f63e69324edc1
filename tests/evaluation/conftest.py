"""Contestants from plain numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from service import Answer, Service

from tutelage.evaluation.contestant import Contestant
from tutelage.messages import Message
from tutelage.records import Prompt, Sample, Scores


@pytest.fixture
def sample() -> Callable[..., Sample]:
    def build(prompt: str = "p", text: str = "fine", ended: bool = True, prompt_ids: Sequence[int] = (0,),
              response_ids: Sequence[int] = (1, 2), name: str = "s") -> Sample:
        return Sample(id=name, prompt=Prompt(id=prompt, messages=(Message.of("user", f"What is {prompt}?"),)),
                      prompt_ids=tuple(prompt_ids), response_ids=tuple(response_ids), text=text, ended=ended,
                      logprobs=(0.0,) * len(response_ids), response_mask=(True,) * len(response_ids))
    return build


@pytest.fixture
def contestant(sample) -> Callable[..., Contestant]:
    def build(name: str, truth: Mapping[str, Sequence[float]] | Sequence[float], texts: Sequence[str] | None = None,
              **rest) -> Contestant:
        """`truth`: prompt id -> one number a sample, or one number for each of p00, p01, ...

        The parts are made from it: `half` is half of it, `flaw` its negative.
        """
        rows = truth if isinstance(truth, Mapping) else {f"p{place:02}": [value] for place, value in enumerate(truth)}
        total = [value for values in rows.values() for value in values]
        texts = texts or ["fine"] * len(total)
        prompts = [prompt for prompt, values in rows.items() for _ in values]
        samples = [sample(prompt, text, name=f"{name}{place}")
                   for place, (prompt, text) in enumerate(zip(prompts, texts, strict=True))]
        parts = {"half": tuple(value / 2 for value in total), "flaw": tuple(-value for value in total)}
        return Contestant(name, samples, Scores(total=tuple(total), parts=parts), **rest)
    return build


class Endpoint(Service):
    """It speaks as OpenAI's does; `answer` makes a body of a body."""

    def __init__(self) -> None:
        super().__init__("/v1")
        self.answer: Callable[[dict[str, Any]], bytes] = lambda body: b"{}"

    def respond(self, body: dict[str, Any]) -> Answer:
        return 200, {}, self.answer(body)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.delenv("TUTELAGE_API_KEY", raising=False)
    service = Endpoint()
    yield service
    service.close()
