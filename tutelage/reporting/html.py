"""The page: one HTML file that fetches nothing and runs nothing but its own two scripts.

Model text is untrusted. It is escaped wherever it stands, control characters are made visible, and the page carries a
content policy that names its scripts and its stylesheet by hash: a script that slipped through would still not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from tutelage.reporting import numbers, svg
from tutelage.reporting.report import Cell, Node, Report
from tutelage.reporting.showable import showable
from tutelage.reporting.strings import PAGE, phrase
from tutelage.statistics import Estimate

_HERE = Path(__file__).parent
_OPEN_EXAMPLES = 4          # shown at once; the rest is one click away


def render_html(report: Report) -> str:
    """The whole page as text, ready to be written as UTF-8.

    Raises:
        ConfigError: if the report's language is neither "en" nor "zh".
    """
    def say(key: str, **values: object) -> str:
        return phrase(PAGE, report.language, key, **values)

    styles = _read("vendor/uPlot.min.css") + _read("templates/report.css")
    scripts = (_without_banner(_read("vendor/uPlot.iife.min.js")), _read("templates/report.js"))
    return _environment().get_template("report.html.j2").render(
        report=report, say=say, lang=say("tag"), once=_once, seen=set(),
        styles=Markup(styles), scripts=[Markup(script) for script in scripts], policy=_policy(styles, scripts),
        curve_data=json_for_script(_curve_data(report)), open_examples=_OPEN_EXAMPLES,
        licence=Markup(_read("vendor/LICENSE").replace("--", "- -")), svg=svg, cell=cell, Estimate=Estimate,
        number=numbers.format_number, first_and_last=svg.first_and_last)


def cell(value: Cell, percent: bool = False, reference: float | None = None, n: int | None = None) -> tuple[str, str]:
    """What a table or a card shows for a value: its text, and its interval with its n where that is not `n`."""
    if isinstance(value, Estimate):
        shown, interval = numbers.format_estimate(value, reference, percent)
        if value.n == 0:                                       # taken over from elsewhere, with nothing known of it
            return shown, ""
        return shown, interval if value.n == n else f"{interval} n={value.n:,}"
    if isinstance(value, str):
        return value, ""
    return numbers.format_number(value, percent=percent), ""


def json_for_script(value: Any) -> Markup:
    """JSON that can stand inside a script element: no `<`, `>`, `&` or line separator is left as itself."""
    text = json.dumps(_finite(value), ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _curve_data(report: Report) -> list[dict[str, Any]]:
    """What the script draws: per curve its x, its units and its lines."""
    return [{"name": curve.name, "unit": curve.unit, "xUnit": curve.x_unit, "x": list(curve.x),
             "lines": [{"name": line.name, "y": list(line.y), "low": None if line.low is None else list(line.low),
                        "high": None if line.high is None else list(line.high)} for line in curve.lines]}
            for curve in report.curves]


def _once(node: Node, seen: set[str]) -> tuple[Node, bool]:
    """The node, and whether its history was told further up; a second telling is cut short."""
    again = node.ref in seen and bool(node.parents or node.files)
    seen.add(node.ref)
    return (replace(node, parents=(), files={}, seeds={}, people=()) if again else node), again


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(_HERE / "templates"), autoescape=True, finalize=_printed,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _printed(value: Any) -> Any:
    """What is printed into the page, with every character one that can be shown; our own markup passes untouched."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return showable(value)
    return "" if value is None else value


def _policy(styles: str, scripts: Sequence[str]) -> str:
    """A content policy that allows exactly these: nothing is fetched, embedded, submitted or evaluated."""
    allowed = " ".join(_source(script) for script in scripts)
    return (f"default-src 'none'; script-src {allowed}; style-src {_source(styles)}; "
            "base-uri 'none'; form-action 'none'")


def _source(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


@cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _without_banner(script: str) -> str:
    """uPlot opens with a comment holding its address; the page names no address at all, and carries its licence."""
    return re.sub(r"\A/\*!.*?\*/\s*", "", script, count=1, flags=re.DOTALL)


def _finite(value: Any) -> Any:
    """JSON has no NaN: what was not measured becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
