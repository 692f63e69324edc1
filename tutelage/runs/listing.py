"""What runs there are and how they stand: read from their directories, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tutelage.errors import ResumeError, UsageError
from tutelage.project import Artifact, Project
from tutelage.runs.directory import RECORD, read_record
from tutelage.runs.metrics import Best, read_metrics
from tutelage.runs.speed import Summary, read_speed, summarize

State = Literal["finished", "interrupted", "running", "damaged"]
LOWER = ("loss", "nll", "perplexity", "kl")      # metrics that are better when smaller …
HIGHER = ("accuracy", "score", "reward", "total", "explained_variance", "ended_fraction")      # … and when larger
# stage -> the metric that a run is judged by
MAIN: Mapping[str, Best] = {"rl": Best("objective/score")}
USUAL = Best("loss", higher=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """A run as it is on disk. `metrics` and `speed` have one mapping a step; `made` is its artifact, if there is one."""

    path: Path
    state: State
    record: Mapping[str, Any]
    metrics: list[dict[str, float]]
    made: Artifact | None
    speed: list[dict[str, float]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stage(self) -> str:
        return str(self.record.get("stage", ""))

    @property
    def done(self) -> int:
        """Steps that were made, whether or not a checkpoint holds them."""
        return int(self.metrics[-1]["step"]) + 1 if self.metrics else 0

    @property
    def steps(self) -> int | None:
        """Steps there were to make; None where the run has none, or died before it knew."""
        return self.record.get("steps")

    @property
    def main(self) -> Best:
        return MAIN.get(self.stage, USUAL)

    @property
    def summary(self) -> Summary | None:
        """How fast it is, and where its time goes; None where no step says."""
        return summarize(self.speed, self.record)

    def final(self, metric: str) -> float | None:
        return next((line[metric] for line in reversed(self.metrics) if metric in line), None)

    def best(self, metric: str) -> float | None:
        """The best value, where it is known which way is better."""
        values = [line[metric] for line in self.metrics if metric in line]
        higher = direction(metric)
        return None if higher is None or not values else max(values) if higher else min(values)


def direction(metric: str) -> bool | None:
    """Whether more of a metric is better; None where neither is."""
    last = metric.rpartition("/")[2]
    return True if last.endswith(HIGHER) else False if last.endswith(LOWER) else None


def runs_of(project: Project) -> list[RunInfo]:
    """Every run, by name."""
    made = {artifact.manifest.key: artifact for artifact in project.artifacts()}
    at_work = project.at_work() or []
    return [_info(path.parent, made, at_work) for path in sorted(project.runs.glob(f"*/{RECORD}"))]


def _info(path: Path, made: Mapping[str, Artifact], at_work: list[str]) -> RunInfo:
    try:
        record = read_record(path)
    except ResumeError:
        return RunInfo(path=path, state="damaged", record={}, metrics=[], made=None)
    artifact = made.get(record["key"])
    return RunInfo(path=path, state=state_of(path.name, artifact, at_work), record=record,
                   metrics=read_metrics(path / "metrics.jsonl"), made=artifact, speed=read_speed(path))


def state_of(name: str, made: Artifact | None, at_work: list[str]) -> State:
    """How the run stands that made `made`; `at_work` are those that somebody works on now."""
    return "finished" if made else "running" if name in at_work else "interrupted"


def run_named(project: Project, name: str) -> RunInfo | None:
    """The run of exactly this name, without reading any other; None if there is none. No name leads out of the runs."""
    path = next((path.parent for path in project.runs.glob(f"*/{RECORD}") if path.parent.name == name), None)
    if path is None:
        return None
    made = {artifact.manifest.key: artifact for artifact in project.artifacts()}
    return _info(path, made, project.at_work() or [])


def find_run(project: Project, name: str) -> RunInfo:
    """The run of this name; a beginning of it is enough, or the artifact that it made, where that means one run only.

    Raises:
        UsageError: if it means none or several.
    """
    every = runs_of(project)
    exact = [run for run in every if run.name == name]
    found = exact or [run for run in every if run.name.startswith(name) or (run.made is not None and run.made.ref == name)]
    if len(found) != 1:
        those = ", ".join(run.name for run in found or every) or "none"
        raise UsageError(f"{name!r} means {len(found)} runs; wanted one. {'These' if found else 'There are'}: {those}.")
    return found[0]


def size(path: Path) -> int:
    """Bytes of all files at or below `path`."""
    if path.is_file():
        return path.stat().st_size
    return sum(each.stat().st_size for each in path.rglob("*") if each.is_file() and not each.is_symlink())


def bytes_in_words(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
