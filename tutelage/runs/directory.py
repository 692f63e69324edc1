"""Executions of stages: one directory a run, so that what was interrupted goes on where it stopped.

    runs/STAGE-NAME-KEY/run.json        what was asked, and the circumstances numbers depend on
    runs/STAGE-NAME-KEY/config.toml     the resolved configuration
    runs/STAGE-NAME-KEY/metrics.jsonl   one line a step
    runs/STAGE-NAME-KEY/speed.jsonl     beside each, where its time went: no part of what is the same after a resume
    runs/STAGE-NAME-KEY/samples.jsonl   of RL: a few prompts answered again and again, as `rl.snapshots` says
    runs/STAGE-NAME-KEY/checkpoints/    the last good states; gone when the artifact is made
    runs/STAGE-NAME-KEY/member-2/       the same of a part that is trained when the one before it is done

A run is named by what was asked (`Manifest.key`): asking the same again finds it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tutelage import disk
from tutelage.config import plain_to_toml
from tutelage.errors import ResumeError
from tutelage.lineage import Manifest
from tutelage.project import Project

RECORD = "run.json"
SAMPLES = "samples.jsonl"
PAGES: Mapping[Literal["en", "zh"], str] = {"en": "run.html", "zh": "run.zh.html"}      # a page, which quotes its samples


@dataclass(frozen=True, slots=True)
class Run:
    """A run's directory; `circumstances` are those it began under, and must go on under."""

    path: Path
    circumstances: Mapping[str, Any]

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    def note(self, **facts: Any) -> None:
        """Write facts that were not known when it began into its record, such as how many steps there are to do."""
        record = read_record(self.path)
        if any(record.get(name) != fact for name, fact in facts.items()):
            with disk.writing(self.path, "what the run had made stands"):
                _write_record(self.path, {**record, **facts})

    def part(self, name: str) -> Run:
        """A run within this one, with states and metrics of its own, that goes on as this one does and ends with it."""
        path = self.path / name
        if not (path / RECORD).exists():
            with disk.writing(path, "what the run had made stands"):
                path.mkdir(parents=True, exist_ok=True)
                _write_record(path, read_record(self.path))
        return Run(path, self.circumstances)

    def finish(self) -> None:
        """The artifact is made: what was only needed to go on is taken away."""
        for checkpoints in (self.checkpoints, *self.path.glob(f"*/{self.checkpoints.name}")):
            shutil.rmtree(checkpoints, ignore_errors=True)

    def forget(self) -> None:
        """It made no step and will make none: as if it had never been begun. One that has a state stays."""
        if not any(self.checkpoints.glob("step-*")):
            shutil.rmtree(self.path, ignore_errors=True)


def run_path(project: Project, manifest: Manifest) -> Path:
    return project.runs / f"{manifest.stage}-{manifest.name}-{manifest.key[:8]}"


def read_record(path: Path) -> dict[str, Any]:
    """What `run.json` in the run's directory says.

    Raises:
        ResumeError: if it is missing or damaged.
    """
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        dict(record["circumstances"])
        return dict(record)
    except (OSError, ValueError, KeyError, TypeError):
        raise ResumeError(f"{path / RECORD} is damaged. Remove that directory to begin anew.") from None


def recorded(project: Project, manifest: Manifest) -> Mapping[str, Any] | None:
    """The circumstances of the run that was begun for `manifest`, or None where none was."""
    path = run_path(project, manifest)
    return dict(read_record(path)["circumstances"]) if (path / RECORD).exists() else None


def begin(project: Project, manifest: Manifest, circumstances: Mapping[str, Any], allow_drift: bool = False) -> Run:
    """The run for `manifest`: a new one, or the one that was interrupted.

    What was asked for (`Project.asked`) is recorded, so that `tutelage runs resume` can ask again.

    Raises:
        ArtifactError: if a parent holds a row that was erased since.
        ResumeError: if it was begun under other circumstances, each named; numbers would differ from an undisturbed run.
    """
    project.check_parents(manifest)
    path, before = run_path(project, manifest), recorded(project, manifest)
    project.working_on(path.name)
    if before is not None:
        drift = [f"{name} was {before.get(name)!r}, is {circumstances.get(name)!r}"
                 for name in sorted({*before, *circumstances}) if before.get(name) != circumstances.get(name)]
        if drift and not (allow_drift or project.asked.allow_drift):
            raise ResumeError(f"the run {path.name} cannot go on as it was begun: {'; '.join(drift)}. Meet these, go on "
                              f"all the same with --allow-drift (the manifest will say so), or remove {path} to begin anew.")
        return _with_drift(path, before, drift)
    asked = {"stage": manifest.stage, "kind": manifest.kind, "name": manifest.name, "key": manifest.key,
             "parents": dict(manifest.parents), "config": dict(manifest.config), "seeds": dict(manifest.seeds),
             "asked": _again(project)}
    with disk.writing(path, "nothing was begun"):
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.toml").write_text(plain_to_toml(manifest.config), encoding="utf-8")
        _write_record(path, {**asked, "circumstances": dict(circumstances)})      # last: from now on the run was begun
    return Run(path, circumstances)


def _again(project: Project) -> dict[str, Any]:
    """How to ask the same again: the command, its settings, and the directory (seen from the project) where names of files
    in them mean something. Empty where that cannot be written down, as with a reward that is a Python function."""
    asked = {"command": project.asked.command, "settings": dict(project.asked.settings),
             "directory": os.path.relpath(Path.cwd(), project.root)}
    try:
        return json.loads(json.dumps(asked)) if project.asked.command else {}
    except (TypeError, ValueError):
        return {}


def _with_drift(path: Path, before: Mapping[str, Any], drift: list[str]) -> Run:
    """The run as it was begun; drift that was allowed, now or at an earlier resume, is kept and told in its manifest."""
    record = read_record(path)
    allowed = [*record.get("drift", []), *(each for each in drift if each not in record.get("drift", []))]
    if drift:
        _write_record(path, {**record, "drift": allowed})
    return Run(path, {**before, "drift": allowed} if allowed else before)


def _write_record(path: Path, record: Mapping[str, Any]) -> None:
    draft = path / ".run.json"
    draft.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    os.replace(draft, path / RECORD)
