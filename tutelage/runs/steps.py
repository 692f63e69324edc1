"""The steps of a stage, with checkpoints, metrics and progress; it does not know what a stage is about."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tutelage.console import console
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.directory import Run
from tutelage.runs.metrics import JsonLines

CHECKPOINT_INTERVAL_S = 60.0      # a kill costs at most about this much work


class Stateful(Protocol):
    """Something a checkpoint holds."""

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: Mapping[str, Any]) -> None: ...


def steps(run: Run, parts: Mapping[str, Stateful], total: int, step: Callable[[int], Mapping[str, float]], label: str,
          *, shown: Sequence[str] = ("loss",), unit: str = "steps", interval_s: float | None = None) -> None:
    """Call `step(i)` for i in 0 … total-1, going on from the last checkpoint, and keep what each returns as metrics.

    A checkpoint of all `parts` is written every `interval_s` seconds (None: `CHECKPOINT_INTERVAL_S`); when it is written
    changes no number. The last state is kept too, so that a kill between the last step and the artifact repeats nothing.
    """
    interval_s = CHECKPOINT_INTERVAL_S if interval_s is None else interval_s
    checkpoints = DirectoryCheckpoints(run.checkpoints)
    saved = checkpoints.latest()
    first = 0
    if saved is not None:
        first, state = saved
        for name, part in parts.items():
            part.load_state(state[name])
        console.print(f"{label}: going on after step {first} of {total}")
    if first >= total:
        return
    tracker = JsonLines(run.metrics, first)
    written = time.monotonic()
    try:
        with console.progress(label, total - first, unit) as bar:
            for i in range(first, total):
                metrics = {name: value for name, value in step(i).items() if math.isfinite(value)}
                tracker.log(i, metrics)
                bar.advance(1, **{name.rpartition("/")[2]: metrics[name] for name in shown if name in metrics})
                if time.monotonic() - written > interval_s or i + 1 == total:
                    checkpoints.save(i + 1, {name: part.state() for name, part in parts.items()})
                    written = time.monotonic()
    finally:
        tracker.close()
