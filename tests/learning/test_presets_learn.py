"""Every preset, on tasks of a few tokens: it finds a best answer that is known, and nothing where there is nothing to find.

`tiny_tasks` has the tasks. Start and end are measured by fresh samples: at most 0.4 and at least 0.95 of the optimum, and not
further apart than `DRIFT` where the scores are shuffled.
"""

from __future__ import annotations

import pytest
from tiny_tasks import DRIFT, END_AT_LEAST, START_AT_MOST, TASKS, learn

from tutelage.rl.presets import PRESETS

FEW = [("reinforce", "which"), ("ppo", "length"), ("rloo", "copy"), ("online_dpo", "length")]


def check(name: str, task: str, seed: int) -> None:
    start, end = learn(name, task, seed)
    assert start <= START_AT_MOST and end >= END_AT_LEAST, (start, end)


def check_shuffled(name: str, task: str, seed: int) -> None:
    start, end = learn(name, task, seed, shuffled=True)
    assert abs(end - start) <= DRIFT, (start, end)


@pytest.mark.parametrize(("name", "task"), FEW)
def test_a_few_presets_find_the_best_answer(name: str, task: str) -> None:
    check(name, task, seed=0)


@pytest.mark.parametrize(("name", "task"), [("reinforce", "length"), ("grpo", "which")])
def test_a_few_presets_find_nothing_in_shuffled_rewards(name: str, task: str) -> None:
    check_shuffled(name, task, seed=0)


@pytest.mark.faults
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_finds_the_best_answer_of_every_task(name: str, task: str, seed: int) -> None:
    check(name, task, seed)


@pytest.mark.faults
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", PRESETS)
def test_no_preset_leaves_the_start_on_shuffled_rewards(name: str, task: str, seed: int) -> None:
    check_shuffled(name, task, seed)
