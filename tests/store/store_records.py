"""Small records for the store's tests, and what the processes they start do."""

import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sqlalchemy import event

from tutelage.messages import Message
from tutelage.records import Judgment, Prompt, Sample
from tutelage.store import Store


def a_prompt(name: str = "p1") -> Prompt:
    asked = (Message.of("user", f"What is {name}?"),)
    return Prompt(id=name, messages=asked, kind="question", key_facts=(("x", "y*"),))


def a_sample(name: str, prompt: Prompt | None = None, text: str = "") -> Sample:
    return Sample(id=name, prompt=prompt or a_prompt(), prompt_ids=(1, 2), response_ids=(3, 4), logprobs=(-0.5, -1.25),
                  response_mask=(True, True), text=text or f"Text of {name}.", ended=True, policy="model/m@1")


def a_judgment(name: str, who: str = "ada", shown: tuple[str, ...] = ("s1", "s2"), **changes: Any) -> Judgment:
    given: dict[str, Any] = {"kind": "comparison", "annotator": "human", "prompt": a_prompt(),
                             "answer": {"winner": "a", "strength": 1}, **changes}
    return Judgment(id=name, annotator_id=who, samples=shown, **given)


def write_some(place: Path | str, who: str, count: int) -> None:
    with Store.open(place) as store:
        store.add_person(who, "human", who)
        store.add_samples([a_sample("s1"), a_sample("s2")])
        for start in range(0, count, 5):           # many short transactions, so that the two get in each other's way
            said = [a_judgment(f"{who}-{i:03d}", who=who) for i in range(start, min(start + 5, count))]
            store.add_judgments([*said, *said])


def hang_in_the_middle(place: Path | str, ready: Connection) -> None:
    with Store.open(place) as store:
        inserts = []

        def stop(connection: object, cursor: object, statement: str, *_: object) -> None:
            inserts.append(statement)
            if statement.startswith("INSERT INTO judgments") and len(inserts) > 2:
                ready.send(len(inserts))
                signal.pause()

        event.listen(store._writer, "after_cursor_execute", stop)
        store.add_judgments([a_judgment(f"k{i:04d}") for i in range(3_000)], samples=[a_sample("s3"), a_sample("s4")])
