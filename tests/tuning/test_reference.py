"""What was kept of the reference comes back as it was, or is made anew."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tutelage.tuning.reference import FILE, _keep, _kept

ROWS = [torch.tensor([1.5, -2.0]), torch.tensor([0.25]), torch.tensor([3.0, 4.0, 5.0])]


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "dpo-a" / FILE
    path.parent.mkdir()
    _keep(ROWS, path)
    return path


def test_it_comes_back_to_the_bit(kept: Path) -> None:
    again = _kept(kept, 3)
    assert again is not None and all(torch.equal(a, b) for a, b in zip(again, ROWS, strict=True))
    assert _kept(kept.with_name("none"), 3) is None


def test_a_flipped_bit_a_cut_and_another_runs_file_are_noticed(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reference that is a little off trains towards its noise, and no loss shows it."""
    content = kept.read_bytes()
    other = kept.parent.with_name("dpo-b")
    shutil.copytree(kept.parent, other)
    assert _kept(other / FILE, 3) is None
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[:-4], b"", content + b"\0"):
        kept.write_bytes(damaged)
        assert _kept(kept, 3) is None and "is made anew" in capsys.readouterr().err
    kept.write_bytes(content)
    assert _kept(kept, 2) is None and _kept(kept, 4) is None
