"""Reading samples artifacts; imports no torch, so that pages can do it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tutelage.errors import ArtifactError
from tutelage.project import Artifact
from tutelage.records import Sample

SAMPLES_FILE = "samples.jsonl"


def load_samples(artifact: Artifact) -> list[Sample]:
    """The samples of an artifact, in order.

    Raises:
        ArtifactError: if it holds none, or a row is damaged.
    """
    try:
        with open(artifact.path / SAMPLES_FILE, encoding="utf-8") as file:
            return [Sample.from_json(json.loads(line)) for line in file]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{artifact.ref} holds no samples that can be read: {error}.") from None


def by_prompt(samples: Sequence[Sample]) -> dict[str, list[Sample]]:
    """Samples of each prompt, by prompt id."""
    groups: dict[str, list[Sample]] = {}
    for each in samples:
        groups.setdefault(each.prompt.id, []).append(each)
    return groups
