"""The documentation keeps up with the code: every command and every setting has its place, and links lead somewhere."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tutelage.cli import COMMANDS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def headings(page: Path) -> set[str]:
    return {match.strip("` ") for match in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)}


def test_every_command_has_a_heading_and_every_heading_a_command() -> None:
    documented = [name for name in headings(DOCS / "commands.md") if name.startswith("tutelage ")]
    assert sorted(documented) == sorted(f"tutelage {word}" for word in COMMANDS)


def test_the_configuration_page_is_current() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert page == generator().configuration_page(), "run `make docs`"


def test_every_setting_is_on_the_configuration_page() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    for config_type in generator().config_types():
        section = page.split(f".{config_type.__name__}\n", 1)[1].split("\n## ", 1)[0]
        for field in dataclasses.fields(config_type):
            assert f"`{field.name}`" in section or f"`{field.name}." in section, f"{config_type.__name__}.{field.name}"


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md") if path.name != "README.md"]
    assert [page for page in pages if f"({page})" not in index] == []


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")]),
                         ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:|#", link):
            assert (page.parent / link.partition("#")[0]).exists(), f"{page.name}: {link}"


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_reader_meets_the_first_command_within_thirty_lines(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert any("make demo" in line for line in lines[:30])
    assert any("make test" in line for line in lines[:35])
