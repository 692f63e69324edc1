"""Many annotators at one store while the process they work in is killed: what was acknowledged is there exactly once, and
no item went to more people than were asked for. On both engines.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from campaign_records import NOW, check
from postgres import Server, programs
from store_records import a_prompt, a_sample

from tutelage.store import NewItem, Store, Terms

ROOT = Path(__file__).parents[2]
PER_PROMPT = 5             # samples a prompt, so ten pairs
ENGINES = ["sqlite", "postgresql"] if programs() or os.environ.get("CI") else ["sqlite"]


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """As a team would run it: what was committed is on the disk."""
    with Server("fsync=on", "max_connections=100") as server:
        yield server


@pytest.fixture(params=ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        return str(request.getfixturevalue("durable").new_database())
    return str(tmp_path / "feedback.db")


def a_large_campaign(store: Store, people: list[str], num_items: int, overlap: int) -> str:
    for person in people:
        store.add_person(person, "human", person)
    prompts = [a_prompt(f"p{number}") for number in range(-(-num_items // 10))]
    store.add_samples(a_sample(f"{prompt.id}-{n}", prompt) for prompt in prompts for n in range(PER_PROMPT))
    pairs = [NewItem(prompt=prompt, samples=(f"{prompt.id}-{a}", f"{prompt.id}-{b}"))
             for prompt in prompts for a, b in itertools.combinations(range(PER_PROMPT), 2)]
    made = store.campaigns.create("load", "comparison", Terms(overlap=overlap, lease_s=86_400.0), None, NOW)
    store.campaigns.add_items(made.id, pairs[:num_items])
    return made.id


class Books:
    """What the annotators said and what was acknowledged, as the outside world saw it."""

    def __init__(self) -> None:
        self.meant: dict[str, tuple[str, str]] = {}         # key -> person, task
        self.acknowledged: dict[str, str] = {}              # key -> judgment
        self.waits_ms: list[float] = []

    def read(self, line: str) -> None:
        what, person, task, key, *rest = line.split()
        self.meant[key] = (person, task)
        if what == "A":
            assert self.acknowledged.setdefault(key, rest[0]) == rest[0], "one answer became two judgments"
            self.waits_ms.append(float(rest[1]))

    def unsent(self) -> dict[str, list[tuple[str, str]]]:
        found: dict[str, list[tuple[str, str]]] = {}
        for key in self.meant.keys() - self.acknowledged.keys():
            person, task = self.meant[key]
            found.setdefault(person, []).append((task, key))
        return found


def work(place: str, campaign: str, people: list[str], books: Books, stop_at: Callable[[], bool]) -> bool:
    """Run the annotators until they are done (True), or kill them once `stop_at` says so (False)."""
    asked = {"place": place, "campaign": campaign, "people": people, "unsent": books.unsent()}
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name("annotators.py"))], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(asked))
    process.stdin.close()
    killed = False
    for line in process.stdout:                       # also what was in the pipe when it died
        books.read(line)
        if not killed and stop_at():
            process.kill()
            killed = True
    assert process.wait() == (-9 if killed else 0)
    process.stdout.close()
    return not killed


def try_it(place: str, num_people: int, num_judgments: int, num_kills: int, overlap: int = 2) -> str:
    people = [f"person{number:02d}" for number in range(num_people)]
    books, spent = Books(), 0.0
    with Store.open(place) as store:
        campaign = a_large_campaign(store, people, num_judgments // overlap, overlap)
    for number in range(1, num_kills + 1):
        goal = num_judgments * number // (num_kills + 1)
        began = time.monotonic()
        assert not work(place, campaign, people, books, lambda goal=goal: len(books.acknowledged) >= goal)
        spent += time.monotonic() - began
    began = time.monotonic()
    assert work(place, campaign, people, books, lambda: False)
    spent += time.monotonic() - began
    verify(place, campaign, books, num_judgments, overlap)
    waits = sorted(books.waits_ms)
    return (f"{place.partition(':')[0] if '://' in place else 'sqlite'}: {num_judgments} judgments by {num_people} people, "
            f"{num_kills} kills: {num_judgments / spent:.0f} judgments/s, starts included; submit median "
            f"{waits[len(waits) // 2]:.1f} ms, p99 {waits[len(waits) * 99 // 100]:.1f} ms")


def verify(place: str, campaign: str, books: Books, num_judgments: int, overlap: int) -> None:
    with Store.open(place) as store:
        check(store)
        kept = {judgment.id: judgment for judgment in store.judgments(current=False)}
        assert len(kept) == num_judgments and set(books.acknowledged.values()) == kept.keys()
        assert len(books.acknowledged) == num_judgments and not books.unsent()
        people = Counter(item for item, said in store.review.item_judgments(campaign)
                         for person in {judgment.annotator_id for judgment in said})
        assert set(people.values()) == {overlap} and len(people) == num_judgments // overlap
        progress = store.progress.of_campaign(campaign)
        assert (progress.num_answered, progress.num_done, progress.num_open, progress.num_late) == (
            num_judgments, num_judgments // overlap, 0, 0)


def test_a_few_annotators_and_two_kills_lose_nothing(place: str) -> None:
    print(try_it(place, num_people=6, num_judgments=120, num_kills=2))


@pytest.mark.faults
@pytest.mark.slow
def test_fifty_annotators_twenty_thousand_judgments_and_ten_kills_lose_nothing(place: str) -> None:
    print(try_it(place, num_people=50, num_judgments=20_000, num_kills=10))
