"""What a project can do without: found first, removed only when asked to.

An artifact goes when a newer version of its name is there and nothing that stays was made from it, nor is a run under way
that reads it. A checkpoint goes when its run is finished, or can never be gone on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tutelage.project import Artifact, Project
from tutelage.runs.listing import RunInfo, runs_of, size


@dataclass(frozen=True, slots=True)
class Spare:
    """Something that can go: what it is, why, and its bytes. `artifact` where it is one, whose end the log remembers."""

    path: Path
    why: str
    bytes: int
    artifact: Artifact | None = None


def spare(project: Project, interrupted: bool = False) -> list[Spare]:
    """Everything that can go, artifacts first; `interrupted` counts every run that is neither finished nor running as
    abandoned."""
    runs = runs_of(project)
    found = [Spare(artifact.path, "superseded, and nothing that stays was made from it", size(artifact.path), artifact)
             for artifact in _superseded(project, runs, interrupted)]
    for run in runs:
        checkpoints = run.path / "checkpoints"
        why = abandoned(project, run, runs, interrupted)
        if checkpoints.is_dir() and why:
            found.append(Spare(checkpoints, why, size(checkpoints)))
        elif checkpoints.is_dir() and run.state != "running":
            found += [Spare(each, "damaged, or never completed", size(each))
                      for each in (*checkpoints.glob("damaged-*"), *checkpoints.glob(".draft"))]
    drafts = [*(project.root / "artifacts").glob("*/*/.draft-*"), *(project.root / "artifacts").glob("*/*/v*/.erasing-*")]
    found += [Spare(draft, "a draft that a killed process left", size(draft)) for draft in sorted(drafts)]
    return found


def abandoned(project: Project, run: RunInfo, runs: list[RunInfo], interrupted: bool = False) -> str:
    """Why the run's checkpoints are of no more use; "" where they are."""
    if run.state == "finished":
        return "its run is finished"
    if run.state != "interrupted":
        return ""
    for role, parent in run.record["parents"].items():
        artifact, trouble = project.parent(parent)
        if artifact is None or trouble:
            return f"its run can never go on: its {role} {trouble}"
        if artifact.parent_ref != parent or artifact.ref in project.ledger.descendants:
            return f"its run can never go on: rows were erased from what its {role} {artifact.ref} was made with"
    return "its run was interrupted" if interrupted else ""


def _superseded(project: Project, runs: list[RunInfo], interrupted: bool) -> Iterator[Artifact]:
    stays = {artifact.ref: artifact for artifact in project.artifacts()}
    newest = {(artifact.kind, artifact.name): artifact.ref for artifact in stays.values()}      # in order of version
    waiting = {parent.partition("#")[0] for run in runs if run.state in ("interrupted", "running")
               and not abandoned(project, run, runs, interrupted) for parent in run.record["parents"].values()}
    while True:
        needed = waiting | {parent.partition("#")[0] for artifact in stays.values()
                            for parent in artifact.manifest.parents.values()}
        needed |= {str(ref).partition("#")[0] for artifact in stays.values() if artifact.kind == "report"
                   for ref in dict(artifact.manifest.facts.get("samples", {})).values()}
        going = [artifact for artifact in stays.values()
                 if artifact.ref not in needed and newest[artifact.kind, artifact.name] != artifact.ref]
        if not going:
            return
        for artifact in going:
            del stays[artifact.ref]
            yield artifact


def prune(project: Project, found: list[Spare]) -> None:
    """Remove them. The caller holds the project's lock."""
    for each in found:
        if each.artifact is not None:
            project.remove(each.artifact)
        elif each.path.is_dir():
            shutil.rmtree(each.path)
        else:
            each.path.unlink(missing_ok=True)
