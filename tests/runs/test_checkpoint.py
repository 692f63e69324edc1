"""Checkpoints come back as they were, or say that they cannot (research E: trl#2657, open-instruct#1823, LF#8715)."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.errors import ResumeError
from tutelage.runs import checkpoint
from tutelage.runs.checkpoint import SEAL, STATE, TENSORS, DirectoryCheckpoints
from tutelage.runs.metrics import Best


def state(value: float = 1.0) -> dict[str, Any]:
    return {"kl_coef": 0.1 + value, "name": "运行", "none": None, "done": True, "list": [1, {"deep": torch.arange(3)}],
            "masters": {"a.weight": torch.full((2, 3), value), "b": torch.tensor(value, dtype=torch.bfloat16)}, "empty": {}}


def test_a_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path)
    saved = state(1 / 3)
    saved["transposed"] = torch.arange(6.0).reshape(2, 3).T      # not contiguous
    checkpoints.save(12, saved)
    step, again = DirectoryCheckpoints(tmp_path).latest()
    assert step == 12
    assert again["kl_coef"] == saved["kl_coef"]                   # a float survives JSON to the last bit
    assert {name: again[name] for name in ("name", "none", "done", "empty")} == \
        {"name": "运行", "none": None, "done": True, "empty": {}}
    assert again["list"][0] == 1 and torch.equal(again["list"][1]["deep"], torch.arange(3))
    for name, value in saved["masters"].items():
        assert again["masters"][name].dtype == value.dtype and torch.equal(again["masters"][name], value)
    assert torch.equal(again["transposed"], saved["transposed"])


def test_there_is_none_before_the_first(tmp_path: Path) -> None:
    assert DirectoryCheckpoints(tmp_path / "none").latest() is None


def test_only_the_newest_stay(tmp_path: Path) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path, keep=2)
    for step in (1, 2, 10):
        checkpoints.save(step, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000010"]
    assert checkpoints.latest()[0] == 10


@pytest.mark.parametrize(("killed_in", "survivor"), [("save_file", 1), ("file_hash", 1), ("sync_tree", 1),
                                                     ("sync_directory", 2)])
def test_a_kill_in_the_middle_of_saving_leaves_the_last_good_one(tmp_path: Path, killed_in: str, survivor: int) -> None:
    """Before the rename that is the one before, after it the new one; the draft of the dead process is in nobody's way."""
    checkpoints = DirectoryCheckpoints(tmp_path, keep=1)
    checkpoints.save(1, state(1.0))
    if (child := os.fork()) == 0:
        setattr(checkpoint, killed_in, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        checkpoints.save(2, state(2.0))
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    step, saved = checkpoints.latest()
    assert step == survivor and torch.equal(saved["masters"]["a.weight"], torch.full((2, 3), float(survivor)))
    checkpoints.save(3, state(3.0))
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def flip_a_bit(path: Path, other: Path) -> None:
    content = bytearray((path / TENSORS).read_bytes())
    content[-1] ^= 1
    (path / TENSORS).write_bytes(content)


def truncate(path: Path, other: Path) -> None:
    (path / TENSORS).write_bytes((path / TENSORS).read_bytes()[:-4])


def swap(path: Path, other: Path) -> None:
    (path / TENSORS).write_bytes((other / TENSORS).read_bytes())


def remove(path: Path, other: Path) -> None:
    (path / TENSORS).unlink()


def empty_the_state(path: Path, other: Path) -> None:
    (path / STATE).write_text("")


def change_the_state(path: Path, other: Path) -> None:
    (path / STATE).write_text((path / STATE).read_text().replace("5.1", "5.2"))


def flip_a_digit_of_the_seal(path: Path, other: Path) -> None:
    (path / SEAL).write_text((path / SEAL).read_text().replace('"step": 5', '"step": 4'))


def take_another_step(path: Path, other: Path) -> None:
    shutil.rmtree(path)
    shutil.copytree(other, path)


@pytest.mark.parametrize("damage", [flip_a_bit, truncate, swap, remove, empty_the_state, change_the_state,
                                    flip_a_digit_of_the_seal, take_another_step])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_counts(tmp_path: Path, damage: Callable[[Path, Path], None],
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path, keep=2)
    checkpoints.save(4, state(4.0))
    checkpoints.save(5, state(5.0))
    damage(tmp_path / "step-00000005", tmp_path / "step-00000004")
    step, again = checkpoints.latest()
    assert step == 4 and again["kl_coef"] == 4.1
    assert "step-00000005 is damaged" in capsys.readouterr().err
    checkpoints.save(6, state(6.0))       # the damaged one is not among the newest that are kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged-step-00000005", "step-00000004", "step-00000006"]


def test_where_no_checkpoint_is_whole_the_run_is_refused(tmp_path: Path) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path / "checkpoints")
    checkpoints.save(4, state(4.0))
    truncate(tmp_path / "checkpoints" / "step-00000004", tmp_path)
    for _ in range(2):                    # and stays refused
        with pytest.raises(ResumeError, match=r"step-00000004 is damaged.* No other checkpoint is left\. Remove .* "
                                                   r"to begin anew"):
            checkpoints.latest()


def test_the_checkpoint_of_another_run_is_refused_by_its_name(tmp_path: Path) -> None:
    DirectoryCheckpoints(tmp_path / "sft-a" / "checkpoints").save(4, state(4.0))
    shutil.copytree(tmp_path / "sft-a", tmp_path / "sft-b")
    with pytest.raises(ResumeError, match="it is step-00000004 of sft-a"):
        DirectoryCheckpoints(tmp_path / "sft-b" / "checkpoints").latest()


def test_the_best_stays_besides_the_newest(tmp_path: Path) -> None:
    checkpoints = DirectoryCheckpoints(tmp_path, keep=1, best=Best("score"))
    for step, score in ((1, 0.2), (2, 0.9), (3, 0.9), (4, 0.1)):
        checkpoints.save(step, state(step), {"score": score, "loss": 1.0})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000004"]
    assert checkpoints.best_step().name == "step-00000002" and checkpoints.latest()[0] == 4
    checkpoints = DirectoryCheckpoints(tmp_path, keep=1, best=Best("loss", higher=False))
    checkpoints.save(5, state(5), {"loss": 0.5})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000005"]


def test_two_tensors_never_share_a_name(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a/b"):
        DirectoryCheckpoints(tmp_path).save(1, {"a/b": torch.ones(1), "a": {"b": torch.zeros(1)}})
