"""What a person reads beside the curves, and that reading it changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tutelage.data.datasets import write_dataset
from tutelage.data.erasure import erase, plan
from tutelage.data.sources import read_file
from tutelage.errors import RewardError
from tutelage.project import Project
from tutelage.records import Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL
from tutelage.rl.stage import rl
from tutelage.training.config import Optimizer


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def noisy(samples: Sequence[Sample]) -> list[float]:
    """A reward that draws from every generator there is."""
    return [score + random.random() + float(np.random.rand()) + float(torch.rand(())) for score in evens(samples)]


@pytest.fixture
def config(tiny_directory: Path, instructions: Callable[..., str]) -> Callable[..., RL]:
    def build(**changes: Any) -> RL:
        data = instructions([(f"{letter}?", "x") for letter in "abcdefgh"])
        return RL(**{"policy": str(tiny_directory), "prompts": data, "precision": "fp32", "steps": 5, "prompts_per_step": 3,
                     "per_prompt": 4, "max_new_tokens": 5, "look_every": 2,
                     "optimizer": Optimizer(lr=1e-2, warmup_fraction=0.0), **changes})
    return build


def lines(project: Project) -> list[dict[str, Any]]:
    path, = project.runs.glob("*/samples.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_same_five_prompts_are_answered_before_on_the_way_and_at_the_end(project: Project, config: Callable[..., RL]) -> None:
    seen: list[Sample] = []

    def kept(samples: Sequence[Sample]) -> list[float]:
        seen.extend(samples)
        return evens(samples)

    rl(project, config(), CallableReward(kept), {})
    found = lines(project)
    assert [set(line) for line in found] == [{"step", "prompt", "response", "score"}] * 20
    assert [line["step"] for line in found] == [step for step in (0, 2, 4, 5) for _ in range(5)]
    assert [line["prompt"] for line in found] == ["a?", "b?", "d?", "e?", "g?"] * 4
    looked = [sample for sample in seen if sample.sampling.temperature == 0.0]
    assert [(line["response"], line["score"]) for line in found] == [(each.text, *evens([each])) for each in looked]
    assert len({line["response"] for line in found if line["prompt"] == "a?"}) > 1      # the policy has moved


def test_looking_changes_no_weight_even_under_a_reward_that_draws_random_numbers(
        project: Project, tmp_path: Path, config: Callable[..., RL]) -> None:
    made = []
    for place, settings in ((project, config()), (Project.init(tmp_path / "other"), config(look_every=0))):
        random.seed(0)
        np.random.seed(0)
        torch.manual_seed(0)
        made.append(rl(place, settings, CallableReward(noisy), {}))
    assert made[0].manifest.files == made[1].manifest.files and made[0].manifest.facts == made[1].manifest.facts
    assert not list((tmp_path / "other").rglob("samples.jsonl"))


def test_an_interrupted_run_ends_with_the_lines_of_one_that_was_not(project: Project, tmp_path: Path, config: Callable[..., RL],
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    rl(other := Project.init(tmp_path / "other"), config(), CallableReward(evens), {})
    calls = [0]

    def failing(samples: Sequence[Sample]) -> list[float]:
        if len(samples) > 5:      # those that teach
            calls[0] += 1
            if calls[0] == 5:
                raise InterruptedError
        return evens(samples)

    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 1e9)      # nothing is kept: it begins anew
    with pytest.raises(RewardError):
        rl(project, config(), CallableReward(failing), {})
    assert [line["step"] for line in lines(project)][::5] == [0, 2, 4]
    path, = project.runs.glob("*/samples.jsonl")
    with open(path, "ab") as file:
        file.write(b'{"step": 0, "prompt": "\xee"}\n{"step": 0, "pro')      # damaged, and cut
    rl(project, config(), CallableReward(failing), {})
    assert lines(project) == lines(other)


def test_a_reward_that_refuses_a_look_leaves_no_score_and_the_run_goes_on(project: Project, config: Callable[..., RL]) -> None:
    def picky(samples: Sequence[Sample]) -> list[float]:
        assert len(samples) > 5
        return evens(samples)

    rl(project, config(), CallableReward(picky), {})
    assert {line["score"] for line in lines(project)} == {None} and len(lines(project)) == 20


def test_samples_that_quote_an_erased_prompt_go_with_it(project: Project, config: Callable[..., RL],
                                                        instructions: Callable[..., str]) -> None:
    data = write_dataset(project, "asked", [read_file(Path(instructions([(f"{each}?", "x") for each in "abcdefgh"])))], 0.0, 0)
    rl(project, config(prompts="asked"), CallableReward(evens), {})
    run, = (path.parent for path in project.runs.glob("*/samples.jsonl"))
    quoted = json.loads((run / "run.json").read_text(encoding="utf-8"))["quoted"]
    assert len(quoted) == 5
    with project.lock():
        erase(project, found := plan(project, data, quoted[:1]))
    assert found.samples == [run.name] and not (run / "samples.jsonl").exists()
