"""A report with something in every place, and a reader that takes the page apart as a browser would."""

from __future__ import annotations

import math
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from tutelage.reporting import (
    Answer,
    Card,
    Curve,
    Example,
    IntervalGroup,
    IntervalPlot,
    IntervalRow,
    Line,
    Node,
    Note,
    People,
    Report,
    Row,
    Settings,
    Table,
)
from tutelage.statistics import Estimate


class Page(HTMLParser):
    """Elements with their attributes, the text outside scripts and styles, and the scripts and styles themselves."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else ""
        if self._inside:
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside == "style":
            self.styles[-1] += data
        else:
            self.text.append(data)

    @property
    def words(self) -> str:
        return "".join(self.text)


@pytest.fixture
def page() -> Callable[[str], Page]:
    return Page


@pytest.fixture
def full_report() -> Callable[..., Report]:
    def build(language: str = "en", text: str = "plain") -> Report:
        """`text` stands wherever text can stand."""
        estimate = Estimate(0.62, 0.55, 0.69, 40)
        digest = "ab" * 32
        leaf = Node(ref=text, stage=text, role=text, files={text: digest}, seeds={text: 1},
                    people=(People(kind="human", annotators=3, judgments=120),
                            People(kind="scripted", annotators=1, judgments=40)))
        return Report(
            title=text, language=language, verdict=text, verdict_tone="tied", lede=text,      # type: ignore[arg-type]
            cards=(Card(label=text, value=estimate, unit=text, note=text, verdict="better"),
                   Card(label=text, value=text)),
            tables=(Table(title=text, about=text, columns=(text, text, text), notes=(text, text, text), n=40,
                          rows=(Row(label=text, cells=(estimate, None), unit=text, about=text),
                                Row(label=text, cells=(text, 3), percent=False))),),
            intervals=(IntervalGroup(title=text, about=text, plots=(IntervalPlot(
                title=text, unit=text, reference=0.5, low_label=text, high_label=text,
                rows=(IntervalRow(label=text, estimate=estimate, verdict="tied"),)),)),),
            curves=(Curve(name=text, unit=text, x_unit=text, about=text, x=[0, 1, 2], lines=(
                Line(name=text, y=[3.0, math.nan, 1.0]),
                Line(name=text, y=[1.0, 2.0, 3.0], low=[0.0, 1.0, 2.0], high=[2.0, 3.0, 4.0]))),),
            examples=tuple(Example(prompt=text, prompt_id=f"p{each}", answers=(
                Answer(model=text, text=text, ended=True, tokens=4, truth=0.5, parts={text: 1.0}, sample_id=f"s{each}"),
                Answer(model=text, text="", ended=False, tokens=0))) for each in range(6)),
            examples_about=text,
            lineage=(Node(ref="model/x@1", parents=(leaf, Node(ref="model/y@1", parents=(leaf,)))),),
            settings=(Settings(title=text, items=((text, text),)),), notes=(Note(text=text, warning=True),))
    return build
