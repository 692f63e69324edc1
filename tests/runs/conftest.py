"""A run of a stage that is nothing but a manifest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tutelage.lineage import Manifest
from tutelage.project import Project
from tutelage.runs.directory import Run, begin


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(kind="model", name="m", stage="sft", config={"lr": 0.1, "nested": {"rank": 4}}, seeds={"seed": 3})


@pytest.fixture
def begun(project: Project, manifest: Manifest) -> Callable[..., Run]:
    def start(allow_drift: bool = False, **circumstances: Any) -> Run:
        return begin(project, manifest, {"precision": "fp32", "threads": 1, **circumstances}, allow_drift)
    return start
