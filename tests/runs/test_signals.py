"""A signal ends a run where its state is whole: the step is finished and kept, then one line and 128 + its number."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tutelage.runs.checkpoint import DirectoryCheckpoints
from tutelage.runs.directory import Run
from tutelage.runs.metrics import read_metrics
from tutelage.runs.signals import Interrupted, asked, finishing, interruptible, stop_if_asked
from tutelage.runs.steps import steps


class Sum:
    """A state that shows which steps were made: the sum of 2^i."""

    def __init__(self) -> None:
        self.made = 0

    def state(self) -> dict[str, Any]:
        return {"made": self.made}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.made = state["made"]

    def step(self, i: int) -> dict[str, float]:
        self.made += 2**i
        return {"loss": 1.0}


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """SIGINT as a terminal has it, also where the tests were begun in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_in_the_middle_of_a_step_lets_it_finish_and_keeps_it(number: int, code: int, begun: Callable[..., Run],
                                                                     capfd: pytest.CaptureFixture[str]) -> None:
    run, part = begun(), Sum()

    def step(i: int) -> dict[str, float]:
        if i == 3:
            send(number)
        return part.step(i)

    with pytest.raises(Interrupted, match=r"Teaching is kept as it was after 4 of 9 rounds\. The same command") as stopped:
        steps(run, {"sum": part}, 9, step, "Teaching", unit="rounds", interval_s=1e9)
    assert stopped.value.exit_code == code
    assert DirectoryCheckpoints(run.checkpoints).latest() == (4, {"sum": {"made": 0b1111}})
    assert [line["step"] for line in read_metrics(run.metrics)] == [0, 1, 2, 3]
    assert "finishing this step" in capfd.readouterr().err
    again = Sum()
    steps(run, {"sum": again}, 9, again.step, "Teaching")
    assert again.made == 2**9 - 1


def test_a_second_signal_does_not_wait_and_keeps_no_half_step(begun: Callable[..., Run]) -> None:
    run, part = begun(), Sum()

    def step(i: int) -> dict[str, float]:
        part.made += 2**i
        if i == 3:
            send(signal.SIGINT)
            send(signal.SIGINT)
            raise AssertionError("the second signal was waited for")
        return {}

    with pytest.raises(Interrupted, match="what was complete is kept"):
        steps(run, {"sum": part}, 9, step, "Teaching", interval_s=0.0)
    assert DirectoryCheckpoints(run.checkpoints).latest() == (3, {"sum": {"made": 0b111}})


def test_a_step_that_has_changed_nothing_is_left_at_once(begun: Callable[..., Run]) -> None:
    run, part = begun(), Sum()

    def step(i: int) -> dict[str, float]:
        if i == 2:
            send(signal.SIGTERM)
            stop_if_asked()
            raise AssertionError("the step went on")
        return part.step(i)

    with pytest.raises(Interrupted, match="after 2 of 9 steps"):
        steps(run, {"sum": part}, 9, step, "Drawing", interval_s=1e9)
    assert DirectoryCheckpoints(run.checkpoints).latest() == (2, {"sum": {"made": 0b11}})


def test_a_run_that_is_done_early_keeps_its_last_state_and_makes_no_step_again(begun: Callable[..., Run]) -> None:
    run, part = begun(), Sum()
    steps(run, {"sum": part}, 9, part.step, "Writing", interval_s=1e9, done=lambda: part.made >= 0b111)
    assert part.made == 0b111
    again = Sum()
    steps(run, {"sum": again}, 9, again.step, "Writing", done=lambda: again.made >= 0b111)
    assert again.made == 0b111


def test_outside_a_step_a_signal_raises_at_once_and_handlers_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(Interrupted) as stopped, interruptible():
        send(signal.SIGTERM)
        raise AssertionError("the signal was not seen")
    assert stopped.value.exit_code == 143
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_signal_that_is_to_be_ignored_stays_ignored() -> None:
    """`nohup` and a shell's `&` start a process with SIGINT or SIGHUP ignored; who asked for that means it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with finishing():
            send(signal.SIGINT)
            assert asked() is None
            send(signal.SIGTERM)
            assert asked() == signal.SIGTERM
        assert asked() is None
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_may_make_steps(begun: Callable[..., Run]) -> None:
    """Only the main thread may set handlers: a stage that is run in a thread of a service goes without."""
    run, part = begun(), Sum()
    thread = threading.Thread(target=lambda: steps(run, {"sum": part}, 3, part.step, "Teaching"))
    thread.start()
    thread.join(60)
    assert part.made == 0b111
