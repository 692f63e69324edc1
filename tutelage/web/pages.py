"""Pages out of templates, in the visitor's language and colours."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader, StrictUndefined
from markupsafe import Markup

from tutelage.reporting.showable import showable
from tutelage.web.assets import Assets
from tutelage.web.i18n import LANGUAGES, Words
from tutelage.web.rooms import NavItem, Room
from tutelage.web.visitors import Visitor


class Pages:
    """Renders templates of all rooms; one environment a language."""

    def __init__(self, rooms: Sequence[Room], words: Words, assets: Assets) -> None:
        self.words, self.assets = words, assets
        self.nav: tuple[NavItem, ...] = tuple(item for room in rooms for item in room.nav)
        loaders = {room.name: FileSystemLoader(room.folder / "templates") for room in rooms}
        self._environments = {language: self._environment(PrefixLoader(loaders), language) for language in LANGUAGES}

    def _environment(self, loader: PrefixLoader, language: str) -> Environment:
        made = Environment(loader=ChoiceLoader([loader]), autoescape=True, undefined=StrictUndefined, finalize=_printed,
                           trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.i18n"])
        made.install_gettext_translations(self.words.of(language), newstyle=True)  # type: ignore[attr-defined]
        made.globals.update(asset=self.assets.url, language=language, languages=LANGUAGES)
        made.filters["json"] = as_json
        made.filters["utc"] = as_utc
        return made

    def render(self, request: Request, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page, or a part of one where the template extends no layout."""
        visitor: Visitor = request.state.visitor
        nav = [item for item in self.nav if visitor.may(item.roles)]
        page = self._environments[visitor.language].get_template(template).render(
            **values, visitor=visitor, nav=nav, path=request.url.path)
        response = HTMLResponse(page, status_code=status)
        visitor.leave_cookies(request, response)
        return response


def as_json(value: Any) -> str:
    """JSON for an attribute: autoescaping does the rest, so that it needs no script element to stand in."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def as_utc(seconds: float) -> str:
    """A time as people read it: 2026-11-22 09:30:00, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _printed(value: Any) -> Any:
    """What is printed into a page, with every character one that can be shown; our own markup passes untouched."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return showable(value)
    return "" if value is None else value


def render(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """`render` of the app that answers `request`."""
    pages: Pages = request.app.state.pages
    return pages.render(request, template, status, **values)


def say(request: Request, text: str, **values: object) -> str:
    """`text` in the visitor's language. Mark the text for the catalogue by writing it in the call."""
    pages: Pages = request.app.state.pages
    return pages.words.say(request.state.visitor.language, text, **values)


def say_error(request: Request, error: Exception | str) -> str:
    """What an error of any room says, in the visitor's language."""
    pages: Pages = request.app.state.pages
    return pages.words.error(request.state.visitor.language, str(error))


def values_of(form: Mapping[str, Any], *names: str) -> dict[str, str]:
    """The named fields of a form as text, "" where one is missing."""
    return {name: value if isinstance(value := form.get(name, ""), str) else "" for name in names}
