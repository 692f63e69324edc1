"""Runs as a list shows them: from the ends of their files, however long these are. `runs.listing` reads them whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import ResumeError
from tutelage.project import Artifact, Project
from tutelage.runs.directory import RECORD, read_record
from tutelage.runs.listing import MAIN, USUAL, State, state_of
from tutelage.runs.metrics import last_metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """A run at a glance. `last` has the metrics of its last step, `begun` is when it was first asked for, in seconds."""

    path: Path
    state: State
    record: Mapping[str, Any]
    last: Mapping[str, float]
    made: Artifact | None
    begun: float

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stage(self) -> str:
        return str(self.record.get("stage", ""))

    @property
    def done(self) -> int:
        return int(self.last["step"]) + 1 if self.last else 0

    @property
    def steps(self) -> int | None:
        steps = self.record.get("steps")
        return steps if isinstance(steps, int) else None

    @property
    def model(self) -> str:
        """What it trains, or asks: the artifact, or the name that was given."""
        parents, config = self.record.get("parents", {}), self.record.get("config", {})
        found = (source.get(role) for source in (parents, config) for role in ("policy", "model"))
        return next((str(each).partition("#")[0] for each in found if each), "")

    @property
    def main(self) -> tuple[str, float] | None:
        """The metric it is judged by, and where that stands."""
        metric = MAIN.get(self.stage, USUAL).metric
        return (metric, self.last[metric]) if metric in self.last else None


def glances(project: Project) -> list[Glance]:
    """Every run, the latest begun first."""
    made = {artifact.manifest.key: artifact for artifact in project.artifacts()}
    at_work = project.at_work() or []
    found = [_glance(path.parent, made, at_work) for path in project.runs.glob(f"*/{RECORD}")]
    return sorted(found, key=lambda run: (-run.begun, run.name))


def _glance(path: Path, made: Mapping[str, Artifact], at_work: list[str]) -> Glance:
    begun = _begun(path)
    try:
        record = read_record(path)
    except ResumeError:
        return Glance(path=path, state="damaged", record={}, last={}, made=None, begun=begun)
    artifact = made.get(record.get("key", ""))
    return Glance(path=path, state=state_of(path.name, artifact, at_work), record=record,
                  last=last_metrics(path / "metrics.jsonl"), made=artifact, begun=begun)


def _begun(path: Path) -> float:
    """Its configuration is written when it is begun, and never again."""
    try:
        return (path / "config.toml").stat().st_mtime
    except OSError:
        return 0.0
