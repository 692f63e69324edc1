"""Checkpoints: a run's whole state, written beside its place and renamed, so that a kill leaves the last good one (D10).

Tensors go to safetensors, the rest to JSON: no pickles. `state.json` holds the hash of the tensors it belongs to.
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
from tutelage.errors import ResumeError
from tutelage.lineage import file_hash
from tutelage.project import sync_directory, sync_tree

TENSORS, STATE, DRAFT = "tensors.safetensors", "state.json", ".draft"


class DirectoryCheckpoints:
    """`step-00000012/` directories below `path`; the newest `keep` stay."""

    def __init__(self, path: Path, keep: int = 1) -> None:
        self.path = path
        self.keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """All of `state` or nothing.

        Raises:
            DiskError: if the disk refuses; what was written of it is removed, and the checkpoint before it stands.
        """
        before = self._steps()
        stands = f"the checkpoint {before[-1].name} stands" if before else "no checkpoint had been written yet"
        with disk.writing(self.path, stands):
            try:
                self._save(step, state)
            except Exception:
                shutil.rmtree(self.path / DRAFT, ignore_errors=True)      # it may be what fills the disk
                raise

    def _save(self, step: int, state: Mapping[str, Any]) -> None:
        tensors: dict[str, torch.Tensor] = {}
        plain = _split(state, "", tensors)
        draft = self.path / DRAFT
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file({name: value.contiguous() for name, value in tensors.items()}, draft / TENSORS)
        text = json.dumps({"step": step, "tensors_sha256": file_hash(draft / TENSORS), "state": plain})
        (draft / STATE).write_text(text, encoding="utf-8")
        sync_tree(draft)
        target = self.path / f"step-{step:08d}"
        shutil.rmtree(target, ignore_errors=True)
        os.rename(draft, target)
        sync_directory(self.path)
        for old in self._steps()[: -self.keep]:
            shutil.rmtree(old)

    def latest(self) -> tuple[int, dict[str, Any]] | None:
        """The newest state, or None where none was saved.

        Raises:
            ResumeError: if it was damaged after it was written.
        """
        steps = self._steps()
        return self._read(steps[-1]) if steps else None

    def _steps(self) -> list[Path]:
        return sorted(self.path.glob("step-????????"))

    def _read(self, path: Path) -> tuple[int, dict[str, Any]]:
        try:
            saved = json.loads((path / STATE).read_text(encoding="utf-8"))
            if file_hash(path / TENSORS) != saved["tensors_sha256"]:
                raise ValueError("its tensors are not those it was saved with")
            return saved["step"], _join(saved["state"], load_file(path / TENSORS))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise ResumeError(f"the checkpoint {path} is damaged ({error}). Remove that directory to go on from the one "
                              "before, or the run's directory to begin anew.") from None


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
