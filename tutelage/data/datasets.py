"""Data sets by name: artifacts (`writer` makes them), plain files, directories of files and the built-in ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from tutelage.data.hub import PREFIX, SUFFIXES, data_files
from tutelage.data.sources import read_file
from tutelage.data.writer import write_dataset
from tutelage.errors import ArtifactError, ConfigError, DataError
from tutelage.lineage import MANIFEST, Manifest
from tutelage.project import Artifact, Project
from tutelage.records import RECORD_TYPES, Instruction, Prompt

__all__ = ["BUILTIN_PREFIX", "Dataset", "builtin_names", "builtin_path", "load_dataset", "prompts_of", "resolve_dataset",
           "write_dataset"]

BUILTIN_PREFIX = "builtin:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Records of one kind, and what a manifest says they came from."""

    records: list[Any]                # of the class that `kind` names
    kind: str                         # as in `records.RECORD_TYPES`
    split: str
    artifact: Artifact | None         # None for a plain file
    sources: Mapping[str, str]        # file name -> sha256, for a plain file; empty for an artifact, which is a parent

    @property
    def parents(self) -> dict[str, str]:
        return {"dataset": self.artifact.parent_ref} if self.artifact else {}


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
    if split != "train":
        raise ArtifactError(f"{source} is a plain file and has no split {split!r}. Import it with --split-ratio.")
    return _load_files(source, data_files(source))


def _load_files(source: Path, files: Sequence[Path]) -> Dataset:
    records: list[Any] = []
    kinds, hashes = set(), {}
    for file in files:
        imported = read_file(file)
        if imported.refusals:
            first = imported.refusals[0]
            raise DataError(f"{file} has {len(imported.refusals)} of {imported.num_read} rows that are no records "
                            f"(first: row {first.row}: {first.reason}). Import it, which leaves them out and lists them: "
                            f"tutelage data import {source}")
        records += imported.records
        kinds.add(imported.kind)
        hashes[imported.file] = imported.sha256
    if len(kinds) > 1:
        raise DataError(f"{source} holds records of the kinds {', '.join(sorted(kinds))}; wanted one kind.")
    return Dataset(records=records, kind=kinds.pop(), split="train", artifact=None, sources=hashes)


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
        ConfigError: if it is empty, which would be this directory; DataError, ArtifactError: if it names nothing.
    """
    if not name:
        raise ConfigError("no data set is named. Set data (of prompts: prompts) to an artifact, builtin:NAME or a file.")
    if name.startswith(BUILTIN_PREFIX) or name in builtin_names():
        return builtin_path(name)
    if name.startswith(PREFIX):
        raise DataError(f"{name} is on the hub; a stage reads what is here. Import it first: tutelage data import {name}")
    path = Path(name).expanduser()
    if path.is_file() or (path / MANIFEST).is_file() or (path.is_dir() and data_files(path)):
        return path
    if path.suffix in SUFFIXES or path.is_absolute():
        raise DataError(f"{path} does not exist. Check the name.")
    return project.artifact(name, kind="dataset")


def prompts_of(records: Sequence[Any], wanted: bool = False) -> list[Prompt]:
    """Prompts as they are; of instructions their prompts, with the `wanted` responses where these are asked for.

    Raises:
        DataError: if the records are neither.
    """
    if all(isinstance(record, Prompt) for record in records):
        return list(records)
    if all(isinstance(record, Instruction) for record in records):
        return [Prompt(id=record.id, messages=record.prompt, **({"wanted": record.response.text, "meta": record.meta}
                                                                if wanted else {})) for record in records]
    kind = next((name for name, record_type in RECORD_TYPES.items() if isinstance(records[0], record_type)), "other")
    raise DataError(f"wanted prompts or instructions, got records of kind {kind}. Give a data set of prompts.")
