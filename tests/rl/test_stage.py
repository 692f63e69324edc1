"""The RL stage from a model directory to a policy artifact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, ModelError, PreflightError, RewardError
from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.project import Project
from tutelage.records import Prompt, Sample, Scores
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL
from tutelage.rl.loop import Loop, _shape
from tutelage.rl.stage import _reference, rl
from tutelage.runs.metrics import read_metrics
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


@pytest.fixture
def config(tiny_directory: Path, instructions: Callable[..., str]) -> Callable[..., RL]:
    def build(**changes: Any) -> RL:
        data = instructions([(f"{letter}?", "x") for letter in "abcdef"])
        return RL(**{"policy": str(tiny_directory), "prompts": data, "precision": "fp32", "steps": 3, "prompts_per_step": 3,
                     "per_prompt": 4, "max_new_tokens": 5, "optimizer": Optimizer(lr=1e-3, warmup_fraction=0.0), **changes})
    return build


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
@pytest.mark.parametrize("adapter", [Adapter(), Adapter(rank=2)], ids=["full", "lora"])
def test_the_stage_makes_a_policy_and_asking_again_returns_it(project: Project, tmp_path: Path, config: Callable[..., RL],
                                                              algorithm: Any, adapter: Adapter) -> None:
    settings = config(algorithm=algorithm, adapter=adapter)
    made = rl(project, settings, CallableReward(evens), {"reward": "evens"})
    assert made.manifest.facts["steps"] == 3 and made.manifest.parents["reward"] == "evens" and made.verify() == []
    assert made.manifest.config["composition"]["credit"] == ("gae" if algorithm == "ppo" else "leave_one_out")
    assert load_policy(made.path, "fp32").has_adapter == bool(adapter.rank)
    run, = project.runs.iterdir()
    first = read_metrics(run / "metrics.jsonl")[0]
    assert first["objective/kl"] == pytest.approx(0.0, abs=1e-5)      # the policy starts as its reference
    assert {"reward/total", "train/policy_loss", "rollout/ended_fraction"} <= set(first)
    again = rl(Project.init(tmp_path / "other"), settings, CallableReward(evens), {"reward": "evens"})
    assert again.manifest.files == made.manifest.files
    assert rl(project, settings, CallableReward(lambda samples: 1 / 0), {"reward": "evens"}) == made


def loop(config: RL, prompts: Sequence[Prompt], reward: Any = None, engine: Any = None, trainer: Any = None) -> Loop:
    return Loop(config, prompts, engine, reward, trainer)


def some_prompts(count: int) -> list[Prompt]:
    return [Prompt(id=f"p{i}", messages=(Message.of("user", f"{i}"),)) for i in range(count)]


@pytest.mark.parametrize(("count", "size"), [(10, 4), (10, 10), (7, 3), (3, 8), (1, 4)])
def test_no_step_holds_a_prompt_twice(config: Callable[..., RL], count: int, size: int) -> None:
    """Its samples would be drawn from the same random numbers, and be each other's baseline."""
    each = loop(config(prompts_per_step=size), some_prompts(count))
    seen: list[str] = []
    for step in range(12):
        ids = [prompt.id for prompt in each._prompts(step)]
        assert len(ids) == len(set(ids)) == min(count, size)
        seen += ids
    assert set(seen) == {f"p{i}" for i in range(count)}


def test_a_prompt_that_stands_twice_in_the_data_is_one(config: Callable[..., RL]) -> None:
    assert len(loop(config(), [*some_prompts(4), *some_prompts(4)]).prompts) == 4


def test_steps_draw_other_samples_each_time_and_the_same_again(config: Callable[..., RL], tiny_directory: Path) -> None:
    """open-instruct#1523: replayed data."""
    class Recorder:
        def __init__(self) -> None:
            self.ids: list[tuple[int, ...]] = []
            self.steps_done = 0

        def step(self, samples: Sequence[Sample], scores: Sequence[float], token_scores: Any = None) -> dict[str, float]:
            self.ids = [sample.response_ids for sample in samples]
            self.steps_done += 1
            return {}

    recorder = Recorder()
    engine = Engine(load_policy(tiny_directory, "fp32"), ChatTemplate.of(load_tokenizer(tiny_directory)))
    each = loop(config(prompts_per_step=2), some_prompts(2), CallableReward(evens), engine, recorder)
    drawn = []
    for step in (0, 1, 0):
        each.step(step)
        drawn.append(sorted(recorder.ids))
    assert drawn[0] == drawn[2] != drawn[1]
    assert len({ids for step in drawn for ids in step}) == 16


def test_scores_are_clipped_and_a_turn_that_did_not_end_costs_its_penalty(config: Callable[..., RL]) -> None:
    """N+ details, arXiv:2403.17031: otherwise the reward model is asked about responses it never saw an end of."""
    sample = Sample(id="s", prompt=some_prompts(1)[0], prompt_ids=(1,), response_ids=(2,), logprobs=(0.0,), response_mask=(True,),
                    text="", ended=True)
    settings = config(reward_clip=2.0, missing_end_penalty=1.5)
    assert _shape(9.0, sample, settings) == 2.0 and _shape(-9.0, sample, settings) == -2.0
    assert _shape(9.0, replace(sample, ended=False), settings) == 0.5
    assert _shape(0.3, replace(sample, ended=False), replace(settings, missing_end_penalty=0.0)) == 0.3


def test_a_reward_that_is_no_number_stops_the_run_and_names_the_sample(project: Project, config: Callable[..., RL]) -> None:
    """verifiers: an exception became 0.0, and the bug trained the model."""
    class Broken:
        def score(self, samples: Sequence[Sample]) -> Scores:
            return Scores(total=tuple(float("nan") if i == 2 else 0.0 for i in range(len(samples))))

    with pytest.raises(PreflightError, match="1 of 12 rewards are not finite"):
        rl(project, config(), Broken(), {})
    with pytest.raises(RewardError, match="ZeroDivisionError"):
        rl(project, config(name="other"), CallableReward(lambda samples: 1 / 0), {})
    assert project.artifacts() == []


def test_the_reference_is_what_the_policy_started_as_also_with_an_adapter_that_came_with_it(
        project: Project, tiny_directory: Path, config: Callable[..., RL], instructions: Callable[..., str]) -> None:
    """With the adapter of an SFT model off there is the model before SFT: a reference nobody asked for (trl#1311)."""
    base = SFT(model=str(tiny_directory), data=instructions([("a?", "b")]), precision="fp32", adapter=Adapter(rank=2),
               optimizer=Optimizer(lr=1e-1), epochs=5)
    tuned = sft(project, base)
    policy = load_policy(tuned.path, "fp32", value_head=True)
    reference = _reference(policy, tuned.path, "fp32")
    assert reference is not None and reference.has_adapter
    assert not any(value.requires_grad for value in reference.parameters())
    fresh = load_policy(tiny_directory, "fp32", adapter=Adapter(rank=2))
    assert _reference(fresh, tiny_directory, "fp32") is None      # off, it is the start
    made = rl(project, config(policy=tuned.ref), CallableReward(evens), {})
    run = next(path for path in project.runs.iterdir() if path.name.startswith("rl-"))
    assert read_metrics(run / "metrics.jsonl")[0]["objective/kl"] == pytest.approx(0.0, abs=1e-5)
    assert load_policy(made.path, "fp32").has_adapter


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_run_goes_on_to_the_same_policy(project: Project, tmp_path: Path, config: Callable[..., RL],
                                                       monkeypatch: pytest.MonkeyPatch, precision: Any) -> None:
    settings = config(steps=4, precision=precision, look_every=0, settings={"epochs": 2, "kl_target": 0.1, "kl_horizon": 20.0})
    wanted = rl(Project.init(tmp_path / "other"), settings, CallableReward(evens), {})
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    calls = [0]

    def failing(samples: Sequence[Sample]) -> list[float]:
        calls[0] += 1
        if calls[0] == 3:
            raise InterruptedError
        return evens(samples)

    with pytest.raises(RewardError):
        rl(project, settings, CallableReward(failing), {})
    made = rl(project, settings, CallableReward(failing), {})
    assert calls[0] == 5 and made.manifest.files == wanted.manifest.files and made.manifest.facts == wanted.manifest.facts
    assert torch.equal(*(load_policy(each.path, precision).model.get_input_embeddings().weight for each in (made, wanted)))


ALL = {"settings": {"epochs": 2, "kl_target": 0.1, "kl_horizon": 20.0, "ent_coef": 0.01, "ent_target": 5.0, "ptx_coef": 0.5,
                    "importance_limit": 2.0, "critic_warmup": 1, "whiten_rewards": True},
       "one_step_late": True, "reference_samples": 12, "standardise": True, "temperature": 1.2, "last_temperature": 0.9,
       "ptx_tokens": 80}


@pytest.fixture
def with_all(config: Callable[..., RL], tiny_directory: Path, instructions: Callable[..., str]) -> Callable[..., RL]:
    """Everything that a run may carry from step to step."""
    data = instructions([(f"{letter}?", "x" * (1 + place)) for place, letter in enumerate("abcdef")])
    return lambda **changes: config(**{**ALL, "critic": str(tiny_directory), "ptx_data": data, "steps": 4, **changes})


@pytest.mark.parametrize("fails_at", [1, 3, 4])
def test_a_run_with_all_it_may_carry_goes_on_to_the_same_policy(project: Project, tmp_path: Path, with_all: Callable[..., RL],
                                                                monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    """Samples drawn ahead, the critic, both coefficients, the scale of rewards, what is mixed in. The reward is asked once for
    the reference samples and once a step: it fails in the first step, and twice while samples of older weights wait.
    """
    wanted = rl(Project.init(tmp_path / "other"), with_all(), CallableReward(evens), {})
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    calls = [0]

    def failing(samples: Sequence[Sample]) -> list[float]:
        calls[0] += 1
        if calls[0] == 1 + fails_at:
            raise InterruptedError
        return evens(samples)

    with pytest.raises(RewardError):
        rl(project, with_all(), CallableReward(failing), {})
    made = rl(project, with_all(), CallableReward(failing), {})
    assert made.manifest.files == wanted.manifest.files and made.manifest.facts == wanted.manifest.facts
    told = read_metrics(next(project.runs.iterdir()) / "metrics.jsonl")
    assert {"train/ptx_loss", "train/critic_grad_norm", "rollout/importance_mean", "objective/ent_coef"} <= set(told[-1])
    assert "train/policy_loss" not in told[0] and told[2]["objective/ent_coef"] != told[0]["objective/ent_coef"]
    assert set(made.manifest.facts["start_best_of"]) == {"1", "2", "4"}


def test_one_step_late_samples_are_of_the_weights_before_the_last_update(project: Project, config: Callable[..., RL]) -> None:
    """The first two steps have samples of the same weights; each later one those of the step before."""
    late = config(algorithm="rloo", settings={"importance_limit": 2.0, "kl_coef": 0.0}, one_step_late=True, steps=4,
                  optimizer=Optimizer(lr=1e-2, warmup_fraction=0.0))
    rl(project, late, CallableReward(evens), {})
    told = read_metrics(next(project.runs.iterdir()) / "metrics.jsonl")
    assert told[0]["rollout/engine_mismatch_max"] < 1e-4
    assert all(each["rollout/engine_mismatch_p50"] > 1e-3 for each in told[1:])
    assert told[0]["rollout/importance_mean"] == pytest.approx(1.0, abs=1e-4)


def test_the_temperature_goes_from_first_to_last_in_equal_parts(config: Callable[..., RL]) -> None:
    each = loop(config(temperature=1.4, last_temperature=0.8, steps=4), some_prompts(2))
    assert [each._temperature(i) for i in range(4)] == pytest.approx([1.4, 1.2, 1.0, 0.8])
    assert loop(config(temperature=0.9), some_prompts(2))._temperature(2) == 0.9


@pytest.mark.parametrize(("changes", "match"), [
    ({"ptx_data": "x.jsonl"}, "ptx_coef"), ({"settings": {"ptx_coef": 0.1}}, "ptx_data"),
    ({"algorithm": "rloo", "critic": "x"}, "no critic"), ({"settings": {"critic_warmup": 1}}, "cannot learn alone"),
    ({"critic": "x", "settings": {"critic_warmup": 3}}, "leaves none of the 3 steps"),
    ({"one_step_late": True}, "importance_limit")], ids=str)
def test_settings_that_do_not_fit_together_are_refused(project: Project, config: Callable[..., RL], changes: dict[str, Any],
                                                       match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        rl(project, config(**changes), CallableReward(evens), {})
    assert project.artifacts() == []


def test_a_critic_that_is_not_to_be_found_is_named(project: Project, config: Callable[..., RL]) -> None:
    with pytest.raises(ModelError, match="no model 'nowhere'"):
        rl(project, config(critic="nowhere"), CallableReward(evens), {})


def test_a_manifest_names_the_critic_and_what_was_mixed_in(project: Project, with_all: Callable[..., RL]) -> None:
    made = rl(project, with_all(steps=2), CallableReward(evens), {})
    assert any(name.startswith("critic ") for name in made.manifest.sources)
    assert any(name.startswith("mixed in ") for name in made.manifest.sources)
    assert load_policy(made.path, "fp32", value_head=True).value_head.linear.weight.abs().max() == 0      # it has none of its own
