"""A report as pages, one a language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tutelage.reporting.html import render_html
from tutelage.reporting.report import Report
from tutelage.reporting.strings import LANGUAGES


def write_pages(draft: Path, page: Callable[..., Report]) -> dict[str, Report]:
    """Render `page(language=...)` in every language: report.html is the English one, report.LANGUAGE.html another.

    Returns:
        The reports, by the file each was written to.
    """
    reports: dict[str, Report] = {}
    for language in LANGUAGES:
        name = "report.html" if language == "en" else f"report.{language}.html"
        reports[name] = page(language=language)
        (draft / name).write_text(render_html(reports[name]), encoding="utf-8")
    return reports
