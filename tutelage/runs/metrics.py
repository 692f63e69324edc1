"""Where metrics go: one JSON line a step; and which of them says what is best."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tutelage import disk

_END = 1 << 18      # bytes; many times the longest line


@dataclass(frozen=True, slots=True)
class Best:
    """Which checkpoint is the best one: by the metric of its last step."""

    metric: str
    higher: bool = True
    at_once: bool = False      # whether a new best one is written when it is found, not only when a checkpoint is due


class JsonLines:
    """Appends `{"step": n, …}` lines; what an interrupted run wrote after its last checkpoint is taken back first."""

    def __init__(self, path: Path, first_step: int) -> None:
        kept = [line for line in _lines(path) if line["step"] < first_step]
        draft = path.with_suffix(".draft")
        with disk.writing(path, "the last checkpoint stands"):
            draft.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            os.replace(draft, path)
        self._path = path
        self._file = open(path, "ab", buffering=0)      # noqa: SIM115 closed by close(), which then has nothing left to write

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        line = (json.dumps({"step": step, **metrics}) + "\n").encode()
        with disk.writing(self._path, "the last checkpoint stands"):
            if self._file.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self._file.close()


def read_metrics(path: Path) -> list[dict[str, float]]:
    """All lines of a run's metrics, in order."""
    return list(_lines(path))


def last_metrics(path: Path) -> dict[str, float]:
    """The last line that is whole, read from the file's end; empty where there is none."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - _END))
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return {}
    return next((read for line in reversed(lines) if line.endswith(b"\n") and (read := parse_line(line))), {})


def parse_line(line: str | bytes) -> dict[str, float] | None:
    """One line's step and metrics; None where it is damaged."""
    try:
        read = json.loads(line)
    except ValueError:
        return None
    return read if isinstance(read, dict) and isinstance(read.get("step"), int) else None


def metric_at(path: Path, step: int, name: str) -> float | None:
    """A metric of one step, from 0; None where it was not measured, or its line is lost."""
    return next((line.get(name) for line in _lines(path) if line["step"] == step), None)


def curve(path: Path, name: str) -> tuple[list[float], list[float]]:
    """Steps (from 1) and values of one metric."""
    points = [(line["step"] + 1, line[name]) for line in _lines(path) if name in line]
    return [step for step, _ in points], [value for _, value in points]


def _lines(path: Path) -> Iterator[dict[str, float]]:
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            read = json.loads(line)
        except ValueError:      # the last line of a killed process
            return
        if isinstance(read, dict) and isinstance(read.get("step"), int):      # else a damaged file: no number rests on it
            yield read
