"""The planner in the stages: the largest pack is tried first and changes nothing; what does not fit is never begun."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage import cli
from tutelage.batch import TokenBatch
from tutelage.errors import PlanError, TrainingError
from tutelage.models.policy import Policy
from tutelage.project import Project
from tutelage.runs import plan as plans
from tutelage.training import fit as fitting
from tutelage.training import memory
from tutelage.training.loop import MicroBatch, rehearse, update
from tutelage.training.optimizer import Masters
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import NegativeLogLikelihood, sft

ROWS = [("short", "a"), ("a longer question than the others, by far", "with an answer to it"), ("mid question", "answer")]


def batch(text: int = 20) -> MicroBatch:
    return MicroBatch(tokens=TokenBatch.pack([list(range(1, text))], [[False] + [True] * (text - 2)]), rows=("r",))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rehearsal_changes_no_number(dtype: torch.dtype, tiny_policy: Callable[..., Policy], plain: Any) -> None:
    trained = []
    for rehearsals in (0, 2):
        policy = tiny_policy(dtype)
        masters = Masters(policy, plain(), 3)
        state = torch.get_rng_state()
        for _ in range(rehearsals):
            assert rehearse(masters, batch(40), NegativeLogLikelihood()) > 0
        assert torch.equal(torch.get_rng_state(), state)
        for _ in range(3):
            update(masters, [batch(), batch(12)], NegativeLogLikelihood())
        trained.append(masters.state())
    assert trained[0]["steps_done"] == trained[1]["steps_done"] == 3
    assert all(torch.equal(trained[0]["masters"][name], value) for name, value in trained[1]["masters"].items())
    assert all(torch.equal(trained[0]["moments"][name][key], value)
               for name, moments in trained[1]["moments"].items() for key, value in moments.items())


def test_a_rehearsal_that_fails_leaves_no_gradient(tiny_policy: Callable[..., Policy], plain: Any) -> None:
    policy = tiny_policy()
    masters = Masters(policy, plain(), 1)
    with torch.no_grad():
        next(iter(policy.parameters())).fill_(float("nan"))
    with pytest.raises(TrainingError, match="the loss is nan"):
        rehearse(masters, batch(), NegativeLogLikelihood())
    assert all(each.grad is None for each in policy.parameters())


def test_the_largest_of_all_micro_batches_is_the_one_that_is_tried(project: Project, instructions: Any, tiny_directory: Path,
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    tried, made = [], []
    monkeypatch.setattr(memory, "rehearse", lambda m, largest, o: tried.append(largest.tokens.num_tokens) or 1.0)
    monkeypatch.setattr(fitting, "update", lambda masters, batches, objective: made.extend(batches) or update(
        masters, batches, objective))
    sft(project, SFT(model=str(tiny_directory), data=instructions(ROWS), precision="fp32", epochs=2, batch_tokens=220,
                     micro_tokens=120, max_length=200))
    assert tried == [max(each.tokens.num_tokens for each in made)]


def weights(project: Project) -> dict[str, str]:
    artifact, = project.artifacts("model")
    return {name: digest for name, digest in artifact.manifest.files.items() if name.endswith(".safetensors")}


def test_a_stage_gives_the_same_weights_with_and_without_its_trial(tmp_path: Path, instructions: Any, tiny_directory: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for name in ("with", "without"):
        project = Project.init(tmp_path / name)
        sft(project, SFT(model=str(tiny_directory), data=instructions(ROWS), precision="bf16", epochs=2))
        made.append(weights(project))
        monkeypatch.setattr(memory, "rehearse", lambda *_: 1.0)
    assert made[0] == made[1]


def test_a_stage_that_does_not_fit_is_not_begun(project: Project, instructions: Any, tiny_directory: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "available_bytes", lambda: 0)
    with pytest.raises(PlanError, match=r"sft needs about .* of memory more than it has now, and 0 MB are available: .*--anyway"):
        sft(project, SFT(model=str(tiny_directory), data=instructions(ROWS), precision="fp32"))
    assert project.artifacts() == [] and not any(project.runs.glob("*"))


def test_plan_says_what_a_stage_needs_and_makes_nothing(project: Project, instructions: Any, tiny_directory: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", str(tiny_directory), "--precision", "fp32", "--project", str(project.root), "--json", "--plan"]
    assert cli.main(["sft", "--data", instructions(ROWS), *words]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)["plan"]
    assert told["stage"] == "sft" and told["seconds"] > 0 and sum(told["memory"].values()) == told["peak_memory_bytes"] > 10**8
    assert "at its peak" in err and "the process, data and weights" in err
    assert cli.main(["sample", "--prompts", instructions(ROWS), "--per-prompt", "2", *words]) == 0
    told = json.loads(capsys.readouterr().out)["plan"]
    assert told["memory"]["keys and values of the decoding slots"] > 0
    assert project.artifacts() == [] and not any(project.runs.glob("*"))
