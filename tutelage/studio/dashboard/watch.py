"""What is new in the project's runs since the last look. One reader of files, however many people look on."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tutelage.project import Project
from tutelage.runs.directory import RECORD
from tutelage.runs.metrics import parse_line
from tutelage.runs.speed import FILE as SPEED

LINES = ("metrics.jsonl", SPEED)
SAMPLES = "samples.jsonl"
MOST_BYTES = 1 << 20      # of a file at one look; what is further behind is read whole by whoever needs it
MOST_LINES = 100          # in one event
STANDING_S = 5.0          # how often it is asked who is at work

Stamp = tuple[int, int, int]      # inode, size, time of the last change


@dataclass(frozen=True, slots=True)
class Event:
    """`run` is "" where it may concern any. What comes, by `kind`:

        lines      of metrics or of speed, in `data["lines"]`: each with its step, from 0
        rewritten  the run went on from an earlier step, or much was added at once: read it anew
        samples    the run drew samples of what it learned
        standing   a run was begun, went on, ended, or made its artifact
    """

    kind: str
    run: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


class Watch:
    """The first look tells nothing: it is where everybody starts from. Not to be called by two threads at once."""

    def __init__(self, project: Project, clock: Callable[[], float] = time.monotonic) -> None:
        self._project, self._clock = project, clock
        self._ends: dict[Path, tuple[int, int]] = {}      # file -> inode, and up to where its lines were told
        self._stamps: dict[Path, Stamp] = {}
        self._standing: tuple[Any, ...] = ()
        self._asked = -math.inf
        self._looked = False

    def look(self) -> list[Event]:
        """What happened since the last call, in an order that makes sense of it."""
        found = list(self._changes())
        first, self._looked = not self._looked, True
        return [] if first else found

    def _changes(self) -> Iterator[Event]:
        there = {path.parent for path in self._project.runs.glob(f"*/{RECORD}")}
        standing = self._stands(there)
        if standing != self._standing:
            self._standing = standing
            yield Event("standing")
        for run in sorted(there):
            for name in LINES:
                yield from self._lines(run, run / name)
            if self._has_changed(run / SAMPLES):
                yield Event("samples", run.name)
        for known in (self._ends, self._stamps):
            for path in [path for path in known if path.parent not in there]:
                known.pop(path)

    def _stands(self, there: set[Path]) -> tuple[Any, ...]:
        """What the states of all runs depend on; it changes when one of them does."""
        files = (self._project.ledger_path, *(run / RECORD for run in sorted(there)))
        now, at_work = self._clock(), self._standing[-1] if self._standing else None
        if now - self._asked >= STANDING_S:
            self._asked, at_work = now, self._project.at_work()
        return (*(_stamp(path) for path in files), at_work)

    def _has_changed(self, path: Path) -> bool:
        stamp = _stamp(path)
        if stamp is None or stamp == self._stamps.get(path):
            return False
        self._stamps[path] = stamp
        return True

    def _lines(self, run: Path, path: Path) -> Iterator[Event]:
        if not self._has_changed(path):
            return
        try:
            file = open(path, "rb")      # noqa: SIM115 closed by the block below
        except OSError:                  # it was there a moment ago
            return
        with file:
            stat = os.fstat(file.fileno())
            inode, end = self._ends.get(path, (stat.st_ino, 0))
            if not self._looked or inode != stat.st_ino or stat.st_size < end or stat.st_size - end > MOST_BYTES:
                self._ends[path] = stat.st_ino, _last_line_end(file, stat.st_size)
                yield Event("rewritten", run.name)
                return
            file.seek(end)
            new = file.read(stat.st_size - end)
        whole = new[: new.rfind(b"\n") + 1]
        self._ends[path] = stat.st_ino, end + len(whole)
        lines = [_finite(line) for each in whole.splitlines() if (line := parse_line(each))]
        for start in range(0, len(lines), MOST_LINES):
            yield Event("lines", run.name, {"lines": lines[start:start + MOST_LINES]})


def _stamp(path: Path) -> Stamp | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _last_line_end(file: Any, size: int) -> int:
    """Where the last whole line ends."""
    start = max(0, size - MOST_BYTES)
    file.seek(start)
    at = file.read(size - start).rfind(b"\n")
    return start + at + 1 if at >= 0 else start


def _finite(line: Mapping[str, Any]) -> dict[str, float]:
    return {name: value for name, value in line.items() if isinstance(value, int | float) and math.isfinite(value)}
