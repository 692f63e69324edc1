import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.store import Store

sys.path.insert(0, str(Path(__file__).parent))       # where the tests, and the processes they start, find store_records
from store_records import a_sample


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "feedback.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A store that knows Ada (human), Bot (scripted) and two samples of one prompt."""
    with Store.open(path) as opened:
        opened.add_person("ada", "human", "Ada", consent_version="1", consent_text="I agree.", language="en")
        opened.add_person("bot", "scripted", "Bot")
        opened.add_samples([a_sample("s1"), a_sample("s2")])
        yield opened
