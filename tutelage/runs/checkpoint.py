"""Checkpoints: a run's whole state, written beside its place and renamed, so that a kill leaves the last good one (D10).

Tensors go to safetensors, the rest to JSON: no pickles. `seal.json` holds the hashes of both, the run and the step they
belong to, so that neither a flipped byte nor another run's checkpoint is taken for this one's.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tutelage import disk
from tutelage.console import console
from tutelage.errors import ResumeError
from tutelage.lineage import file_hash
from tutelage.project import sync_directory, sync_tree
from tutelage.runs.metrics import Best

TENSORS, STATE, SEAL, DRAFT = "tensors.safetensors", "state.json", "seal.json", ".draft"


class DirectoryCheckpoints:
    """`step-00000012/` directories below `path`: the newest `keep`, and the best one where `best` says what that is.

    They belong to the run in whose directory `path` is; a checkpoint of another one is refused.
    """

    def __init__(self, path: Path, keep: int = 2, best: Best | None = None) -> None:
        self.path, self.keep, self.best = path, keep, best
        self.owner = path.resolve().parent.name

    def save(self, step: int, state: Mapping[str, Any], metrics: Mapping[str, float] | None = None) -> None:
        """All of `state` or nothing; `metrics` are those of the step, for `best`.

        Raises:
            DiskError: if the disk refuses; what was written of it is removed, and the checkpoint before it stands.
        """
        before = self._steps()
        stands = f"the checkpoint {before[-1].name} stands" if before else "no checkpoint had been written yet"
        with disk.writing(self.path, stands):
            try:
                self._save(step, state, metrics or {})
            except Exception:
                shutil.rmtree(self.path / DRAFT, ignore_errors=True)      # it may be what fills the disk
                raise

    def _save(self, step: int, state: Mapping[str, Any], metrics: Mapping[str, float]) -> None:
        tensors: dict[str, torch.Tensor] = {}
        plain = _split(state, "", tensors)
        draft = self.path / DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, draft / TENSORS)
        (draft / STATE).write_text(json.dumps(plain), encoding="utf-8")
        seal = {"run": self.owner, "step": step, "metrics": dict(metrics), "state_sha256": file_hash(draft / STATE),
                "tensors_sha256": file_hash(draft / TENSORS)}
        (draft / SEAL).write_text(json.dumps(seal), encoding="utf-8")
        sync_tree(draft)
        target = self.path / _name(step)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(draft, target)
        sync_directory(self.path)
        self._thin_out()

    def _thin_out(self) -> None:
        steps = self._steps()
        stays = {*steps[-self.keep:], self.best_step()}
        for old in steps:
            if old not in stays:
                shutil.rmtree(old)

    def best_step(self) -> Path | None:
        """The checkpoint with the best metric, the earliest of equals; None where none has it."""
        if self.best is None:
            return None
        values = [(value, path) for path in self._steps() if (value := _metric(path, self.best.metric)) is not None]
        if not values:
            return None
        wanted = (max if self.best.higher else min)(value for value, _ in values)
        return next(path for value, path in values if value == wanted)

    def must_keep(self, metrics: Mapping[str, float]) -> bool:
        """Whether a checkpoint with these metrics would be the best one, and has to be written at once."""
        if self.best is None or not self.best.at_once or self.best.metric not in metrics:
            return False
        before = self.best_step()
        known = None if before is None else _metric(before, self.best.metric)
        return known is None or (metrics[self.best.metric] > known if self.best.higher else metrics[self.best.metric] < known)

    def best_state(self) -> tuple[int, dict[str, Any]]:
        """The best state, and how many steps it holds.

        Raises:
            ResumeError: if there is none, or it is damaged.
        """
        path = self.best_step()
        if path is None:
            raise ResumeError(f"no checkpoint in {self.path} has the metric that says which is the best. Remove "
                              f"{self.path.parent} to begin anew.")
        return self._read(path)

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """The newest state that is whole, or None where none was saved.

        One that is damaged, or of another run, is named and put aside as `damaged-step-…`; then the one before it counts.

        Raises:
            ResumeError: if none is whole.
        """
        troubles = []
        for path in reversed(self._steps()):
            try:
                return self._read(path)
            except ResumeError as error:
                troubles.append((path, str(error)))
                if path != self._steps()[0]:
                    self._put_aside(path, str(error))
        if troubles:
            raise ResumeError(f"{troubles[-1][1]} No other checkpoint is left. Remove {self.path.parent} to begin anew.")
        return None

    def _put_aside(self, path: Path, trouble: str) -> None:
        console.warn(f"{trouble} Going on from the one before.")
        aside = path.with_name(f"damaged-{path.name}")
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(path, aside)

    def _steps(self) -> list[Path]:
        return sorted(self.path.glob("step-????????"))

    def _read(self, path: Path) -> tuple[int, dict[str, Any]]:
        try:
            seal = json.loads((path / SEAL).read_text(encoding="utf-8"))
            for name, wanted in ((STATE, seal["state_sha256"]), (TENSORS, seal["tensors_sha256"])):
                if file_hash(path / name) != wanted:
                    raise ValueError(f"its {name} is not the one it was saved with")
            if (seal["run"], _name(seal["step"])) != (self.owner, path.name):
                raise ValueError(f"it is {_name(seal['step'])} of {seal['run'] or 'another run'}")
            state = json.loads((path / STATE).read_text(encoding="utf-8"))
            return seal["step"], _join(state, load_file(path / TENSORS))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ResumeError(f"the checkpoint {path} is damaged ({error}).") from None


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _metric(path: Path, name: str) -> float | None:
    try:
        value = json.loads((path / SEAL).read_text(encoding="utf-8"))["metrics"].get(name)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return value if isinstance(value, float | int) else None


def _split(value: Any, path: str, tensors: dict[str, torch.Tensor]) -> Any:
    """The JSON form of `value`, each tensor replaced by the name it gets in `tensors`."""
    if isinstance(value, torch.Tensor):
        assert path not in tensors, f"two tensors of a state are both called {path}"
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, Mapping):
        return {"map": {str(key): _split(item, f"{path}/{key}", tensors) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return {"list": [_split(item, f"{path}/{i}", tensors) for i, item in enumerate(value)]}
    return {"plain": value}


def _join(value: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    (form, content), = value.items()
    if form == "tensor":
        return tensors[content]
    if form == "map":
        return {key: _join(item, tensors) for key, item in content.items()}
    if form == "list":
        return [_join(item, tensors) for item in content]
    return content
