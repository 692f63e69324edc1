import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tutelage.store import Store

sys.path.insert(0, str(Path(__file__).parent))       # where the tests, and the processes they start, find store_records
sys.path.insert(0, str(Path(__file__).parent.parent))
from postgres import programs
from store_records import a_sample

ENGINES = ["sqlite", "postgresql"] if programs() or os.environ.get("CI") else ["sqlite"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.db"


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def new_place(request: pytest.FixtureRequest, tmp_path: Path, engine: str) -> Callable[[], Path | str]:
    """Places of stores with nothing in them, all on one engine."""
    if engine == "postgresql":
        return request.getfixturevalue("postgres").new_store
    places = iter(["feedback.db", *(f"other{i}.db" for i in range(9))])
    return lambda: tmp_path / next(places)


@pytest.fixture
def place(new_place: Callable[[], Path | str]) -> Path | str:
    return new_place()


@pytest.fixture
def store(place: Path | str) -> Iterator[Store]:
    """A store that knows Ada (human), Bot (scripted) and two samples of one prompt."""
    with Store.open(place) as opened:
        opened.add_person("ada", "human", "Ada", consent_version="1", consent_text="I agree.", language="en")
        opened.add_person("bot", "scripted", "Bot")
        opened.add_samples([a_sample("s1"), a_sample("s2")])
        yield opened
