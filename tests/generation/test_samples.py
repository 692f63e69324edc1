"""Samples read back from their artifact."""

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import ArtifactError
from tutelage.generation.samples import SAMPLES_FILE, load_samples
from tutelage.lineage import Manifest
from tutelage.messages import Message
from tutelage.project import Project
from tutelage.records import Prompt, Sample

SAMPLE = Sample(id="s", prompt=Prompt(id="p", messages=(Message.of("user", "Why?"),)), prompt_ids=(1,), response_ids=(2,),
                logprobs=(-0.5,), response_mask=(True,), text="So.", ended=True)


def test_samples_come_back_as_they_were_and_a_row_of_another_shape_is_told(tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")

    def kept(row: dict[str, Any]) -> list[Sample]:
        with project.writing(Manifest(kind="samples", name="drawn", stage="sample")) as folder:
            (folder / SAMPLES_FILE).write_text(json.dumps(row) + "\n", encoding="utf-8")
        return load_samples(project.artifact("samples/drawn"))

    row = SAMPLE.to_json()
    assert kept(row) == [SAMPLE]
    for damaged in ({**row, "sampling": {"temperatur": 1}}, {**row, "prompt_ids": 7}, {"id": "s"}):
        with pytest.raises(ArtifactError, match="holds no samples that can be read"):
            kept(damaged)
