"""A service on this machine that speaks as OpenAI's does, and seed tasks."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from service import Answer, Service

SUBJECTS = ("rivers", "bread", "bridges", "winter", "owls", "salt", "clocks", "gardens", "trains", "copper", "islands", "honey",
            "chess", "thunder")
VERBS = ("Explain", "Describe", "Compare", "List facts about", "Write a limerick on", "Argue for", "Summarise",
         "Invent a story of")


class Endpoint(Service):
    """Answers with tasks where it is asked for some, else with a sentence. `plan` holds what is answered to the next requests,
    before it answers by itself again."""

    def __init__(self) -> None:
        super().__init__("/v1")
        self.plan: list[Answer] = []

    def respond(self, body: dict[str, Any]) -> Answer:
        return self.plan.pop(0) if self.plan else (200, {}, self.answer(body))

    def answer(self, body: dict[str, Any]) -> bytes:
        draw, asked = random.Random(body["seed"]), body["messages"][-1]["content"]
        if "Write 4 more" in asked:
            lines = []
            for i in range(7, 11):
                one, two, three = (draw.choice(SUBJECTS) for _ in range(3))
                lines.append(f"{i}. {draw.choice(VERBS)} {one} and {two} for a {three} lover.")
            text = "\n".join(["Here are more tasks:", *lines])
        else:
            text = f"It is about {asked.split()[-2]}, more or less." if draw.random() < 0.8 else "I'm sorry, I cannot do that."
        return completion(text)


def completion(text: Any, finish: str = "stop") -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}]}).encode()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.delenv("TUTELAGE_API_KEY", raising=False)
    service = Endpoint()
    yield service
    service.close()


@pytest.fixture
def seeds(instructions: Callable[..., str]) -> str:
    return instructions([(f"Name {i} things that are {colour}.", f"One, two, {i}.")
                         for i, colour in enumerate(["red", "cold", "loud", "old", "far", "soft"], start=2)])


@pytest.fixture
def project_rows() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
