"""What an interrupted run left is damaged, swapped or cut at random; asked again it ends in the same weights, or says what is
wrong. It never goes on from a state that nobody saved. Beside it: a disk that fills, and two commands at once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import DiskError, ResumeError, TutelageError
from tutelage.project import Project
from tutelage.runs import steps
from tutelage.runs.signals import Interrupted
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft

ROWS = [(f"question {letter}", 2 * letter) for letter in "abcdefgh"]


@pytest.fixture
def config(instructions: Any, tiny_directory: Path) -> SFT:
    return SFT(model=str(tiny_directory), data=instructions(ROWS), precision="fp32", epochs=4, batch_tokens=128, max_length=64,
               optimizer=Optimizer(lr=1e-2))


@pytest.fixture
def wanted(tmp_path: Path, config: SFT) -> dict[str, str]:
    return weights(Project.init(tmp_path / "undisturbed"), config)


def weights(project: Project, config: SFT) -> dict[str, str]:
    artifact = sft(project, config)
    assert artifact.verify() == []
    return {name: digest for name, digest in artifact.manifest.files.items() if name.endswith(".safetensors")}


def interrupted(path: Path, config: SFT, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose run was ended by SIGTERM in its fifth step, with the checkpoints of two steps."""
    project, made = Project.init(path), count(1)

    def step(*words: Any) -> dict[str, float]:
        if next(made) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(*words)

    with monkeypatch.context() as patch, pytest.raises(Interrupted, match="after 5 of"):
        patch.setattr(steps, "CHECKPOINT_INTERVAL_S", 0.0)
        patch.setattr(fitting, "update", step)
        sft(project, config)
    return project


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes())
    content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def cut(path: Path, draw: random.Random) -> None:
    os.truncate(path, draw.randrange(path.stat().st_size))


def swap(path: Path, draw: random.Random) -> None:
    other = draw.choice([each for each in path.parent.parent.rglob(path.name) if each != path])
    path.write_bytes(other.read_bytes())


def lose(path: Path, draw: random.Random) -> None:
    path.unlink()


def lengthen(path: Path, draw: random.Random) -> None:
    with open(path, "ab") as file:
        file.write(draw.randbytes(8))


DAMAGES = (flip, cut, swap, lose, lengthen)


def damage_and_go_on(project: Project, copy: Path, config: SFT, damage: Callable[[Path, random.Random], None],
                     draw: random.Random, wanted: dict[str, str]) -> str:
    """What became of it: "same" weights, or "refused"."""
    shutil.copytree(project.root, copy)
    newest = max((copy / "runs").glob("*/checkpoints/step-*"))
    path = draw.choice(sorted(newest.iterdir()))
    before = path.read_bytes()
    damage(path, draw)
    if path.exists() and path.read_bytes() == before:      # equal files of two checkpoints were swapped
        return "same"
    try:
        assert weights(Project(copy), config) == wanted, f"{damage.__name__} of {path.name}"
        return "same"
    except ResumeError as error:
        assert newest.name in str(error) and "damaged" in str(error)
        return "refused"
    finally:
        shutil.rmtree(copy)


def test_each_damage_to_a_checkpoint_is_noticed(tmp_path: Path, config: SFT, wanted: dict[str, str],
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    project = interrupted(tmp_path / "interrupted", config, monkeypatch)
    for number, damage in enumerate(DAMAGES):
        assert damage_and_go_on(project, tmp_path / "copy", config, damage, random.Random(number), wanted) == "same"


@pytest.mark.faults
def test_a_hundred_damages_never_change_a_weight(tmp_path: Path, config: SFT, wanted: dict[str, str],
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print(f"seed {seed}")
    draw, project = random.Random(seed), interrupted(tmp_path / "interrupted", config, monkeypatch)
    for _ in range(100):
        damage_and_go_on(project, tmp_path / "copy", config, draw.choice(DAMAGES), draw, wanted)


def test_a_checkpoint_of_another_run_is_not_taken(tmp_path: Path, config: SFT, wanted: dict[str, str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    project = interrupted(tmp_path / "one", config, monkeypatch)
    other = interrupted(tmp_path / "two", replace(config, seed=1), monkeypatch)
    theirs = max((other.root / "runs").glob("*/checkpoints/step-*"))
    for mine in (project.root / "runs").glob("*/checkpoints/step-*"):
        shutil.rmtree(mine)
    place, = (project.root / "runs").glob("*/checkpoints")
    shutil.copytree(theirs, place / theirs.name)
    with pytest.raises(ResumeError, match="is damaged"):
        sft(project, config)


def test_a_clock_that_is_set_back_changes_nothing(tmp_path: Path, config: SFT, wanted: dict[str, str],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest checkpoint is told by its step, not by its file's time, and no interval is taken from the time of day."""
    project = interrupted(tmp_path / "interrupted", config, monkeypatch)
    for age, path in enumerate(sorted(project.root.rglob("*"), reverse=True)):
        os.utime(path, (10**6 + age, 10**6 + age))            # as if all was written in 1970, the newest first
    monkeypatch.setattr(time, "time", lambda: -1e9)
    monkeypatch.setattr(time, "time_ns", lambda: -10**18)
    assert weights(project, config) == wanted


def test_two_commands_at_once_are_one_and_a_refusal(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Who?", "output": "Me."}\n')
    words = [sys.executable, "-m", "tutelage.cli", "data", "import", str(tmp_path / "rows.jsonl"), "--project", str(project.root)]
    with project.lock():
        done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"error: process {os.getpid()} is at work in {project.root}. Wait until it is done, or use another "
                           "--project.\n")


@pytest.mark.faults
@pytest.mark.parametrize("room_kb", [40, 100, 150, 250, 400, 700])
def test_a_disk_that_fills_leaves_the_last_good_state(room_kb: int, tmp_path: Path, config: SFT, wanted: dict[str, str],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real file system of its own: first too small, then large enough; what was made before is gone on from."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room_kb}k", "tmpfs", str(place)],
                                      capture_output=True).returncode:
        pytest.skip("no right to mount a file system here")
    try:
        monkeypatch.setattr(steps, "CHECKPOINT_INTERVAL_S", 0.0)
        project = Project(place / "project")
        with pytest.raises(TutelageError) as refused:
            Project.init(project.root)
            sft(project, config)
        told = str(refused.value)
        assert isinstance(refused.value, DiskError) or "of disk" in told, told
        assert project.artifacts() == [] and list(place.rglob("*draft*")) == []
        for record in place.glob("project/runs/*/run.json"):
            json.loads(record.read_text())
        subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
        Project.init(project.root)
        assert weights(project, config) == wanted
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
