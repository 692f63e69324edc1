"""No second is told twice and none is lost, and nobody who does not measure pays for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tutelage.runs.meter import OTHER, Lap, Meter, count, is_measuring, measuring, phase


def ticking(*seconds: float) -> Callable[[], float]:
    """A clock that says these times, in order."""
    times: Iterator[float] = iter(seconds)
    return lambda: next(times)


def test_an_inner_phase_interrupts_the_outer_and_the_rest_is_other() -> None:
    meter = Meter(ticking(0, 1, 3, 7, 8, 10))
    with meter.phase("outer"):          # from 1
        with meter.phase("inner"):      # from 3 to 7
            pass
        meter.count(tokens=5)
    meter.count(tokens=2)               # the outer ended at 8
    lap = meter.lap()                   # at 10
    assert lap.seconds == {OTHER: 1 + 2, "outer": 2 + 1, "inner": 4} and sum(lap.seconds.values()) == 10
    assert lap.counts == {"tokens": 7}


def test_a_lap_begins_where_the_one_before_ended_and_an_open_phase_goes_on_in_it() -> None:
    meter = Meter(ticking(0, 1, 2, 5, 6))
    with meter.phase("a"):
        assert meter.lap().seconds == {OTHER: 1, "a": 1}
    assert meter.lap().seconds == {"a": 3, OTHER: 1}


def test_a_phase_that_fails_is_closed() -> None:
    meter = Meter(ticking(0, 1, 2, 4))
    with pytest.raises(ValueError), meter.phase("a"):
        raise ValueError
    assert meter.lap().seconds == {OTHER: 1 + 2, "a": 1}


def test_phases_and_counts_reach_the_one_who_measures_and_nobody_else() -> None:
    with phase("before"):
        count(tokens=1)
    assert not is_measuring()
    with measuring() as meter:
        assert is_measuring()
        with phase("inside"):
            count(tokens=3)
        lap = meter.lap()
    assert set(lap.seconds) == {OTHER, "inside"} and lap.counts == {"tokens": 3}
    assert not is_measuring()


def test_time_of_threads_beside_each_other_is_divided_as_they_say_and_told_once() -> None:
    meter = Meter(ticking(0, 1, 2, 10, 11, 11))
    with meter.phase("data"), meter.threads() as laps:      # from 1; the threads from 2 to 10
        laps += [Lap({"forward": 6.0, OTHER: 2.0}, {"flops": 3}), Lap({"forward": 4.0, "backward": 4.0}, {"flops": 5})]
    lap = meter.lap()
    assert lap.seconds == {OTHER: 1, "data": 1 + 1 + 1, "forward": 5, "backward": 2} and lap.counts == {"flops": 8}
