import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tutelage.store import Store

sys.path.insert(0, str(Path(__file__).parent))       # where the tests find feedback_records


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "feedback.db") as opened:
        yield opened
