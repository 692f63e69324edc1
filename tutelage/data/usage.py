"""Which rows of its parents an artifact was made with, so that an erasure knows exactly what descends from a row.

    used_rows.json      parent, as kind/name@version -> ids of the rows that were used, in order

An artifact that lists its own rows (`rows.jsonl`) says it there, row by row, in `of`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tutelage.errors import ArtifactError
from tutelage.project import Artifact

USED = "used_rows.json"


def write_used(path: Path, used: Mapping[str, Iterable[str]]) -> None:
    """Write the record into the artifact's draft at `path`; a parent that is not named in it was used in ways unknown."""
    text = json.dumps({ref: sorted(set(rows)) for ref, rows in sorted(used.items())}, ensure_ascii=False, indent=0)
    (path / USED).write_text(text + "\n", encoding="utf-8")


def used_rows(artifact: Artifact, parent: str) -> set[str] | None:
    """Ids of the rows of `parent` that `artifact` was made with; None where it did not record that.

    Raises:
        ArtifactError: if the record cannot be read.
    """
    path = artifact.path / USED
    if not path.is_file():
        return None
    try:
        rows = json.loads(path.read_text(encoding="utf-8")).get(parent)
        return None if rows is None else set(rows)
    except (OSError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{USED} of {artifact.ref} cannot be read: {error}. See: tutelage verify {artifact.ref}") from None
