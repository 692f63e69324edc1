"""The steps of a stage, with checkpoints, metrics and progress; it does not know what a stage is about."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from tutelage.console import console
from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.directory import Run
from tutelage.runs.meter import measuring, phase
from tutelage.runs.metrics import Best
from tutelage.runs.recorder import Recorder
from tutelage.runs.signals import Interrupted, Untouched, asked, finishing

CHECKPOINT_INTERVAL_S = 60.0      # a kill costs at most about this much work


class Stateful(Protocol):
    """Something a checkpoint holds."""

    def state(self) -> dict[str, Any]: ...

    def load_state(self, state: Mapping[str, Any]) -> None: ...


def steps(run: Run, parts: Mapping[str, Stateful], total: int, step: Callable[[int], Mapping[str, float]], label: str,
          *, shown: Sequence[str] = ("loss",), unit: str = "steps", interval_s: float | None = None,
          done: Callable[[], bool] = lambda: False, best: Best | None = None) -> None:
    """Call `step(i)` for i in 0 … total-1, going on from the last checkpoint, and keep what each returns as metrics, and
    beside it where its time went (`runs.speed`).

    A checkpoint of all `parts` is written every `interval_s` seconds (None: `CHECKPOINT_INTERVAL_S`); when it is written
    changes no number. The last state is kept too, so that a kill between the last step and the artifact repeats nothing.
    `best` names the metric by which one checkpoint is kept besides the newest; where it says `at_once`, each new best one.
    `done` ends the run before its last step: asked before each, of the state alone.

    Raises:
        Interrupted: after SIGTERM or SIGINT, when the step that was being made is finished and kept. A step that calls
            `signals.stop_if_asked` before it changes anything is left instead, and the state before it kept.
        DiskError: if the disk refuses a checkpoint or a metric; the last checkpoint stands.
    """
    interval_s = CHECKPOINT_INTERVAL_S if interval_s is None else interval_s
    checkpoints = DirectoryCheckpoints(run.checkpoints, best=best)
    run.note(steps=total)
    first = _go_on(checkpoints, parts, total, label)
    if first >= total or done():
        return

    def keep(made: int) -> None:
        with phase("checkpoint"):
            checkpoints.save(made, {name: part.state() for name, part in parts.items()}, metrics)

    recorder = Recorder(run, first)
    written = time.monotonic()      # never the time of day, which may be set back
    made = kept = first
    metrics: dict[str, float] = {}
    try:
        with finishing(), measuring() as meter, console.progress(label, total - first, unit) as bar:
            while made < total and not done():
                metrics = {name: value for name, value in step(made).items() if math.isfinite(value)}
                pace = recorder.log(made, metrics, meter.lap())
                made += 1
                bar.advance(1, **{name.rpartition("/")[2]: metrics[name] for name in shown if name in metrics}, **pace)
                due = made == total or done() or asked() is not None or time.monotonic() - written > interval_s
                if due or checkpoints.must_keep(metrics):
                    keep(made)
                    kept, written = made, time.monotonic()
                if (number := asked()) is not None:
                    raise _stopped(number, label, made, total, unit)
    except Untouched as stopped:
        if made > kept:
            keep(made)
        raise _stopped(stopped.number, label, made, total, unit) from None
    finally:
        recorder.close()
    recorder.tell(label)


def _go_on(checkpoints: DirectoryCheckpoints, parts: Mapping[str, Stateful], total: int, label: str) -> int:
    """Load the last checkpoint into `parts`, if there is one; how many steps it holds."""
    saved = checkpoints.latest()
    if saved is None:
        return 0
    first, state = saved
    for name, part in parts.items():
        part.load_state(state[name])
    console.print(f"{label}: going on after step {first} of {total}")
    return first


def _stopped(number: int, label: str, made: int, total: int, unit: str) -> Interrupted:
    return Interrupted(number, f"{label} is kept as it was after {made} of {total} {unit}")
