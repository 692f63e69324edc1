"""Six signals, three actions, and a reward that is hacked without the guard and is not with it."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import tutelage
from tutelage.errors import ConfigError, RewardError, TrainingError
from tutelage.project import Artifact, Project
from tutelage.records import Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL, SIGNALS, Guarding
from tutelage.rl.guard import Guard, crossed, gap, repeated
from tutelage.rl.presets import PRESETS
from tutelage.rl.stage import rl
from tutelage.runs.directory import Run
from tutelage.runs.metrics import read_metrics
from tutelage.training.config import Optimizer

EXAMPLE = Path(__file__).parents[2] / "examples" / "hacked_reward.py"
OFF = Guarding(action="off")
NONE: dict[str, Any] = dict.fromkeys(SIGNALS)
START = {"score": 0.2, "score_std": 0.5, "heldout": 1.0, "heldout_std": 2.0, "kl": 0.1, "entropy": 4.0, "length": 20.0,
         "repetition": 0.1, "ended": 0.9}


@pytest.mark.parametrize(("signal", "within", "past"), [
    ("kl", {"kl": 50.0}, {"kl": 50.1}),
    ("entropy", {"entropy": 0.8}, {"entropy": 0.79}),                        # a fifth of 4
    ("length", {"length": 60.0}, {"length": 60.1}),                          # three times 20
    ("length", {"length": 6.7}, {"length": 6.6}),                            # a third of it
    ("repetition", {"repetition": 0.35}, {"repetition": 0.36}),              # 0.25 more
    ("ended", {"ended": 0.51}, {"ended": 0.49}),                             # 0.4 less
    ("gap", {"score": 0.69}, {"score": 0.71}),                               # 0.5 is one standard deviation of the reward
    ("gap", {"heldout": -0.9}, {"heldout": -1.1}),                           # 2 is one of the held-out one
    ("gap", {"heldout": -9.0, "score": -1.9}, {"heldout": -9.0, "score": -1.7}),      # where both fall they part less
])
def test_each_signal_is_crossed_past_its_limit_and_not_before(signal: str, within: dict[str, float],
                                                              past: dict[str, float]) -> None:
    assert crossed(START, START, START, Guarding()) == {}
    assert crossed({**START, **within}, START, START, Guarding()) == {}
    assert list(crossed({**START, **past}, START, START, Guarding())) == [signal]
    unwatched: Any = {signal: None}
    assert crossed({**START, **past}, START, START, Guarding(**unwatched)) == {}


def test_the_gap_is_counted_from_where_the_held_out_reward_was_best() -> None:
    peak = {**START, "score": 0.7, "heldout": 3.0}
    now = {**START, "score": 1.2, "heldout": 2.0}      # up by 0.5 / 0.5, down by 1.0 / 2.0
    assert gap(now, START, peak) == pytest.approx(1.0 + 0.5)
    assert gap(peak, START, peak) == 0.0               # it has risen less, and is at its best
    alike = {**START, "score_std": 0.0}                # a rule that no first sample satisfied: in its own units
    assert gap({**alike, "score": 1.2}, alike, alike) == pytest.approx(1.0)


def test_repetition_counts_runs_of_ids_that_came_before() -> None:
    assert repeated([1, 2, 3]) == 0.0 and repeated([]) == 0.0
    assert repeated([1, 2, 3, 4, 5]) == 0.0
    assert repeated([7] * 7) == pytest.approx(3 / 4)                  # four runs, one of them new
    assert repeated([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)


@pytest.mark.parametrize(("changes", "message"), [
    ({"actions": {"lenght": "stop"}}, "no signal 'lenght'"), ({"window": 0}, "window"), ({"lr_factor": 0.0}, "lr_factor"),
    ({"length": 1.0}, "guard.length 1.0: must be > 1"), ({"kl": 0.0}, "guard.kl 0.0: must be > 0")])
def test_settings_that_mean_nothing_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Guarding(**changes)


def test_a_warning_is_given_once_until_the_signal_recovers(trainer: Any, draw: Any, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    fast = trainer(PRESETS["rloo"])
    samples = draw(fast.policy)
    guard = Guard(Guarding(window=2, actions={"ended": "off"}), fast, Run(tmp_path, {}))
    quiet = {"objective/score": 0.0, "objective/score_std": 1.0, "objective/kl": 0.0, "objective/entropy": 4.0,
             "rollout/length": 5.0, "rollout/ended_fraction": 0.9}
    gone = {**quiet, "objective/kl": 99.0, "rollout/ended_fraction": 0.0}
    steps = (quiet, quiet, gone, gone, gone, quiet, quiet, gone, gone)
    counts = [guard.watch(samples, metrics).get("guard/crossed") for metrics in steps]
    # means of two: 0, 49.5, 99, 99, 49.5, 0, 49.5, 99 against a budget of 50; nobody asked about turns that do not end
    assert counts == [None, 0, 0, 1, 1, 0, 0, 0, 1]
    said = capsys.readouterr()
    assert (said.out + said.err).count("99 nats a response from its reference; the budget is 50") == 2
    assert guard.rollbacks == 0 and not guard.ended()


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def asked(model: Path, prompts: Path, **changes: Any) -> RL:
    prompts.write_text("".join(json.dumps({"prompt": f"{letter}?"}) + "\n" for letter in "abcdef"))
    return RL(**{"policy": str(model), "prompts": str(prompts), "precision": "fp32", "steps": 8, "prompts_per_step": 4,
                 "per_prompt": 4, "max_new_tokens": 5, "look_every": 0, "algorithm": "rloo", "settings": {"kl_coef": 0.0},
                 "missing_end_penalty": 0.0,
                 "optimizer": Optimizer(lr=1e-2, warmup_fraction=0.0, schedule="constant"), **changes})


@pytest.fixture
def config(tiny_directory: Path, tmp_path: Path) -> Callable[..., RL]:
    return lambda **changes: asked(tiny_directory, tmp_path / "prompts.jsonl", **changes)


def metrics_of(project: Project) -> list[dict[str, float]]:
    run, = project.runs.iterdir()
    return read_metrics(run / "metrics.jsonl")


def weights(artifact: Artifact) -> str:
    return artifact.manifest.files["model.safetensors"]


def test_the_guard_changes_no_number_until_it_acts(project: Project, tmp_path: Path, config: Callable[..., RL]) -> None:
    def noisy(samples: Sequence[Sample]) -> list[float]:
        return [score + float(torch.rand(())) for score in evens(samples)]

    made = []
    for place, guard in ((project, OFF), (Project.init(tmp_path / "other"), Guarding(action="rollback", window=1, every=1))):
        torch.manual_seed(0)
        made.append(rl(place, config(guard=guard), CallableReward(noisy), {}, heldout=CallableReward(noisy)))
    assert weights(made[0]) == weights(made[1])
    assert not any(name.startswith("guard/") for line in metrics_of(project) for name in line)


@pytest.fixture(scope="module")
def drift(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, float]], float, int]:
    """What an unguarded run does; a budget of KL that it keeps to for four steps at least; the step that passes it."""
    directory = tmp_path_factory.mktemp("free")
    rl(free := Project.init(directory / "project"), asked(tiny_directory, directory / "prompts.jsonl", guard=OFF),
       CallableReward(evens), {})
    metrics = metrics_of(free)
    kl = [line["objective/kl"] for line in metrics]
    budget = max(kl[:4])
    return metrics, budget, next(step for step, value in enumerate(kl) if value > budget)


def test_stop_ends_the_run_with_the_best_weights_that_were_within_the_limits(
        project: Project, tmp_path: Path, config: Callable[..., RL], drift: tuple[list[dict[str, float]], float, int]) -> None:
    metrics, budget, past = drift
    guard = Guarding(**{**NONE, "action": "stop", "window": 1, "every": 1, "kl": budget})
    made = rl(project, config(guard=guard), CallableReward(evens), {})
    best = max(range(past), key=lambda step: metrics[step]["objective/score"])
    wanted = rl(Project.init(tmp_path / "short"), config(steps=best + 1, guard=OFF), CallableReward(evens), {})
    assert weights(made) == weights(wanted)
    assert made.manifest.facts["steps"] == past + 1 == len(metrics_of(project))
    assert "the budget is" in made.manifest.facts["ended_by"]


def test_rollback_goes_back_to_them_and_on_with_a_smaller_step(
        project: Project, tmp_path: Path, config: Callable[..., RL], drift: tuple[list[dict[str, float]], float, int]) -> None:
    metrics, budget, past = drift
    guard = Guarding(**{**NONE, "action": "rollback", "window": 1, "every": 1, "kl": budget, "lr_factor": 0.25,
                        "max_rollbacks": 9})
    back = rl(Project.init(tmp_path / "back"), config(steps=past + 1, guard=guard), CallableReward(evens), {})
    best = max(range(past), key=lambda step: metrics[step]["objective/score"])
    wanted = rl(Project.init(tmp_path / "short"), config(steps=best + 1, guard=OFF), CallableReward(evens), {})
    assert weights(back) == weights(wanted) and back.manifest.facts["rollbacks"] == 1

    made = rl(project, config(steps=past + 2, guard=guard), CallableReward(evens), {})
    found = metrics_of(project)
    assert [line["train/lr"] for line in found] == [1e-2] * (past + 1) + [2.5e-3]
    assert [line["guard/rollbacks"] for line in found] == [0.0] * (past + 1) + [1.0]
    assert made.manifest.facts["steps"] == past + 2 and "ended_by" not in made.manifest.facts


def test_rollbacks_that_are_used_up_end_the_run(project: Project, config: Callable[..., RL],
                                                drift: tuple[list[dict[str, float]], float, int]) -> None:
    _, budget, past = drift
    guard = Guarding(**{**NONE, "action": "rollback", "window": 1, "every": 1, "kl": budget, "max_rollbacks": 0})
    made = rl(project, config(guard=guard), CallableReward(evens), {})
    assert made.manifest.facts["steps"] == past + 1 and made.manifest.facts["ended_by"]


def test_a_limit_passed_before_anything_was_kept_is_an_error_that_says_so(project: Project, config: Callable[..., RL]) -> None:
    guard = Guarding(**{**NONE, "action": "rollback", "window": 2, "kl": 1e-9})
    with pytest.raises(TrainingError, match="no state within all limits was kept before"):
        rl(project, config(guard=guard), CallableReward(evens), {})
    assert project.artifacts() == []


@pytest.mark.parametrize(("action", "interval_s"), [("rollback", 0.0), ("rollback", 1e9), ("stop", 1e9)])
def test_a_guarded_run_that_was_interrupted_ends_in_the_same_weights(
        project: Project, tmp_path: Path, config: Callable[..., RL], drift: tuple[list[dict[str, float]], float, int],
        monkeypatch: pytest.MonkeyPatch, interval_s: float, action: Any) -> None:
    _, budget, past = drift
    settings = config(guard=Guarding(**{**NONE, "action": action, "window": 1, "every": 2, "kl": budget}))
    other = Project.init(tmp_path / "other")
    wanted = rl(other, settings, CallableReward(evens), {})
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", interval_s)
    for dies_at in (2, past + 2):
        calls = [0]

        def failing(samples: Sequence[Sample], calls: list[int] = calls, dies_at: int = dies_at) -> list[float]:
            calls[0] += 1
            if calls[0] == dies_at:
                raise InterruptedError
            return evens(samples)

        try:
            rl(project, settings, CallableReward(failing), {})
        except RewardError:
            continue
    made = rl(project, settings, CallableReward(evens), {})
    assert weights(made) == weights(wanted) and made.manifest.facts == wanted.manifest.facts
    told, others = ([(line["train/lr"], line["guard/rollbacks"]) for line in metrics_of(each)] for each in (project, other))
    assert told == others


@pytest.mark.slow
def test_a_reward_that_can_be_hacked_is_hacked_without_the_guard_and_not_with_it(tmp_path: Path) -> None:
    train = runpy.run_path(str(EXAMPLE))["train"]
    free, guarded = (train(tmp_path, action, steps=40) for action in ("warn", "rollback"))
    meant = [line["guard/heldout_reward"] for line in free]
    assert max(meant) > 1.5 * meant[0]                 # at first both rise, as it was meant
    assert meant[-1] < 0.8 * max(meant) and free[-1]["objective/score"] > 0.95 and free[-1]["guard/rollbacks"] == 0
    assert guarded[-1]["guard/heldout_reward"] > 0.9 * max(meant) and guarded[-1]["guard/rollbacks"] >= 1


def test_a_held_out_reward_is_named_as_the_reward_is_and_stands_in_the_manifest(project: Project, tiny_directory: Path,
                                                                                tmp_path: Path) -> None:
    (tmp_path / "wanted.py").write_text("def short(samples):\n    return [-len(each.response_ids) for each in samples]\n")
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    made = tutelage.rl(project, policy=str(tiny_directory), prompts=str(tmp_path / "prompts.jsonl"), precision="fp32", steps=4,
                       per_prompt=2, max_new_tokens=3, reward=evens, guard={"reward": f"{tmp_path / 'wanted.py'}:short"})
    assert any(name.startswith("guard ") and "wanted.py:short" in name for name in made.manifest.sources)
    assert all(-3 <= line["guard/heldout_reward"] <= -1 for line in metrics_of(project))
    assert "guard/gap" in metrics_of(project)[-1]
