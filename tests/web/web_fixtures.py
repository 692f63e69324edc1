"""A shell over a store of its own, asked over HTTP as browsers and programs do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from web_browser import HOST, Browser

from tutelage.project import Project
from tutelage.store import Store
from tutelage.studio.config import Studio
from tutelage.studio.dashboard.room import dashboard_room
from tutelage.studio.room import studio_room
from tutelage.web import Shell, create_app

ROLES = ("annotator", "reviewer", "lead", "admin")


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store's file with one person a role; copied for each test, which is faster than making it."""
    path = tmp_path_factory.mktemp("furnished") / "feedback.db"
    with Store.open(path) as opened:
        for role in ROLES:
            opened.add_person(role, "human", role.title())
            opened.accounts.set_roles(role, [role], None, time.time())  # type: ignore[list-item]
    return path


@pytest.fixture
def store(furnished: Path, tmp_path: Path) -> Iterator[Store]:
    shutil.copy(furnished, tmp_path / "feedback.db")
    with Store.open(tmp_path / "feedback.db") as opened:
        yield opened


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.init(tmp_path / "project")


@pytest.fixture
def app(store: Store, project: Project) -> FastAPI:
    return create_app(Shell(store=store, hosts=(HOST,)), [studio_room(project, Studio()), dashboard_room(project)])


@pytest.fixture
def browser(app: FastAPI, store: Store) -> Callable[..., Browser]:
    """`browser("lead")` is signed in as the person of that name; `browser()` is nobody."""
    def make(person: str = "", language: str = "en") -> Browser:
        return Browser(app, store.access.begin_session(person, time.time(), 3600) if person else "", language)
    return make
