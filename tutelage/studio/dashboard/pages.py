"""What the templates of this room share."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import Response

from tutelage.reporting.numbers import format_number
from tutelage.runs.listing import bytes_in_words
from tutelage.studio.dashboard.measures import measure
from tutelage.studio.dashboard.picture import address
from tutelage.web import pages

LEADS = frozenset({"lead", "admin"})      # who may see all of this


def render(request: Request, template: str, **values: Any) -> Response:
    """A page of this room, or a part of one."""
    return pages.render(request, f"dashboard/{template}.html.j2", number=format_number, bytes=bytes_in_words,
                        address=address, measure=measure, **values)
