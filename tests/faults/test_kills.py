"""Kill a stage at any moment, ask again: the same weights, to the bit (D10)."""

from __future__ import annotations

import multiprocessing
import random
import runpy
import signal
from pathlib import Path

import pytest

from tutelage.project import Project

STAGE = Path(__file__).with_name("stage.py")
PRELOAD = ["torch", "peft", "transformers", "tutelage.tuning.sft", "tutelage.rewards.train", "tutelage.rl.stage"]


def run(stage: str, project: Path, model: Path, dies_after_s: float = 0.0) -> int | None:
    """Exit code of a new process with nothing but libraries in it: what it knows of an earlier run, it read in the project."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    names = {"STAGE": stage, "PROJECT": str(project), "MODEL": str(model), "DIES_AFTER_S": dies_after_s}
    process = context.Process(target=runpy.run_path, args=(str(STAGE), names, "__main__"))
    process.start()
    process.join(500)
    return process.exitcode


def weights(project: Path) -> dict[str, str]:
    """sha256 of the artifact's weight files, as its manifest holds them and as they are."""
    artifact, = Project(project).artifacts()
    assert artifact.verify() == []
    return {name: digest for name, digest in artifact.manifest.files.items() if name.endswith(".safetensors")}


def kill_and_finish(stage: str, directory: Path, model: Path, kills: int, seed: int) -> None:
    undisturbed, killed = directory / "undisturbed", directory / "killed"
    assert run(stage, undisturbed, model) == 0
    took_s = float((undisturbed / "took_s").read_text())
    draw, deaths = random.Random(seed), 0
    while (code := run(stage, killed, model, draw.uniform(0.2, 0.7) * took_s if deaths < kills else 0.0)) != 0:
        assert code == -signal.SIGPROF
        assert Project(killed).artifacts() == []       # nothing half-written is ever visible
        deaths += 1
    assert deaths > 0
    assert weights(killed) == weights(undisturbed)
    assert list(killed.rglob(".draft*")) == []


@pytest.mark.parametrize("stage", ["sft", "reward", "rl"])
def test_a_stage_that_was_killed_ends_in_the_same_weights(stage: str, tmp_path: Path, tiny_directory: Path) -> None:
    """trl#1643, LF#8715, prime-rl#3299: resume that restarts, skips data or loses the optimizer."""
    kill_and_finish(stage, tmp_path, tiny_directory, kills=2, seed=0)


@pytest.mark.faults
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stage", ["sft", "reward", "rl"])
def test_a_stage_that_was_killed_many_times_ends_in_the_same_weights(stage: str, seed: int, tmp_path: Path,
                                                                     tiny_directory: Path) -> None:
    kill_and_finish(stage, tmp_path, tiny_directory, kills=8, seed=seed)
