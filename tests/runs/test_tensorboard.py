"""TensorBoard reads what a run wrote, each step once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tutelage.runs import tensorboard
from tutelage.runs.directory import Run
from tutelage.runs.steps import steps


def events(run: Run) -> dict[str, list[tuple[int, float]]]:
    """As TensorBoard sees them: name -> (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run.path / tensorboard.FOLDER))
    found.Reload()
    return {name: [(each.step, each.value) for each in found.Scalars(name)] for name in found.Tags()["scalars"]}


class Counting:
    """A state whose steps can be told apart."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.made, self.stop_at = 0, stop_at

    def state(self) -> dict[str, Any]:
        return {"made": self.made}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.made = state["made"]

    def step(self, i: int) -> dict[str, float]:
        if i == self.stop_at:
            raise InterruptedError
        self.made += 1
        return {"loss": float(i * i), "train/kl": 0.5}


def test_metrics_and_speed_are_events_where_asked(begun: Callable[..., Run]) -> None:
    run = begun()
    with tensorboard.asked_for():
        steps(run, {"part": (part := Counting())}, 4, part.step, "test")
    found = events(run)
    assert found["loss"] == [(0, 0.0), (1, 1.0), (2, 4.0), (3, 9.0)] and [value for _, value in found["train/kl"]] == [0.5] * 4
    assert [step for step, _ in found["time/step_s"]] == [0, 1, 2, 3]


def test_nothing_is_written_where_nobody_asks(begun: Callable[..., Run]) -> None:
    run = begun()
    steps(run, {"part": (part := Counting())}, 2, part.step, "test")
    assert not (run.path / tensorboard.FOLDER).exists()


def test_a_run_that_goes_on_shows_no_step_twice_and_needs_no_second_asking(begun: Callable[..., Run]) -> None:
    run, first = begun(), Counting(stop_at=5)
    kept: list[int] = []
    with tensorboard.asked_for(), pytest.raises(InterruptedError):
        steps(run, {"part": first}, 3, first.step, "test", interval_s=1e9)      # the last state of a shorter run, as after a kill
        steps(run, {"part": first}, 8, first.step, "test", interval_s=1e9)
    second = Counting()
    steps(run, {"part": second}, 8, lambda i: (kept.append(i), second.step(i))[1], "test")
    assert kept == [3, 4, 5, 6, 7]
    found = events(run)
    assert found["loss"] == [(i, float(i * i)) for i in range(8)] and [step for step, _ in found["time/step_s"]] == list(range(8))
