"""What commands say to people: lines, tables and progress.

Results go to stdout, or to stderr under `--json`; warnings and progress always go to stderr. On a terminal progress
is a bar (rich, imported when the first one is drawn); elsewhere it is plain lines, few enough for a log.
"""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, TextIO

PLAIN_INTERVAL_S = 10.0


class Bar(Protocol):
    """What `Console.progress` hands out."""

    def advance(self, n: int = 1, **metrics: float | str) -> None:
        """`n` units more are done; `metrics` replace those shown before."""
        ...


class Console:
    """The way out for words. `json` is set by the command line before a command runs."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.json = False
        self.clock = clock

    @property
    def out(self) -> TextIO:
        return sys.stderr if self.json else sys.stdout

    def print(self, text: str = "") -> None:
        print(text, file=self.out, flush=True)

    def warn(self, text: str) -> None:
        print(f"warning: {text}", file=sys.stderr, flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Columns wide enough for their cells; numbers stand to the right. Floats show four digits."""
        self.print(render_table(title, columns, rows))

    @contextmanager
    def progress(self, label: str, total: int | None, unit: str = "steps") -> Iterator[Bar]:
        """A bar of `total` units (None where nobody knows), shown until the block ends."""
        bar = _RichBar(label, total, unit) if _draws(sys.stderr) else _PlainBar(label, total, unit, self.clock)
        with bar:
            yield bar


console = Console()


def _draws(stream: TextIO) -> bool:
    """Whether a bar can be drawn on `stream`, which needs a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class _PlainBar:
    """A first line, one every ten seconds, and a last one."""

    def __init__(self, label: str, total: int | None, unit: str, clock: Callable[[], float]) -> None:
        self.label, self.total, self.unit, self.clock = label, total, unit, clock
        self.done = 0
        self.metrics: dict[str, float | str] = {}

    def __enter__(self) -> _PlainBar:
        self.started = self.said = self.clock()
        goal = f"{self.total} {self.unit}" if self.total is not None else self.unit
        self._say(f"{self.label}: {goal} to do" if self.total is not None else f"{self.label}: counting {goal}")
        return self

    def advance(self, n: int = 1, **metrics: float | str) -> None:
        self.done += n
        self.metrics |= metrics
        now = self.clock()
        if now - self.said >= PLAIN_INTERVAL_S:
            self.said = now
            self._say(self._status(now))

    def __exit__(self, failure: object, *_: object) -> None:
        now = self.clock()
        end = "stopped after" if failure is not None else "took"
        self._say(f"{self._status(now, ended=True)}, {end} {duration(now - self.started)}")

    def _status(self, now: float, ended: bool = False) -> str:
        rate = self.done / max(now - self.started, 1e-9)
        goal = f"/{self.total}" if self.total is not None else ""
        parts = [f"{self.label}: {self.done}{goal} {self.unit}"]
        if self.done and now > self.started:
            parts.append(f"{short(rate)} {self.unit}/s")
            if self.total is not None and not ended:
                parts.append(f"{duration(max(self.total - self.done, 0) / rate)} left")
        return ", ".join(parts + [f"{name} {short(value)}" for name, value in self.metrics.items()])

    def _say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _RichBar:
    """A bar on a terminal. Texts are shown as they are: brackets in them are no markup."""

    def __init__(self, label: str, total: int | None, unit: str) -> None:
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.metrics: dict[str, float | str] = {}
        self.unit = unit
        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn(),
                   TextColumn("{task.fields[rate]}", markup=False), TimeRemainingColumn(),
                   TextColumn("{task.fields[metrics]}", markup=False))
        # Only what goes to a terminal may be drawn above the bar: redirected stdout must reach its file.
        self.progress = Progress(*columns, console=RichConsole(file=sys.stderr), redirect_stdout=sys.stdout.isatty())
        self.task = self.progress.add_task(label, total=total, rate="", metrics="")

    def __enter__(self) -> _RichBar:
        self.progress.start()
        return self

    def advance(self, n: int = 1, **metrics: float | str) -> None:
        self.metrics |= metrics
        self.progress.advance(self.task, n)
        speed = self.progress.tasks[0].speed
        self.progress.update(self.task, rate=f"{short(speed)} {self.unit}/s" if speed else "",
                             metrics=", ".join(f"{name} {short(value)}" for name, value in self.metrics.items()))

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


def short(value: Any) -> str:
    """A number in four digits at most where that loses nothing a reader wants; anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """`42 s`, `3 min 05 s` or `2 h 14 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def render_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    cells = [[short(cell) for cell in row] for row in rows]
    widths = [max(_width(text) for text in texts) for texts in zip(columns, *cells, strict=True)]
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(columns))]

    def line(texts: Sequence[str]) -> str:
        padded = [" " * (width - _width(text)) + text if right else text + " " * (width - _width(text))
                  for text, width, right in zip(texts, widths, numeric, strict=True)]
        return "  ".join(padded).rstrip()

    rule = "  ".join("-" * width for width in widths)
    return "\n".join(([title] if title else []) + [line(columns), rule, *(line(row) for row in cells)])


def _width(text: str) -> int:
    """Columns `text` takes on a terminal: Chinese characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(each) else 2 if unicodedata.east_asian_width(each) in "WF" else 1
               for each in text)
