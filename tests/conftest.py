"""What the tests of every stage stand on: a tiny model as a directory, and a project."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tutelage.project import Project

sys.path.insert(0, str(Path(__file__).parent))       # where `postgres` is
from postgres import Server


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, as `--model` takes it."""
    # Here, because torch takes seconds and many tests need none.
    from tutelage.models.load import save_policy
    from tutelage.models.policy import Policy
    from tutelage.models.tiny import tiny_model, tiny_tokenizer

    directory = tmp_path_factory.mktemp("models") / "tiny"
    save_policy(Policy(tiny_model()), tiny_tokenizer(), directory)
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.init(tmp_path / "project")


@pytest.fixture
def instructions(tmp_path: Path) -> Callable[[Sequence[tuple[str, str]]], str]:
    """Write (prompt, response) rows to a file; gives its name, as `--data` takes it."""
    def write(rows: Sequence[tuple[str, str]]) -> str:
        path = tmp_path / "instructions.jsonl"
        path.write_text("".join(json.dumps({"instruction": prompt, "output": response}) + "\n" for prompt, response in rows),
                        encoding="utf-8")
        return str(path)
    return write


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for the tests that want one."""
    with Server() as server:
        yield server
