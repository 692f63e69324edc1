"""Every file of an interrupted run of every stage is damaged, cut, lost, or taken from another run or step.

Asked again, the stage ends in the same weights, or says in an error of ours which file it is. Checkpoints of SFT, at random,
are in test_damage.py; here each file of a run's directory has its turn.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import TutelageError
from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Sample
from tutelage.rewards.callables import CallableReward
from tutelage.rewards.config import RewardModel
from tutelage.rewards.train import train_reward
from tutelage.rl.config import RL
from tutelage.rl.stage import rl
from tutelage.runs import steps
from tutelage.runs.recorder import Recorder
from tutelage.runs.signals import Interrupted
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT, Preferences
from tutelage.tuning.preference import preference
from tutelage.tuning.sft import sft

LETTERS = "abcdefgh"
LR = Optimizer(lr=1e-2)
TERMS = [Preference(id=letter, prompt=(Message.of("user", letter),), chosen=(Message.of("assistant", letter + "z"),),
                    rejected=(Message.of("assistant", letter),)) for letter in LETTERS]


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def run_sft(project: Project, model: str, rows: str, seed: int) -> Artifact:
    return sft(project, SFT(model=model, data=rows, precision="fp32", epochs=3, batch_tokens=64, max_length=64, optimizer=LR,
                            seed=seed))


def run_lora(project: Project, model: str, rows: str, seed: int) -> Artifact:
    return sft(project, SFT(model=model, data=rows, precision="fp32", epochs=3, batch_tokens=64, max_length=64, optimizer=LR,
                            adapter=Adapter(rank=2, dropout=0.1), seed=seed))


def run_dpo(project: Project, model: str, rows: str, seed: int) -> Artifact:
    config = Preferences(model=model, precision="fp32", epochs=3, batch_tokens=64, optimizer=LR, seed=seed)
    return preference(project, config, TERMS)


def run_kto(project: Project, model: str, rows: str, seed: int) -> Artifact:
    config = Preferences(model=model, loss="kto", precision="fp32", epochs=2, batch_tokens=64, optimizer=LR, seed=seed)
    return preference(project, config, TERMS)


def run_reward(project: Project, model: str, rows: str, seed: int) -> Artifact:
    return train_reward(project, RewardModel(model=model, precision="fp32", epochs=3, batch_tokens=64, heldout_fraction=0.0,
                                             optimizer=LR, seed=seed), TERMS)


def run_rl(project: Project, model: str, rows: str, seed: int) -> Artifact:
    config = RL(policy=model, prompts=rows, precision="fp32", steps=7, prompts_per_step=2, per_prompt=2, max_new_tokens=4,
                optimizer=LR, seed=seed)
    return rl(project, config, CallableReward(evens), {"reward": "evens"})


Stage = Callable[[Project, str, str, int], Artifact]
STAGES: dict[str, Stage] = {"sft": run_sft, "lora": run_lora, "dpo": run_dpo, "kto": run_kto, "reward": run_reward, "rl": run_rl}


@dataclass(frozen=True)
class Setting:
    """A stage's interrupted run, the same with another seed, and the weights it ends in undisturbed."""

    stage: Stage
    model: str
    rows: str
    place: Path
    interrupted: Project
    other: Project
    wanted: dict[str, str]

    def weights(self, project: Project) -> dict[str, str]:
        artifact = self.stage(project, self.model, self.rows, 0)
        assert artifact.verify() == []
        return {name: digest for name, digest in artifact.manifest.files.items() if name.endswith(".safetensors")}


@pytest.fixture
def setting(request: pytest.FixtureRequest, tmp_path: Path, tiny_directory: Path, instructions: Any,
            monkeypatch: pytest.MonkeyPatch) -> Setting:
    made = Setting(STAGES[request.param], str(tiny_directory), instructions([(each, 2 * each) for each in LETTERS]), tmp_path,
                   Project.init(tmp_path / "interrupted"), Project.init(tmp_path / "other"), {})
    with monkeypatch.context() as patch:
        patch.setattr(steps, "CHECKPOINT_INTERVAL_S", 0.0)
        patch.setattr(Recorder, "log", _ending_the_process_in_the_fifth_step(Recorder.log))
        for project, seed in ((made.interrupted, 0), (made.other, 1)):
            with pytest.raises(Interrupted, match="after 5 of"):
                made.stage(project, made.model, made.rows, seed)
    return replace(made, wanted=made.weights(Project.init(tmp_path / "undisturbed")))


def _ending_the_process_in_the_fifth_step(log: Callable[..., Any]) -> Callable[..., Any]:
    def logged(self: Recorder, step: int, *measured: Any) -> Any:
        pace = log(self, step, *measured)
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return pace
    return logged


def flip(path: Path, other: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path, other: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


def empty(path: Path, other: Path, draw: random.Random) -> None:
    path.write_bytes(b"")


def lose(path: Path, other: Path, draw: random.Random) -> None:
    path.unlink()


def lengthen(path: Path, other: Path, draw: random.Random) -> None:
    with open(path, "ab") as file:
        file.write(draw.randbytes(8))


def swap(path: Path, other: Path, draw: random.Random) -> None:
    """With the same file of the run with another seed, or of the step before."""
    path.write_bytes(other.read_bytes())


def swap_step(path: Path, other: Path, draw: random.Random) -> None:
    older = [each for each in path.parent.parent.rglob(path.name) if each != path]
    path.write_bytes(older[0].read_bytes() if older else other.read_bytes())


Damage = Callable[[Path, Path, random.Random], None]
DAMAGES: tuple[Damage, ...] = (flip, cut, empty, lose, lengthen, swap, swap_step)


def files(project: Project) -> list[Path]:
    """Every file of the one run, but those of checkpoints before the newest."""
    run, = project.runs.iterdir()
    newest = max(run.glob("checkpoints/step-*"))
    return sorted(path for path in run.rglob("*") if path.is_file() and (path.parent == run or path.parent == newest))


def outcome(setting: Setting, name: Path, damage: Damage, draw: random.Random) -> str:
    """Empty where it ended in the same weights or in an error of ours that names the run or the file; else what it did."""
    copy = setting.place / "copy"
    shutil.copytree(setting.interrupted.root, copy)
    run, = Project(copy).runs.iterdir()
    other, = setting.other.runs.iterdir()
    theirs = other / name.relative_to(next(setting.interrupted.runs.iterdir()))
    damage(run / theirs.relative_to(other), theirs, draw)
    try:
        return "" if setting.weights(Project(copy)) == setting.wanted else f"{damage.__name__} {name.name}: other weights"
    except TutelageError as error:
        named = run.name in str(error) and Project(copy).artifacts() == []
        return "" if named else f"{damage.__name__} {name.name}: unclear, {error}"
    except Exception as error:
        return f"{damage.__name__} {name.name}: {type(error).__name__}: {error}"
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("setting", ["dpo", "rl"], indirect=True)
def test_a_damaged_file_of_a_run_changes_no_weight(setting: Setting) -> None:
    draw = random.Random(0)
    assert [said for name in files(setting.interrupted) if (said := outcome(setting, name, draw.choice(DAMAGES), draw))] == []


@pytest.mark.faults
@pytest.mark.parametrize("setting", STAGES, indirect=True)
def test_no_damage_to_any_file_of_a_run_changes_a_weight(setting: Setting) -> None:
    draw, tried, troubles = random.Random(0), 0, []
    for name in files(setting.interrupted):
        for damage in (flip, flip, cut, *DAMAGES):
            tried += 1
            troubles.append(outcome(setting, name, damage, draw))
    print(f"{tried} damages")
    assert [trouble for trouble in troubles if trouble] == []
