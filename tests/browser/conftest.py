"""A real Chromium in front of a real studio. Debian's chromium; without it the tests say so (in CI they fail)."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))      # where the tests find studio_process

from studio_process import CHROMIUM, CHROMIUM_ARGS, StudioProcess

from tutelage.project import Project


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    if not CHROMIUM.is_file():
        assert not os.environ.get("CI"), f"CI has no {CHROMIUM}: apt-get install chromium fonts-noto-cjk"
        pytest.skip(f"no {CHROMIUM}: apt-get install chromium fonts-noto-cjk")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=list(CHROMIUM_ARGS))
        yield browser
        browser.close()


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[StudioProcess]:
    """A studio over an empty project; not started yet."""
    process = StudioProcess(Project.init(tmp_path / "project"))
    yield process
    process.stop()


class Log:
    """What the browsers of a test asked for, and what they complained about."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.errors: list[str] = []

    def listen(self, page: Any) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", lambda dialog: (self.errors.append(f"dialog: {dialog.message}"), dialog.accept()))

    def elsewhere(self, url: str) -> list[str]:
        return [each for each in self.requests if not each.startswith((url + "/", "data:", "about:"))]


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def person(chromium: Any, log: Log) -> Iterator[Callable[..., Any]]:
    """`person(locale="zh-CN")`: a page in a browser of its own, as another person on another machine has it."""
    contexts = []

    def make(**options: Any) -> Any:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, "locale": "en-GB", **options})
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        log.listen(page)
        return page
    yield make
    for context in contexts:
        context.close()
