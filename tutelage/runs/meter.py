"""Where a run's time goes and what work it does: phases on a stopwatch, and counts.

    with measuring() as meter:              what `runs.steps` does around a stage
        with phase("forward"): …            anywhere below it; costs a microsecond, and nothing is kept outside `measuring`
        count(tokens=512)
        meter.lap()                         what passed since the lap before

Time only ever leaves through a lap: no number that trains reads it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

OTHER = "other"      # time that no phase claims


@dataclass(frozen=True, slots=True)
class Lap:
    """Seconds by phase, `OTHER` among them, together the whole lap; and what was counted."""

    seconds: Mapping[str, float]
    counts: Mapping[str, float]


class Meter:
    """A stopwatch with phases. An inner phase interrupts the outer one, so that no second is told twice."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._since = clock()
        self._open: list[str] = []
        self._seconds: dict[str, float] = {}
        self._counts: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._settle()
        self._open.append(name)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()

    @contextmanager
    def threads(self) -> Iterator[list[Lap]]:
        """Time inside it is divided as the laps say of threads beside each other say, which these put into the list; what they
        count is added."""
        self._settle()
        laps: list[Lap] = []
        yield laps
        now = self._clock()
        total = sum(sum(lap.seconds.values()) for lap in laps)
        for lap in laps if total > 0 else ():
            for name, seconds in lap.seconds.items():
                ours = self._open[-1] if name == OTHER and self._open else name   # what no thread claims is the phase's around it
                self._seconds[ours] = self._seconds.get(ours, 0.0) + (now - self._since) * seconds / total
            self.count(**lap.counts)
        self._since = now if total > 0 else self._since

    def count(self, **amounts: float) -> None:
        for name, amount in amounts.items():
            self._counts[name] = self._counts.get(name, 0.0) + amount

    def lap(self) -> Lap:
        """What passed since the lap before, or since the meter was made; a phase that is open goes on in the next."""
        self._settle()
        lap = Lap(self._seconds, self._counts)
        self._seconds, self._counts = {}, {}
        return lap

    def _settle(self) -> None:
        """Give the time since the last change to the phase that it was spent in."""
        now = self._clock()
        name = self._open[-1] if self._open else OTHER
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._since
        self._since = now


_current: ContextVar[Meter | None] = ContextVar("meter", default=None)


@contextmanager
def measuring() -> Iterator[Meter]:
    """Inside it `phase` and `count` reach the meter it gives."""
    token = _current.set(meter := Meter())
    try:
        yield meter
    finally:
        _current.reset(token)


@contextmanager
def phase(name: str) -> Iterator[None]:
    """Time inside it belongs to `name`, where anybody is measuring."""
    meter = _current.get()
    if meter is None:
        yield
        return
    with meter.phase(name):
        yield


@contextmanager
def threads() -> Iterator[list[Lap] | None]:
    """As `Meter.threads`, where anybody is measuring: a thread of its own measures, and puts its lap into the list."""
    meter = _current.get()
    if meter is None:
        yield None
        return
    with meter.threads() as laps:
        yield laps


def is_measuring() -> bool:
    """Whether a count would be kept: ask before one that costs something."""
    return _current.get() is not None


def count(**amounts: float) -> None:
    """Add to what the step did, where anybody is measuring."""
    meter = _current.get()
    if meter is not None:
        meter.count(**amounts)
