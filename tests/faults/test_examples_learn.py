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


@pytest.mark.faults
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_cartpole_is_learned_from_preferences_and_not_from_shuffled_ones(seed: int) -> None:
    learn = runpy.run_path(str(EXAMPLES / "cartpole_from_preferences.py"))["learn"]
    before, after = learn(seed, rounds=5, steps=5000)
    assert after >= 3 * before
    assert learn(seed, rounds=5, steps=5000, shuffled=True)[1] < after / 2
