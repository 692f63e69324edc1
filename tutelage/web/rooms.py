"""What a web room hands the shell: its routes, its place in the navigation, its words and its files."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from tutelage.web.routes import Routes


@dataclass(frozen=True, slots=True)
class NavItem:
    """One entry of the navigation, shown to those who hold one of `roles`. `label` is in the catalogue of the room."""

    path: str
    label: str
    roles: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """`folder` holds `templates/`, `static/` and `locales/`, each where the room has one.

    A template is named `ROOM/NAME.html.j2` and a file `/static/DIGEST/ROOM/NAME`. `stopping` is called when the server is
    told to stop: what answers without an end has to end then.
    """

    name: str
    routes: Routes
    folder: Path
    nav: tuple[NavItem, ...] = ()
    stopping: tuple[Callable[[], None], ...] = ()
