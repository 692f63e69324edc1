"""A process full of annotators, one thread each, that the load test kills and starts again.

Reads one JSON object from stdin: place, campaign, people, and what each had said when the process before it died. Writes
lines: `I person task key` before an answer is sent, `A person task key judgment milliseconds` once it is acknowledged.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

from tutelage.feedback.assignment import plan
from tutelage.store import Store

ANSWER = {"winner": "a", "strength": 1}


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())          # below PIPE_BUF: lines never mix


def answer(store: Store, person: str, task: str, key: str) -> None:
    say("I", person, task, key)
    began = time.perf_counter()
    receipt = store.tasks.submit(task, person, ANSWER, key, time.time(), {"decided_ms": 700})
    say("A", person, task, key, receipt.judgment, f"{1000 * (time.perf_counter() - began):.2f}")


def annotate(store: Store, campaign: str, person: str, unsent: list[tuple[str, str]]) -> None:
    for task, key in unsent:                     # the outbox: sent again under the same key
        answer(store, person, task, key)
    while tasks := store.tasks.next(person, campaign, 3, time.time(), plan):
        for task in tasks:
            answer(store, person, task.id, f"key-{task.id}")


def main() -> None:
    asked = json.load(sys.stdin)
    with Store.open(asked["place"], busy_timeout_s=120.0) as store:
        threads = [threading.Thread(target=annotate, args=(store, asked["campaign"], person, asked["unsent"].get(person, [])))
                   for person in asked["people"]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
