"""What the tests of every stage stand on: a tiny model as a directory, a project, and preferences of plain strings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tutelage.messages import Message, Messages, record_id
from tutelage.project import Project
from tutelage.records import Preference

sys.path.insert(0, str(Path(__file__).parent))       # where `postgres` is
from postgres import Server

if TYPE_CHECKING:
    from tutelage.data.chat import ChatTemplate


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


def said(text: str) -> Messages:
    return (Message.of("assistant", text),)


def asked(text: str) -> Messages:
    return (Message.of("user", text),)


@pytest.fixture
def preference() -> Callable[..., Preference]:
    def build(prompt: str, chosen: str, rejected: str, **rest: Any) -> Preference:
        return Preference(**{"id": record_id(prompt, chosen, rejected), "prompt": asked(prompt), "chosen": said(chosen),
                             "rejected": said(rejected), **rest})
    return build


@pytest.fixture(scope="session")
def template() -> ChatTemplate:
    from tutelage.data.chat import ChatTemplate
    from tutelage.models.tiny import tiny_tokenizer

    return ChatTemplate.of(tiny_tokenizer())
