"""The parts of examples/ that are fast enough to be tried each time; `make faults` has them learn."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def cartpole() -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / "cartpole_from_preferences.py"))


def a_clip(cartpole: dict[str, Any], angle: float, falls: int = 0) -> Any:
    seen = np.zeros((cartpole["CLIP"], 4), np.float32)
    seen[:, 2] = angle
    return cartpole["Clip"](seen, np.zeros(cartpole["CLIP"], int), falls)


def test_the_scripted_judge_prefers_what_falls_less_then_what_is_more_upright(cartpole: dict[str, Any]) -> None:
    prefers = cartpole["prefers_first"]
    assert prefers(a_clip(cartpole, 0.2, falls=0), a_clip(cartpole, 0.0, falls=1))
    assert prefers(a_clip(cartpole, -0.01), a_clip(cartpole, 0.1)) and not prefers(a_clip(cartpole, 0.1), a_clip(cartpole, 0.01))


def test_the_reward_network_learns_comparisons_and_says_the_same_of_new_clips(cartpole: dict[str, Any]) -> None:
    torch.manual_seed(0)
    draw, network = random.Random(0), cartpole["reward_network"]()
    clips = [(a_clip(cartpole, draw.uniform(0, 0.1)), a_clip(cartpole, draw.uniform(0.1, 0.2))) for _ in range(40)]
    assert cartpole["fit"](network, clips) > 0.9
    upright, leaning = (network(cartpole["inputs"](each.seen, each.actions)).sum() for each in
                        (a_clip(cartpole, 0.05), a_clip(cartpole, 0.15)))
    assert upright > leaning


def test_the_agent_of_cartpole_is_told_neither_reward_nor_end(cartpole: dict[str, Any]) -> None:
    network = torch.nn.Sequential(torch.nn.Linear(6, 1), torch.nn.Flatten(0))
    torch.nn.init.zeros_(network[0].weight)
    torch.nn.init.constant_(network[0].bias, 0.25)
    env = cartpole["LearnedReward"](network)
    env.reset(seed=0)
    steps = [env.step(1) for _ in range(cartpole["HORIZON"])]      # always to the right: it falls within some ten steps
    assert {step[1] for step in steps} == {0.25} and not any(step[2] for step in steps)
    assert [step[3] for step in steps] == [False] * (cartpole["HORIZON"] - 1) + [True]
    assert env.falls == sum(step[4]["fell"] for step in steps) > 10
