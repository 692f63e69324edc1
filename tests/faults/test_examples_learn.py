"""What the examples promise, in three seeds each: minutes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.faults
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", ["PPO", "A2C"])
def test_stable_baselines_learns_to_write(name: str, seed: int) -> None:
    before, after = runpy.run_path(str(EXAMPLES / "text_generation_with_sb3.py"))["train"](name, seed, 10_000)
    assert after >= before + 0.1
