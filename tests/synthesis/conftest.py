"""A service on this machine that speaks as OpenAI's does, and seed tasks."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SUBJECTS = ("rivers", "bread", "bridges", "winter", "owls", "salt", "clocks", "gardens", "trains", "copper", "islands", "honey",
            "chess", "thunder")
VERBS = ("Explain", "Describe", "Compare", "List facts about", "Write a limerick on", "Argue for", "Summarise",
         "Invent a story of")


class Service:
    """Answers with tasks where it is asked for some, else with a sentence. `plan` holds (status, headers, body) for the next
    requests, before it answers by itself again; `seen` holds what was asked."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.plan: list[tuple[int, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                service.seen.append(body)
                service.headers.append({name.lower(): value for name, value in self.headers.items()})
                status, headers, answer = service.plan.pop(0) if service.plan else (200, {}, service.answer(body))
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

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
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.delenv("TUTELAGE_API_KEY", raising=False)
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def seeds(instructions: Callable[..., str]) -> str:
    return instructions([(f"Name {i} things that are {colour}.", f"One, two, {i}.")
                         for i, colour in enumerate(["red", "cold", "loud", "old", "far", "soft"], start=2)])


@pytest.fixture
def project_rows() -> Callable[[Path], list[dict[str, Any]]]:
    return lambda path: [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
