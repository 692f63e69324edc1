"""Data-set artifacts: records in row files, the refused rows beside them, and one salted hash a row (D11).

    train.jsonl, heldout.jsonl   one record a line
    rows.jsonl                   one line a record: id, file, row, split, salt, hash
    refusals.jsonl               one line a refused row: file, row, reason
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tutelage.data.erasure import is_erased
from tutelage.data.fingerprints import Row, merkle_root, prompt_key
from tutelage.data.sources import Imported, Refusal, read_file
from tutelage.data.splits import SPLIT_RULE, held_out
from tutelage.errors import ArtifactError, ConfigError, DataError
from tutelage.lineage import MANIFEST, Manifest
from tutelage.project import Artifact, Project, check_name
from tutelage.records import Instruction, Preference, Prompt

BUILTIN_PREFIX = "builtin:"
RECORD_TYPES: Mapping[str, type[Instruction] | type[Preference] | type[Prompt]] = {
    "instruction": Instruction, "preference": Preference, "prompt": Prompt}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Records of one kind, and what a manifest says they came from."""

    records: list[Any]                # of the class that `kind` names
    kind: str                         # instruction, preference or prompt
    split: str
    artifact: Artifact | None         # None for a plain file
    sources: Mapping[str, str]        # file name -> sha256, for a plain file; empty for an artifact, which is a parent

    @property
    def parents(self) -> dict[str, str]:
        return {"dataset": self.artifact.parent_ref} if self.artifact else {}


def write_dataset(project: Project, name: str, imported: Sequence[Imported], split_ratio: float = 0.0,
                  seed: int = 0) -> Artifact:
    """Make an artifact of what files held; the same files, ratio and seed again give the artifact that is there.

    Raises:
        DataError: if no row was kept, or the files hold records of different kinds.
        ConfigError: if `split_ratio` is not in [0, 1).
    """
    check_name(name)
    if not 0.0 <= split_ratio < 1.0:
        raise ConfigError(f"split_ratio is {split_ratio}; wanted at least 0 and under 1.")
    kind, names = _one_kind(imported), _file_names(imported)
    rows = [Row(file, number, record, each.salt) for file, each in zip(names, imported, strict=True)
            for number, record in zip(each.rows, each.records, strict=True)]
    rows, refused = _without_erased(project, rows)
    apart = held_out({prompt_key(row.record) for row in rows}, split_ratio, seed)
    splits = ["heldout" if prompt_key(row.record) in apart else "train" for row in rows]
    lines = [row.line(split) for row, split in zip(rows, splits, strict=True)]
    manifest = Manifest(
        kind="dataset", name=name, stage="import", seeds={"split": seed},
        sources={file: each.sha256 for file, each in zip(names, imported, strict=True)},
        config={"split_ratio": split_ratio, **({"split_rule": SPLIT_RULE} if split_ratio > 0 else {}),
                "formats": [each.format for each in imported],
                "annotators": sorted({row.record.annotator for row in rows if isinstance(row.record, Preference)})},
        facts={"records": kind, "read": sum(each.num_read for each in imported), "kept": len(rows),
               "refused": sum(len(each.refusals) for each in imported) + len(refused),
               "train": splits.count("train"), "heldout": splits.count("heldout"),
               "duplicates": len(rows) - len({row.record.id for row in rows}),
               "merkle_root": merkle_root([line["hash"] for line in lines])})
    if (existing := project.made_from(manifest.key)) is not None:
        return existing
    with project.writing(manifest) as draft:
        for split in ("train", "heldout") if split_ratio > 0 else ("train",):
            _write_lines(draft / f"{split}.jsonl",
                         (row.record.to_json() for row, side in zip(rows, splits, strict=True) if side == split))
        _write_lines(draft / "rows.jsonl", lines)
        _write_lines(draft / "refusals.jsonl", [*({**refusal.to_json(), "file": file}
                                                  for file, each in zip(names, imported, strict=True)
                                                  for refusal in each.refusals), *(refusal.to_json() for refusal in refused)])
    return draft.artifact


def _without_erased(project: Project, rows: list[Row]) -> tuple[list[Row], list[Refusal]]:
    """A row that was erased from this project does not come back with its file: it is refused."""
    erased = is_erased(project.ledger)
    kept = [row for row in rows if not erased(row.line(""))]
    gone = {(row.file, row.number) for row in rows} - {(row.file, row.number) for row in kept}
    return kept, [Refusal(file, number, "it was erased from this project") for file, number in sorted(gone)]


def _one_kind(imported: Sequence[Imported]) -> str:
    kinds = sorted({each.kind for each in imported if each.records})
    files = ", ".join(each.file for each in imported) or "no file"
    if len(kinds) > 1:
        raise DataError(f"{files} hold records of the kinds {', '.join(kinds)}; wanted one kind. Import them apart.")
    if not kinds:
        counts = Counter(refusal.reason for each in imported for refusal in each.refusals).most_common(3)
        reasons = "; ".join(f"{count} times: {reason}" for reason, count in counts)
        raise DataError(f"{files}: no row was kept. {reasons}".rstrip())
    return kinds[0]


def _file_names(imported: Sequence[Imported]) -> list[str]:
    """Names for a manifest, which holds no paths: the second `train.json` is `train.json#2`."""
    seen: Counter[str] = Counter()
    names = []
    for each in imported:
        seen[each.file] += 1
        names.append(each.file if seen[each.file] == 1 else f"{each.file}#{seen[each.file]}")
    return names


def _write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        for value in values:
            file.write(json.dumps(value, ensure_ascii=False) + "\n")


def load_dataset(source: Artifact | Path, split: str = "train") -> Dataset:
    """Records of an artifact, of an artifact's directory, or of a plain file (which has only the split `train`).

    Raises:
        ArtifactError: if the artifact has no such split, or a row file that cannot be read.
        DataError: if a file cannot be read, or has rows that are refused: import it to see and leave them out.
    """
    if isinstance(source, Artifact):
        return _load_artifact(source, split)
    if (source / MANIFEST).is_file():
        manifest = Manifest.read(source)
        version = int(source.name[1:]) if source.name[1:].isdigit() else 0
        return _load_artifact(Artifact(manifest.kind, manifest.name, version, source, manifest), split)
    imported = read_file(source)
    if imported.refusals:
        first = imported.refusals[0]
        raise DataError(f"{source} has {len(imported.refusals)} of {imported.num_read} rows that are no records "
                        f"(first: row {first.row}: {first.reason}). Import it, which leaves them out and lists them: "
                        f"tutelage data import {source}")
    if split != "train":
        raise ArtifactError(f"{source} is a plain file and has no split {split!r}. Import it with --split-ratio.")
    return Dataset(records=imported.records, kind=imported.kind, split=split, artifact=None,
                   sources={imported.file: imported.sha256})


def _load_artifact(artifact: Artifact, split: str) -> Dataset:
    kind = str(artifact.manifest.facts.get("records"))
    if artifact.kind != "dataset" or kind not in RECORD_TYPES:
        raise ArtifactError(f"{artifact.ref} is not a data set.")
    path = artifact.path / f"{split}.jsonl"
    if not path.is_file():
        splits = ", ".join(each for each in ("train", "heldout") if (artifact.path / f"{each}.jsonl").is_file())
        raise ArtifactError(f"{artifact.ref} has no split {split!r}; it has {splits or 'none'}. "
                            "Import it with --split-ratio for a held-out one.")
    records = []
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            try:
                records.append(RECORD_TYPES[kind].from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise ArtifactError(f"{path.name} of {artifact.ref}, line {number}, is no {kind}: {error!r}. "
                                    "The artifact was changed; make it again.") from None
    return Dataset(records=records, kind=kind, split=split, artifact=artifact, sources={})


def builtin_names() -> list[str]:
    folder = resources.files("tutelage.data") / "builtin"
    return sorted(entry.name.removesuffix(".jsonl") for entry in folder.iterdir() if entry.name.endswith(".jsonl"))


def builtin_path(name: str) -> Path:
    """The file of a built-in data set: `instructions.en`, with or without `builtin:` before it.

    Raises:
        DataError: if there is none of that name.
    """
    plain = name.removeprefix(BUILTIN_PREFIX)
    if plain not in builtin_names():
        raise DataError(f"no built-in data set {plain!r}. There are: {', '.join(builtin_names())}.")
    return Path(str(resources.files("tutelage.data") / "builtin" / f"{plain}.jsonl"))


def resolve_dataset(project: Project, name: str) -> Artifact | Path:
    """What `--data` names: a built-in data set, an artifact of the project, or a file; `load_dataset` reads it.

    Raises:
        DataError, ArtifactError: if it names nothing.
    """
    if name.startswith(BUILTIN_PREFIX) or name in builtin_names():
        return builtin_path(name)
    if name.startswith("hf:"):
        raise DataError(f"{name} is on the hub, from which no data set is fetched. Download it and import the file.")
    path = Path(name).expanduser()
    if path.is_file() or (path / MANIFEST).is_file():
        return path
    if path.suffix in (".json", ".jsonl") or path.is_absolute():
        raise DataError(f"{path} does not exist. Check the name.")
    return project.artifact(name, kind="dataset")


def prompts_of(records: Sequence[Any]) -> list[Prompt]:
    """Prompts as they are; of instructions their prompts.

    Raises:
        DataError: if the records are neither.
    """
    if all(isinstance(record, Prompt) for record in records):
        return list(records)
    if all(isinstance(record, Instruction) for record in records):
        return [Prompt(id=record.id, messages=record.prompt) for record in records]
    raise DataError("wanted prompts or instructions, got preferences. Give a data set of prompts.")
