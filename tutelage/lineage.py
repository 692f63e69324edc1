"""Hashes and manifests: what an artifact was made of, in a form that two machines compute alike (D10).

A manifest never holds a timestamp, a path of the machine or a process id: an artifact made twice is the same artifact.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Self

from tutelage import __version__
from tutelage.errors import ArtifactError

MANIFEST = "manifest.json"


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spare blanks; NaN and infinities are refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def content_hash(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def file_hash(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree_hashes(directory: Path) -> dict[str, str]:
    """sha256 of every file below `directory`, by its path inside it; the manifest itself is left out."""
    return {path.relative_to(directory).as_posix(): file_hash(path) for path in _files(directory)}


def _files(directory: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(directory):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.relative_to(directory).as_posix() != MANIFEST:
                yield path


@cache
def code_version() -> str:
    """Version of the package and a hash over its own Python files: what "the code" was."""
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:12]}"


@cache
def environment() -> dict[str, str]:
    """Library versions and the processor family: what numbers may depend on besides the code."""
    versions = {name: _version(name) for name in ("torch", "transformers", "tokenizers", "peft", "numpy")}
    return {"python": platform.python_version(), "machine": platform.machine(), **versions}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an artifact is and where it came from."""

    kind: str                                                    # dataset, samples, model, classifier, reward, report
    name: str
    stage: str                                                   # the stage that made it
    parents: Mapping[str, str] = field(default_factory=dict)     # role -> "kind/name@version#content id"
    sources: Mapping[str, str] = field(default_factory=dict)     # file name -> sha256, for what came from outside
    people: Mapping[str, Any] = field(default_factory=dict)      # annotator id -> {kind, judgments}
    template: str = ""                                           # sha256 of the chat template
    config: Mapping[str, Any] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)       # counts, precision, threads, final metrics
    code: str = field(default_factory=code_version)
    environment: Mapping[str, str] = field(default_factory=environment)
    files: Mapping[str, str] = field(default_factory=dict)       # path inside the artifact -> sha256

    def to_json(self) -> dict[str, Any]:
        return {name: _plain(getattr(self, name)) for name in self.__dataclass_fields__}

    @property
    def content_id(self) -> str:
        """Name by content: equal exactly when everything above is."""
        return content_hash(self.to_json())

    @property
    def key(self) -> str:
        """Name by intention: what a stage was asked to do, known before it is done."""
        asked = ("kind", "name", "stage", "parents", "sources", "template", "config", "seeds")
        return content_hash({name: _plain(getattr(self, name)) for name in asked})

    def write(self, directory: Path) -> None:
        text = json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True, indent=1, allow_nan=False)
        (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def read(cls, directory: Path) -> Self:
        path = directory / MANIFEST
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            return cls(**value)
        except FileNotFoundError:
            raise ArtifactError(f"{directory} has no {MANIFEST}, so it is not an artifact.") from None
        except (ValueError, TypeError) as error:
            raise ArtifactError(f"{path} is not a manifest: {error}. Restore it, or make the artifact again.") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def changed_files(directory: Path, manifest: Manifest) -> list[str]:
    """Files that are not what the manifest says: changed, missing or added. Empty when all is well."""
    now = tree_hashes(directory)
    return sorted(name for name in {*now, *manifest.files} if now.get(name) != manifest.files.get(name))
