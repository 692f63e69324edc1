"""`data clean`: a new data set out of an old one, without some rows and without personal data; each change with its reason.

    train.jsonl, heldout.jsonl, rows.jsonl, refusals.jsonl     as in any data set
    dropped.jsonl    one line a dropped row: split, file, row, hash, reasons
    changed.jsonl    one line a redacted row: id, split, file, row, origin, replaced (kind -> how many)
    weights.jsonl    with --balance: one line a row to train on: id, weight for a sampler

`hash` and `origin` are the salted hashes that the old data set's `rows.jsonl` gives its rows: they lead back to it and
tell nothing to who does not have it. A redacted row has a new id, since the old one is a plain hash of the old text.
"""

from __future__ import annotations

import hmac
import json
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from tutelage.data.balance import WEIGHTS, field_of, sampler_weights
from tutelage.data.datasets import load_dataset
from tutelage.data.filters import PROBLEMS, Examination, Filters, entries_of, examine
from tutelage.data.fingerprints import ROWS, merkle_root, read_lines, row_hash
from tutelage.data.texts import all_texts, changed
from tutelage.data.vault import read_vault, write_vault
from tutelage.errors import ArtifactError, ConfigError, DataError
from tutelage.lineage import Manifest
from tutelage.privacy import KINDS as PERSONAL
from tutelage.privacy import Redaction, find, restore
from tutelage.privacy.redaction import PLACEHOLDER
from tutelage.project import Artifact, Project, check_name

CLEANING = 1      # of these rules; goes into manifests, so that changed rules make another data set
SPLITS = ("train", "heldout")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """What to do: drop rows that have one of these problems, redact these kinds of personal data in the others."""

    drop: tuple[str, ...] = ()
    redact: tuple[str, ...] = ()
    filters: Filters = field(default_factory=Filters)
    balance: str = ""                     # a field whose values get sampler weights
    evenness: float = 1.0

    def __post_init__(self) -> None:
        for given, known, what in ((self.drop, PROBLEMS, "problem"), (self.redact, PERSONAL, "kind of personal data")):
            if unknown := [each for each in given if each not in known]:
                raise ConfigError(f"there is no {what} {', '.join(unknown)}. There are: {', '.join(known)}.")
        if not (self.drop or self.redact or self.balance):
            raise ConfigError("nothing to do: name what to drop, redact or balance.")
        if not 0.0 <= self.evenness <= 1.0:
            raise ConfigError(f"evenness is {self.evenness}; wanted 0 to 1.")

    def to_json(self) -> dict[str, Any]:
        return {"cleaning": CLEANING, "drop": sorted(self.drop), "redact": sorted(self.redact), "balance": self.balance,
                "evenness": self.evenness, **self.filters.to_json()}


@dataclass(slots=True)
class _Result:
    """What a new data set will hold, gathered row by row."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    records: dict[str, list[Any]] = field(default_factory=lambda: {split: [] for split in SPLITS})
    dropped: list[dict[str, Any]] = field(default_factory=list)
    changed: list[dict[str, Any]] = field(default_factory=list)
    originals: dict[str, dict[str, str]] = field(default_factory=dict)      # for the vault: origin -> placeholder -> text

    def keep(self, record: Any, line: Mapping[str, Any]) -> None:
        self.lines.append(dict(line))
        self.records[line["split"]].append(record)


def clean(project: Project, parent: Artifact, name: str, cleaning: Cleaning,
          advance: Callable[[], None] = lambda: None) -> tuple[Artifact, Examination, dict[str, int]]:
    """Make the data set; the same cleaning of the same data set again gives the one that is there.

    Returns:
        It, what was found in the old one, and the problems that are left: kind -> rows.
    Raises:
        DataError: if no row is left.
        ArtifactError: if `rows.jsonl` of the old one does not list its rows.
    """
    check_name(name)
    splits, lines = _read(parent)
    examination = examine(entries_of(splits), cleaning.filters, advance)
    vault = read_vault(project)
    result, kept = _Result(), []
    for at, (entry, problems) in enumerate(zip(examination.entries, examination.problems, strict=True)):
        line = _line(lines, entry.split, entry.record.id, parent)
        if reasons := {kind: detail for kind, detail in problems.items() if kind in cleaning.drop}:
            result.dropped.append({key: line[key] for key in ("split", "file", "row", "hash")} | {"reasons": reasons})
            continue
        kept.append(at)
        result.keep(*_redacted(entry.record, line, cleaning, vault, result))
    if not result.records["train"]:
        raise DataError(f"of {parent.ref} no row to train on is left: {len(result.dropped)} of {len(examination.entries)} "
                        "would be dropped. Drop fewer kinds.")
    left = examination.counts(kept)
    if cleaning.redact and "personal_data" in left:
        left = {**left, "personal_data": _still_personal(result, cleaning)}
    return _write(project, parent, name, "clean", cleaning.to_json(), result, examination.counts(), left, cleaning), \
        examination, {kind: count for kind, count in left.items() if count}


def restored(project: Project, parent: Artifact, name: str) -> Artifact:
    """A redacted data set with the originals back, from the project's vault.

    Raises:
        DataError: if the vault has none of its rows.
    """
    check_name(name)
    splits, lines = _read(parent)
    vault, result = read_vault(project), _Result()
    for entry in entries_of(splits):
        line = _line(lines, entry.split, entry.record.id, parent)
        originals = vault.get(str(line.get("origin", "")))
        if originals is None:
            result.keep(entry.record, line)
            continue
        record = changed(entry.record, partial(restore, originals=originals))
        result.changed.append({"id": record.id, **{key: line[key] for key in ("split", "file", "row")},
                               "origin": line["hash"], "restored": len(originals)})
        result.keep(record, _new_line(record, line))
    if not result.changed:
        raise DataError(f"{parent.ref} has no redacted row whose originals are in the vault of {project.root}. Originals lie "
                        "only in the project where the redaction was made.")
    return _write(project, parent, name, "restore", {"cleaning": CLEANING}, result, {}, {}, None)


def _read(parent: Artifact) -> tuple[dict[str, list[Any]], dict[tuple[str, str], deque[dict[str, Any]]]]:
    """Records by split, and the lines of `rows.jsonl` by split and id, in order."""
    splits = {split: load_dataset(parent, split).records for split in SPLITS if (parent.path / f"{split}.jsonl").is_file()}
    lines: dict[tuple[str, str], deque[dict[str, Any]]] = defaultdict(deque)
    for line in read_lines(parent.path / ROWS):
        if "salt" in line:      # a row that was erased has none, and no text either
            lines[line["split"], line["id"]].append(line)
    return splits, lines


def _line(lines: Mapping[tuple[str, str], deque[dict[str, Any]]], split: str, name: str, parent: Artifact) -> dict[str, Any]:
    waiting = lines.get((split, name))
    if not waiting:
        raise ArtifactError(f"{parent.ref} holds the row {name} in {split}, which its rows.jsonl does not list. The artifact "
                            "was changed; make it again.")
    return waiting.popleft()


def _redacted(record: Any, line: dict[str, Any], cleaning: Cleaning, vault: Mapping[str, dict[str, str]],
              result: _Result) -> tuple[Any, dict[str, Any]]:
    """The row as it goes into the new data set; what was taken out of it goes into `result`."""
    if not cleaning.redact:
        return record, line
    taken = frozenset(mark for text in all_texts(record) for mark in PLACEHOLDER.findall(text))
    redaction = Redaction(cleaning.redact, cleaning.filters.min_confidence, taken=taken)
    new = changed(record, redaction.apply)
    if not redaction.originals:
        return record, line
    counts = Counter(mark.strip("[]").rpartition("_")[0].lower() for mark in redaction.originals)
    result.changed.append({"id": new.id, **{key: line[key] for key in ("split", "file", "row")}, "origin": line["hash"],
                           "replaced": dict(sorted(counts.items()))})
    # A row that was redacted before has the earlier originals in the vault: one step leads back, not two.
    result.originals[line["hash"]] = vault.get(line.get("origin", ""), {}) | redaction.originals
    return new, {**_new_line(new, line), "origin": line["hash"]}


def _new_line(record: Any, line: Mapping[str, Any]) -> dict[str, Any]:
    """A changed row's line: its salt follows from the old row's, and goes with it when that is erased."""
    salt = hmac.new(bytes.fromhex(line["salt"]), b"changed", "sha256").hexdigest()[:32]
    return {"id": record.id, "file": line["file"], "row": line["row"], "split": line["split"], "salt": salt,
            "hash": row_hash(record.to_json(), salt)}


def _still_personal(result: _Result, cleaning: Cleaning) -> int:
    return sum(any(find(text, PERSONAL, cleaning.filters.min_confidence) for text in all_texts(record))
               for records in result.records.values() for record in records)


def _write(project: Project, parent: Artifact, name: str, stage: str, config: Mapping[str, Any], result: _Result,
           before: Mapping[str, int], after: Mapping[str, int], cleaning: Cleaning | None) -> Artifact:
    facts = parent.manifest.facts
    manifest = Manifest(
        kind="dataset", name=name, stage=stage, parents={"dataset": parent.parent_ref}, config=config,
        facts={"records": facts["records"], "read": len(result.lines) + len(result.dropped), "kept": len(result.lines),
               "refused": 0, "dropped": len(result.dropped), "changed": len(result.changed),
               **{split: len(result.records[split]) for split in SPLITS},
               "duplicates": len(result.lines) - len({line["id"] for line in result.lines}),
               "before": dict(before), "after": dict(after), "merkle_root": merkle_root([line["hash"] for line in result.lines])})
    if result.originals:      # first: an artifact must never be there without the way back
        write_vault(project, manifest.key, result.originals)
    if (existing := project.made_from(manifest.key)) is not None:
        return existing
    with project.writing(manifest) as draft:
        for split in SPLITS:
            if (parent.path / f"{split}.jsonl").is_file():
                _write_lines(draft / f"{split}.jsonl", [record.to_json() for record in result.records[split]])
        for file, values in (("rows", result.lines), ("refusals", []), ("dropped", result.dropped), ("changed", result.changed)):
            _write_lines(draft / f"{file}.jsonl", values)
        if cleaning is not None and cleaning.balance:
            _write_lines(draft / WEIGHTS, _weights(result.records["train"], cleaning))
    return draft.artifact


def _weights(records: Collection[Any], cleaning: Cleaning) -> list[dict[str, Any]]:
    values = [field_of(record, cleaning.balance) for record in records]
    weights = sampler_weights(Counter(values), cleaning.evenness)
    return [{"id": record.id, "weight": weights[value]} for record, value in zip(records, values, strict=True)]


def _write_lines(path: Path, values: Collection[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")
