"""Kill a stage at any moment, ask again: the same weights, to the bit (D10)."""

from __future__ import annotations

import multiprocessing
import random
import runpy
import signal
from pathlib import Path

import pytest

from tutelage.models.load import save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project

STAGE = Path(__file__).with_name("stage.py")
KILLS_EACH, KILLS_OF_RL = 9, 13      # of each stage and size
PRELOAD = ["torch", "peft", "transformers", "tutelage.tuning.sft", "tutelage.tuning.preference", "tutelage.rewards.train",
           "tutelage.rl.stage"]


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


def kill_and_finish(stage: str, directory: Path, model: Path, kills: int, draw: random.Random, undisturbed: Path) -> int:
    """Kill it at most `kills` times at random moments, have it end, compare with the run nobody disturbed; how often it died."""
    killed, deaths = directory / f"killed-{draw.randrange(10**9)}", 0
    took_s = float((undisturbed / "took_s").read_text())
    while (code := run(stage, killed, model, draw.uniform(0.2, 0.7) * took_s if deaths < kills else 0.0)) != 0:
        assert code == -signal.SIGPROF
        assert all(made.verify() == [] for made in Project(killed).artifacts())      # nothing half-written is ever visible
        deaths += 1
    assert weights(killed) == weights(undisturbed)
    assert list(killed.rglob(".draft*")) == []
    return deaths


@pytest.fixture
def undisturbed(stage: str, size: str, tmp_path: Path, models: dict[str, Path]) -> Path:
    assert run(stage, tmp_path / "undisturbed", models[size]) == 0
    return tmp_path / "undisturbed"


@pytest.fixture(scope="session")
def models(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two sizes: 2 layers of 32, and 4 layers of 64."""
    larger = tmp_path_factory.mktemp("models") / "larger"
    save_policy(Policy(tiny_model(hidden_size=64, layers=4)), tiny_tokenizer(), larger)
    return {"2 x 32": tiny_directory, "4 x 64": larger}


@pytest.mark.parametrize("size", ["2 x 32"])
@pytest.mark.parametrize("stage", ["sft", "dpo", "rl", "rl with all"])
def test_a_stage_that_was_killed_ends_in_the_same_weights(stage: str, size: str, tmp_path: Path, models: dict[str, Path],
                                                          undisturbed: Path) -> None:
    """trl#1643, LF#8715, prime-rl#3299: resume that restarts, skips data or loses the optimizer."""
    assert kill_and_finish(stage, tmp_path, models[size], 2, random.Random(0), undisturbed) > 0


@pytest.mark.faults
@pytest.mark.parametrize("size", ["2 x 32", "4 x 64"])
@pytest.mark.parametrize("stage", ["sft", "lora", "dpo", "kto", "reward", "rl", "rl with all"])
def test_a_hundred_kills_across_stages_and_sizes_change_no_weight(stage: str, size: str, tmp_path: Path, models: dict[str, Path],
                                                                  undisturbed: Path) -> None:
    """142 in all, 52 of them in RL, several in one run."""
    kills = KILLS_OF_RL if stage.startswith("rl") else KILLS_EACH
    draw, deaths = random.Random(f"{stage} {size}"), 0
    while deaths < kills:
        deaths += kill_and_finish(stage, tmp_path, models[size], kills - deaths, draw, undisturbed)
    assert deaths == kills
