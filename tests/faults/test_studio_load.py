"""Many annotators at one studio, over real HTTP, while the server is killed: every decision that was acknowledged is there
exactly once, and no task went to more people than were asked for. On both engines.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from campaign_records import check
from postgres import programs

# Where the test finds studio_process, and the store's load test with its campaign and its server.
sys.path += [str(Path(__file__).parents[1] / "browser"), str(Path(__file__).parent)]

from studio_process import StudioProcess
from test_store_load import a_large_campaign, durable  # noqa: F401

from tutelage.project import MARKER, Project
from tutelage.store import Store

PATIENCE_S = 6000.0        # no measure of speed: when a test that will not end says so
ENGINES = ["sqlite", "postgresql"] if programs() or os.environ.get("CI") else ["sqlite"]


@pytest.fixture(params=ENGINES)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Project:
    made = Project.init(tmp_path / "project")
    if request.param == "postgresql":
        url = request.getfixturevalue("durable").new_database()
        (made.root / MARKER).write_text(f'[store]\nurl = "{url}"\n', encoding="utf-8")
    return made


class Books:
    """What was acknowledged, and how long people waited for it."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        self.waits_ms: list[float] = []
        self.troubles: list[str] = []
        self._lock = threading.Lock()

    def note(self, results: list[dict[str, str]], wait_ms: float) -> None:
        with self._lock:
            self.waits_ms.append(wait_ms)
            for result in results:
                if result["status"] == "refused":
                    self.troubles.append(result["message"])
                else:
                    self.acknowledged.add(result["key"])


def annotate(studio: StudioProcess, campaign: str, person: str, key: str, books: Books, give_up: float) -> None:
    """What the page does: three tasks ahead, an outbox that sends until it is told that it was heard."""
    with httpx.Client(headers={"authorization": f"Bearer {key}"}, timeout=60) as client:
        done: set[str] = set()
        while time.monotonic() < give_up:
            try:
                answer = client.get(f"{studio.url}/api/campaigns/{campaign}/tasks?want=3").raise_for_status().json()
            except httpx.HTTPError:
                time.sleep(0.05)
                continue
            if answer["done"]:
                return
            entries = [{"op": "answer", "task": task["id"], "key": f"key-{task['id']}".ljust(16, "0")[:64],
                        "answer": {"winner": "a", "strength": 1}} for task in answer["tasks"] if task["id"] not in done]
            while entries and time.monotonic() < give_up:
                began = time.perf_counter()
                try:
                    said = client.post(f"{studio.url}/api/outbox", json={"person": person, "entries": entries})
                    said.raise_for_status()
                except httpx.HTTPError:
                    time.sleep(0.05)
                    continue
                books.note(said.json()["results"], 1000 * (time.perf_counter() - began))
                done |= {entry["task"] for entry in entries}
                entries = []


def try_it(project: Project, num_people: int, num_judgments: int, num_kills: int, overlap: int = 2) -> str:
    people = [f"person{number:02d}" for number in range(num_people)]
    with Store.open(project.store_place) as store:
        campaign = a_large_campaign(store, people, num_judgments // overlap, overlap)
        for person in people:
            store.accounts.set_roles(person, ["annotator"], None, time.time())
        keys = {person: store.access.make_api_key(person, "load", time.time())[0] for person in people}
    studio, books, began = StudioProcess(project, port=a_quiet_port()), Books(), time.monotonic()
    studio.start()
    try:
        under_load(studio, campaign, keys, books, num_judgments, num_kills)
    finally:
        studio.stop()
    spent = time.monotonic() - began
    verify(project, campaign, books, num_judgments, overlap)
    waits = sorted(books.waits_ms)
    engine = "sqlite" if isinstance(project.store_place, Path) else "postgresql"
    return (f"{engine}: {num_judgments} judgments by {num_people} people over HTTP, {num_kills} kills: "
            f"{num_judgments / spent:.0f} judgments/s, restarts included; a request of up to three decisions: median "
            f"{waits[len(waits) // 2]:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms")


def a_quiet_port() -> int:
    """A free one that the system gives to no connection by itself: while the server is down, the annotators' own tries to
    reach it must not be able to take its place."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free between 20000 and 32000")


def under_load(studio: StudioProcess, campaign: str, keys: dict[str, str], books: Books, num_judgments: int,
               num_kills: int) -> None:
    """Everybody at work until everything is judged, while the server is killed at even distances."""
    give_up = time.monotonic() + PATIENCE_S
    threads = [threading.Thread(target=annotate, args=(studio, campaign, person, key, books, give_up), daemon=True)
               for person, key in keys.items()]
    for thread in threads:
        thread.start()
    for number in range(1, num_kills + 1):
        goal = num_judgments * number // (num_kills + 1)
        while len(books.acknowledged) < goal and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        studio.kill()
        studio.start()                                # on the port it had: the annotators go on by themselves
    for thread in threads:
        thread.join()
    assert time.monotonic() < give_up, f"{len(books.acknowledged)} of {num_judgments} were acknowledged in {PATIENCE_S} s"


def verify(project: Project, campaign: str, books: Books, num_judgments: int, overlap: int) -> None:
    assert books.troubles == []
    with Store.open(project.store_place) as store:
        check(store)
        kept = list(store.judgments(current=False))
        assert len(kept) == len(books.acknowledged) == num_judgments
        people = [{judgment.annotator_id for judgment in said} for _, said in store.review.item_judgments(campaign)]
        assert {len(each) for each in people} == {overlap} and len(people) == num_judgments // overlap
        tasks = itertools.chain.from_iterable(store.tasks.of_person(person, campaign, limit=num_judgments)
                                              for person in {judgment.annotator_id for judgment in kept})
        assert {f"key-{task.id}".ljust(16, "0")[:64] for task in tasks} == books.acknowledged


def test_a_few_annotators_over_http_and_a_kill_lose_nothing(project: Project) -> None:
    print(try_it(project, num_people=4, num_judgments=80, num_kills=1))


@pytest.mark.faults
@pytest.mark.slow
def test_fifty_annotators_over_http_and_ten_kills_lose_nothing(project: Project) -> None:
    print(try_it(project, num_people=50, num_judgments=20_000, num_kills=10))
