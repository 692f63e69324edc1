"""Rewards in the RL stage: what has no score leaves the rollout, constraints go on where they stopped, one call is enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import tutelage
from tutelage.errors import ConfigError, RewardError
from tutelage.models.policy import Policy
from tutelage.project import Project
from tutelage.records import Sample, Scores
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL
from tutelage.rl.constraint import Constraint
from tutelage.rl.scored import scored
from tutelage.rl.stage import Loop
from tutelage.runs.metrics import read_metrics
from tutelage.scoring import Constraints, Scoring

FAST: dict[str, Any] = {"precision": "fp32", "steps": 2, "prompts_per_step": 2, "per_prompt": 4, "max_new_tokens": 5,
                        "algorithm": "rloo", "optimizer": {"lr": 1e-3}}


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def first_is_odd(samples: Sequence[Sample]) -> list[float]:
    return [float(sample.response_ids[0] % 2) for sample in samples]


@pytest.fixture
def drawn(policy: Callable[..., Policy], draw: Callable[..., list[Sample]]) -> list[Sample]:
    return draw(policy(value_head=False))


class Trainer:
    """Keeps what it is given to learn from."""

    temperature, steps_done = 1.0, 0

    def step(self, samples: Sequence[Sample], scores: Sequence[float], token_scores: Any = None) -> dict[str, float]:
        self.samples, self.scores = list(samples), list(scores)
        return {}


class Drawn:
    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = list(samples)

    def generate(self, *_: Any, **__: Any) -> list[Sample]:
        return self.samples


def test_a_skipped_sample_leaves_the_rollout_and_is_counted(drawn: list[Sample]) -> None:
    """verifiers: 0.0 in its place is a lesson nobody meant."""
    def shaky(samples: Sequence[Sample]) -> list[float | None]:
        return [None if i in (1, 4) else float(i) for i in range(len(samples))]
    trainer = Trainer()
    config = RL(prompts_per_step=4, per_prompt=3, missing_end_penalty=0.0, reward_clip=100.0)
    loop = Loop(config, [sample.prompt for sample in drawn], Drawn(drawn),
                CallableReward(shaky, scoring=Scoring(on_error="skip")), trainer)      # type: ignore[arg-type]
    told = loop.step(0)
    left = [i for i in range(len(drawn)) if i not in (1, 4)]
    assert trainer.samples == [drawn[i] for i in left] and trainer.scores == [float(i) for i in left]
    assert told["reward/skipped"] == 2.0 and told["reward/total"] == pytest.approx(sum(left) / len(left))


def test_where_nothing_is_left_the_run_stops(drawn: list[Sample]) -> None:
    with pytest.raises(RewardError, match=rf"skipped {len(drawn)} of {len(drawn)} samples .* nothing is left to learn from"):
        scored(CallableReward(lambda samples: [None] * len(samples), scoring=Scoring(on_error="skip")), drawn)


def test_costs_and_parts_of_skipped_samples_are_no_part_of_any_mean(drawn: list[Sample]) -> None:
    class Given:
        def score(self, samples: Sequence[Sample]) -> Scores:
            nan = float("nan")
            return Scores(total=(1.0, nan, 3.0), skipped={1: "no"}, parts={"a": (1.0, nan, 5.0)}, costs={"c": (2.0, 9.0, 4.0)})
    kept, scores, told = scored(Given(), drawn[:3])
    assert kept == [drawn[0], drawn[2]] and scores.total == (1.0, 3.0) and scores.costs == {"c": (2.0, 4.0)}
    assert told == {"reward/total": 2.0, "reward/a": 3.0, "cost/c": 3.0, "reward/skipped": 1.0}


def test_a_constraint_moves_its_multiplier_and_charges_for_costs() -> None:
    constraint = Constraint(Constraints(cost=("c",), limit=(0.5,), multiplier=2.0, rate=0.1))
    scores, told = constraint([1.0, 0.0], {"c": [1.0, 0.5]})
    multiplier = 2.0 * 2.718281828459045 ** (0.1 * 2.0 * 0.25)
    assert told == {"cost/c_multiplier": pytest.approx(multiplier)}
    assert scores == pytest.approx([(1.0 - multiplier) / (1 + multiplier), -0.5 * multiplier / (1 + multiplier)])
    again = Constraint(constraint.config)
    again.load_state(constraint.state())
    assert again([1.0, 0.0], {"c": [0.0, 0.0]}) == constraint([1.0, 0.0], {"c": [0.0, 0.0]})
    with pytest.raises(RewardError, match=r"gave 0 costs \(none\); wanted 1"):
        constraint([1.0], {})
    with pytest.raises(RewardError, match="the cost c is not finite"):
        constraint([1.0], {"c": [float("nan")]})
    assert Constraint(Constraints())([1.0], {}) == ([1.0], {})


@pytest.mark.parametrize(("settings", "said"), [
    ({"cost": ("a",)}, "1 costs and 0 limits"), ({"cost": ("a", "a"), "limit": (1.0, 2.0)}, "names one twice"),
    ({"multiplier": 0.0}, "must be > 0"), ({"multiplier": 200.0}, "largest")])
def test_constraints_that_make_no_sense_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Constraints(**settings)


def test_one_call_is_enough(tiny_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = tutelage.rl(str(tiny_directory), ["Name a river.", "Name a bird."], reward=evens, **FAST)
    assert made.kind == "model" and made.manifest.facts["prompts"] == 2
    assert made.path.is_relative_to(tmp_path / "tutelage-project")
    again = tutelage.rl(str(tiny_directory), ["Name a river.", "Name a bird."], reward=evens, project="tutelage-project", **FAST)
    assert again == made


def test_several_rewards_and_a_cost_in_one_call(project: Project, tiny_directory: Path, instructions: Callable[..., str]) -> None:
    data = instructions([("a?", "x"), ("b?", "y")])
    made = tutelage.rl(project, data, policy=str(tiny_directory), reward=["rule:exact", evens], reward_weight=[2.0, 1.0],
                       cost=first_is_odd, constraints={"limit": [0.4]}, **FAST)
    assert made.manifest.config["reward"] == ["rule:exact", "evens"]
    assert made.manifest.config["constraints"]["cost"] == ["first_is_odd"]
    run, = project.runs.iterdir()
    for told in read_metrics(run / "metrics.jsonl"):
        assert told["reward/total"] == pytest.approx(2.0 * told["reward/rule:exact"] + told["reward/evens"])
        assert 0.0 <= told["cost/first_is_odd"] <= 1.0 and told["cost/first_is_odd_multiplier"] > 0.0
    with pytest.raises(ConfigError, match="1 costs and 0 limits"):
        tutelage.rl(project, data, policy=str(tiny_directory), reward=evens, cost=first_is_odd, **FAST)


def test_prompts_that_lack_what_a_rule_needs_end_it_before_it_begins(project: Project, tiny_directory: Path) -> None:
    with pytest.raises(RewardError, match="which 2 of 2 prompts do not have"):
        tutelage.rl(project, ["a", "b"], policy=str(tiny_directory), reward="rule:exact", **FAST)
    assert not project.runs.exists() or not list(project.runs.iterdir())


def test_a_run_under_a_constraint_goes_on_to_the_same_policy(project: Project, tmp_path: Path, tiny_directory: Path,
                                                             instructions: Callable[..., str],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    data = instructions([("a?", "x"), ("b?", "y")])
    settings = {**FAST, "policy": str(tiny_directory), "steps": 4, "look_every": 0,
                "constraints": {"limit": [0.2], "rate": 1.0}}
    calls = [0]

    def counted(samples: Sequence[Sample]) -> list[float]:
        calls[0] += 1
        if calls[0] == 7:
            raise InterruptedError
        return evens(samples)

    wanted = tutelage.rl(tmp_path / "other", data, reward=counted, cost=first_is_odd, **settings)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    with pytest.raises(RewardError, match="InterruptedError"):
        tutelage.rl(project, data, reward=counted, cost=first_is_odd, **settings)
    made = tutelage.rl(project, data, reward=counted, cost=first_is_odd, **settings)
    assert calls[0] == 9 and made.manifest.files == wanted.manifest.files
