"""Erase rows: their text and salts go, their hashes stay as tombstones, and what descends from them is named (D11).

    plan ─► "erasing" in the log ─► row files rewritten, one by one ─► "erased" in the log

The plan is written down first, in ids. A kill anywhere after that leaves an erasure that `verify` names, on which nothing
is built, and which the same command brings to its end: each step may be done twice.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.data.fingerprints import ROWS, read_lines, text_file
from tutelage.data.usage import used_rows
from tutelage.data.vault import forget
from tutelage.errors import DataError, ResumeError
from tutelage.ledger import Ledger
from tutelage.lineage import file_hash
from tutelage.project import Artifact, Project, sync_directory
from tutelage.runs.directory import PAGES, SAMPLES, read_record

QUOTED = "quoted.json"      # of a report: file -> ids of the rows and samples whose text it shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What erasing rows means for a project: ids and names only."""

    root: str                                                                   # the data set
    rows: list[str]                                                             # ids of the rows
    reason: str = ""
    holders: dict[str, list[str]] = field(default_factory=dict)                 # artifact -> its rows that go
    withdrawn: dict[str, list[str]] = field(default_factory=dict)               # report -> its files that quote them
    descendants: dict[str, str] = field(default_factory=dict)                   # artifact -> why it descends
    runs: dict[str, str] = field(default_factory=dict)                          # run -> why it is named
    checkpoints: list[str] = field(default_factory=list)                        # runs whose checkpoint holds text of them
    samples: list[str] = field(default_factory=list)                            # runs whose samples and pages quote them

    def facts(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def plan(project: Project, root: Artifact, rows: Sequence[str], reason: str = "") -> Erasure:
    """What would have to go and what descends from it; nothing is changed.

    Raises:
        DataError: if the artifact lists no rows, or not these.
    """
    if not (root.path / ROWS).is_file():
        raise DataError(f"{root.ref} lists no rows ({ROWS}), so none can be erased from it. Remove the artifact as a whole.")
    lines = read_lines(root.path / ROWS)
    if unknown := sorted(set(rows) - {line["id"] for line in lines}):
        raise DataError(f"{root.ref} has no row {', '.join(unknown[:5])}. Its rows are named in {root.path / ROWS}.")
    hashes = {line["hash"] for line in lines if line["id"] in rows}
    artifacts = project.artifacts()
    erasure = Erasure(root=root.ref, rows=sorted(set(rows)), reason=reason)
    for artifact in artifacts:      # the same rows of the same file, imported under another name
        if artifact.kind == root.kind and (same := _ids(artifact, lambda line: line["hash"] in hashes)):
            erasure.holders[artifact.ref] = same
    while _spread(erasure, artifacts):
        pass
    _reports(erasure, artifacts)
    _runs(erasure, project, artifacts)
    return erasure


def _ids(artifact: Artifact, wanted: Callable[[Mapping[str, Any]], bool]) -> list[str]:
    if not (artifact.path / ROWS).is_file():
        return []
    return sorted({line["id"] for line in read_lines(artifact.path / ROWS) if wanted(line)})


def _spread(erasure: Erasure, artifacts: Iterable[Artifact]) -> bool:
    """Take the children of what is known so far in; whether there were new ones."""
    grown = False
    there = {artifact.ref: artifact for artifact in artifacts}
    for artifact in artifacts:
        for parent in (each.partition("#")[0] for each in artifact.manifest.parents.values()):
            if parent in erasure.holders and artifact.ref not in erasure.holders:
                quoting = _ids(artifact, _quotes(there[parent], set(erasure.holders[parent])))
                if quoting:
                    erasure.holders[artifact.ref] = quoting
                    grown = True
            if artifact.ref not in erasure.descendants and (why := _why(erasure, artifact, parent)):
                erasure.descendants[artifact.ref] = why
                grown = True
    return grown


def _quotes(parent: Artifact, gone: set[str]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a line of a child's `rows.jsonl` is one of the parent's rows that go, was made of some, or is one redacted."""
    hashes = {line["hash"] for line in read_lines(parent.path / ROWS) if line["id"] in gone}
    return lambda line: line["id"] in gone or bool(gone & set(line.get("of", ()))) or line.get("origin") in hashes


def _why(erasure: Erasure, artifact: Artifact, parent: str) -> str:
    """Why `artifact` descends from an erased row through `parent`; "" where it does not."""
    if parent in erasure.descendants:
        return f"made from {parent}"
    if parent not in erasure.holders or (artifact.path / ROWS).is_file():
        return ""
    used = used_rows(artifact, parent)
    if used is None:
        return f"may hold it: which rows of {parent} it was made with is not recorded"
    return f"made with it, as a row of {parent}" if used & set(erasure.holders[parent]) else ""


def _reports(erasure: Erasure, artifacts: Iterable[Artifact]) -> None:
    """Files of reports that show text of the rows, or of samples that answer them."""
    gone = {row for rows in erasure.holders.values() for row in rows}
    for artifact in artifacts:
        path = artifact.path / QUOTED
        if artifact.kind == "report" and path.is_file():
            quoted = json.loads(path.read_text(encoding="utf-8"))
            files = [name for name, ids in quoted.items() if gone & set(ids) and (artifact.path / name).exists()]
            if files:
                erasure.withdrawn[artifact.ref] = sorted(files)


def _runs(erasure: Erasure, project: Project, artifacts: Iterable[Artifact]) -> None:
    made = {artifact.manifest.key: artifact.ref for artifact in artifacts}
    gone = {row for rows in erasure.holders.values() for row in rows}
    for path in sorted(path.parent for path in project.runs.glob("*/run.json")):
        try:
            record = read_record(path)
        except ResumeError:
            erasure.runs[path.name] = "may hold it: its record is damaged"
            continue
        ref = made.get(record.get("key", ""), "")
        touched = [parent.partition("#")[0] for parent in record.get("parents", {}).values()]
        if ref in erasure.descendants or ref in erasure.holders:
            erasure.runs[path.name] = f"made {ref}"
        elif not ref and any(parent in erasure.holders or parent in erasure.descendants for parent in touched):
            erasure.runs[path.name] = "not finished; its checkpoint may hold weights and optimizer state made with it"
        if any(_mentions(state, gone) for state in path.glob("checkpoints/*/state.json")):
            erasure.checkpoints.append(path.name)
        if gone & set(record.get("quoted", ())):
            erasure.samples.append(path.name)


def _mentions(path: Path, ids: set[str]) -> bool:
    text = path.read_text(encoding="utf-8", errors="replace")
    return any(json.dumps(each, ensure_ascii=False)[1:-1] in text for each in ids)


def erase(project: Project, erasure: Erasure) -> None:
    """Do what `plan` found. The caller holds the project's lock."""
    ledger = project.ledger
    number = 1 + sum(entry.event == "erasing" for entry in ledger.entries)
    ledger.append("erasing", number=number, **erasure.facts())
    finish(project)


def finish(project: Project) -> Erasure | None:
    """Bring the erasure that was begun to its end; None where there is none. The caller holds the project's lock."""
    ledger = project.ledger
    if (entry := ledger.unfinished) is None:
        return None
    facts = dict(entry.facts)
    number = facts.pop("number")
    erasure = Erasure(**facts)
    for draft in (project.root / "artifacts").glob("*/*/.draft-*"):      # a killed process may have left text in it
        shutil.rmtree(draft)
    for run in erasure.checkpoints:
        shutil.rmtree(project.runs / run / "checkpoints", ignore_errors=True)
    for run in erasure.samples:
        for name in (SAMPLES, *PAGES.values()):
            (project.runs / run / name).unlink(missing_ok=True)
    there = {artifact.ref: artifact for artifact in project.artifacts()}
    files: dict[str, dict[str, str | None]] = {}
    tombstones: dict[str, list[dict[str, str]]] = {}
    for ref, rows in erasure.holders.items():
        if ref in there:
            files[ref], tombstones[ref] = _take_out(there[ref], set(rows))
    stones = [stone for each in tombstones.values() for stone in each]
    forget(project, {stone[name] for stone in stones for name in ("hash", "origin") if name in stone})
    for ref, names in ((ref, names) for ref, names in erasure.withdrawn.items() if ref in there):
        for name in names:
            (there[ref].path / name).unlink(missing_ok=True)
        files.setdefault(ref, {}).update(dict.fromkeys(names))
    ledger.append("erased", number=number, files=files, tombstones=tombstones)
    return erasure


def _take_out(artifact: Artifact, rows: set[str]) -> tuple[dict[str, str | None], list[dict[str, str]]]:
    """Take the rows' text and salts out of an artifact; what its files are now, and the tombstones."""
    lines = read_lines(artifact.path / ROWS)
    names = sorted({text_file(line) for line in lines if line["id"] in rows})
    for name in names:
        _rewrite(artifact.path / name, lambda line: None if json.loads(line)["id"] in rows else line)
    _rewrite(artifact.path / ROWS, lambda line: _tombstone(line, rows))
    told = {"id", "hash", "origin"}
    stones = [{name: each for name, each in line.items() if name in told} for line in lines if line["id"] in rows]
    return {name: file_hash(artifact.path / name) for name in (*names, ROWS)}, stones


def _tombstone(line: str, rows: set[str]) -> str:
    value = json.loads(line)
    if value["id"] not in rows:
        return line
    value.pop("salt", None)
    return json.dumps({**value, "erased": True}, ensure_ascii=False) + "\n"


def _rewrite(path: Path, change: Callable[[str], str | None]) -> None:
    """Each line as `change` gives it, None leaving it out; written beside the file and renamed."""
    draft = path.with_name(f".erasing-{path.name}")
    with open(path, encoding="utf-8", newline="\n") as old, open(draft, "w", encoding="utf-8", newline="\n") as new:
        new.writelines(kept for line in old if (kept := change(line)) is not None)
        new.flush()
        os.fsync(new.fileno())
    os.replace(draft, path)
    sync_directory(path.parent)


def is_erased(ledger: Ledger) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a line of `rows.jsonl` is of a row that was erased from this project: an import leaves it out.

    The same row of the same file has the same hash; of another file it has the same id, where ids are made of the content.
    """
    stones = [stone for entry in ledger.entries if entry.event == "erased"
              for each in entry.facts["tombstones"].values() for stone in each]
    hashes = {stone["hash"] for stone in stones}
    by_content = {stone["id"] for stone in stones if len(stone["id"]) == 16 and set(stone["id"]) <= set("0123456789abcdef")}
    return lambda line: line["hash"] in hashes or line["id"] in by_content
