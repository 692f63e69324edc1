"""What a report holds, as plain data. `render_html` turns it into a page; nothing here knows HTML.

Text may come from a model or from a stranger: it is data everywhere, and the renderer escapes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import DataError
from tutelage.lineage import Manifest
from tutelage.records import AnnotatorKind
from tutelage.statistics import Estimate

Language = Literal["en", "zh"]
Verdict = Literal["better", "worse", "tied", "too_few"]
Cell = Estimate | str | float | int | None          # None is shown as a dash: not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One number that a reader should leave with."""

    label: str
    value: Cell
    unit: str = ""
    note: str = ""
    percent: bool = False                # the value is a share of 1, shown in per cent
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a table: what is measured, in which unit, and a cell for each column after the first."""

    label: str
    cells: tuple[Cell, ...]
    unit: str = ""
    about: str = ""                      # what the measure means, in a few words
    percent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    title: str
    columns: tuple[str, ...]             # the first heads the row labels
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()          # one below each column, such as its n; as many as columns, or none
    about: str = ""
    n: int | None = None                 # of every estimate in it, said once; a cell with another n says its own

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.columns) - 1:
                raise DataError(f"table {self.title!r}: row {row.label!r} has {len(row.cells)} cells; wanted "
                                f"{len(self.columns) - 1}, one a column after the first.")
        if self.notes and len(self.notes) != len(self.columns):
            raise DataError(f"table {self.title!r} has {len(self.notes)} notes for {len(self.columns)} columns.")


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    label: str
    estimate: Estimate
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalPlot:
    """Estimates with their intervals on one axis (a forest plot)."""

    title: str
    unit: str
    rows: tuple[IntervalRow, ...]
    reference: float | None = None       # where nothing differs: a line is drawn there
    limits: tuple[float, float] | None = None
    ticks: int = 5                       # on the axis at most, and one more
    percent: bool = False
    n: int | None = None                 # of every row, said once
    low_label: str = ""                  # what lying left of the reference means
    high_label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalGroup:
    """A section of interval plots that answer one question."""

    title: str
    plots: tuple[IntervalPlot, ...]
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a curve, with a band where `low` and `high` are given. What is NaN was not measured: passed over."""

    name: str
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A small plot: lines in one unit over one x."""

    name: str
    unit: str
    x_unit: str
    x: Sequence[float]
    lines: tuple[Line, ...]
    about: str = ""

    def __post_init__(self) -> None:
        for line in self.lines:
            if (line.low is None) != (line.high is None):
                raise DataError(f"curve {self.name!r}: line {line.name!r} has half a band; give both low and high.")
            for values in (line.y, line.low, line.high):
                if values is not None and len(values) != len(self.x):
                    raise DataError(f"curve {self.name!r}: line {line.name!r} has {len(values)} values for "
                                    f"{len(self.x)} x; wanted the same.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One model's response to a prompt that is shown. What is None is not known, and not said."""

    model: str
    text: str
    ended: bool | None = None
    tokens: int | None = None
    truth: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    sample_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A prompt and what each model made of it, side by side."""

    prompt: str
    answers: tuple[Answer, ...]
    prompt_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who judged, in numbers; names and ids stay in the store."""

    kind: AnnotatorKind
    annotators: int
    judgments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """An artifact and what it was made from; `role` is what it was to its child."""

    ref: str
    stage: str = ""
    role: str = ""
    files: Mapping[str, str] = field(default_factory=dict)      # name -> sha256
    seeds: Mapping[str, int] = field(default_factory=dict)
    people: tuple[People, ...] = ()
    parents: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A group of settings: what was chosen, and with which value."""

    title: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to keep in mind; `warning` where the numbers above may mislead without it."""

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything on the page, in the order of the page. Empty sections are left out."""

    title: str
    language: Language = "en"
    verdict: str = ""                    # one sentence
    verdict_tone: Verdict | None = None
    lede: str = ""                       # what else a hurried reader needs
    cards: tuple[Card, ...] = ()
    tables: tuple[Table, ...] = ()
    intervals: tuple[IntervalGroup, ...] = ()
    curves: tuple[Curve, ...] = ()
    curves_title: str = ""               # what they show, and how to read it, where that is not the course of training
    curves_about: str = ""
    examples: tuple[Example, ...] = ()
    examples_title: str = ""             # what is shown, where that is not responses of several models
    examples_about: str = ""             # how they were chosen
    lineage: tuple[Node, ...] = ()
    settings: tuple[Settings, ...] = ()
    notes: tuple[Note, ...] = ()

    @property
    def quoted(self) -> tuple[str, ...]:
        """Ids of the samples and prompts whose text the report quotes, so that an erasure finds it (D11)."""
        found = {example.prompt_id for example in self.examples}
        found |= {answer.sample_id for example in self.examples for answer in example.answers}
        return tuple(sorted(found - {""}))


def lineage_node(ref: str, manifest: Manifest, parents: Sequence[Node] = (), role: str = "") -> Node:
    """The node of an artifact. Of its people only counts are kept, each kind of annotator apart."""
    counts: dict[AnnotatorKind, list[int]] = {}
    for person in manifest.people.values():
        count = counts.setdefault(person["kind"], [0, 0])
        count[0] += 1
        count[1] += int(person["judgments"])
    people = tuple(People(kind=kind, annotators=who, judgments=what) for kind, (who, what) in sorted(counts.items()))
    return Node(ref=ref, stage=manifest.stage, role=role, files={**manifest.sources, **manifest.files},
                seeds=dict(manifest.seeds), people=people, parents=tuple(parents))
