"""What the tests of every stage stand on: a tiny model as a directory, a project, and preferences of plain strings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.data.chat import ChatTemplate
from tutelage.models.load import save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Message, Messages, Preference, record_id


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer, as `--model` takes it."""
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
    return ChatTemplate.of(tiny_tokenizer())
