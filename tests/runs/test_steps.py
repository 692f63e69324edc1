"""Ten steps are five and five (research E: resume replays or skips data)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from tutelage.runs import steps as steps_module
from tutelage.runs.directory import Run
from tutelage.runs.metrics import read_metrics
from tutelage.runs.steps import steps


class Walk:
    """A state in which every step matters: a logistic map."""

    def __init__(self) -> None:
        self.x = torch.tensor(0.3)

    def state(self) -> dict[str, Any]:
        return {"x": self.x}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.x = state["x"]

    def step(self, i: int) -> dict[str, float]:
        self.x = 3.9 * self.x * (1 - self.x) + 0.001 * i
        return {"loss": float(self.x)}


def stopping(walk: Walk, at: int) -> Callable[[int], dict[str, float]]:
    def step(i: int) -> dict[str, float]:
        if i == at:
            raise InterruptedError
        return walk.step(i)
    return step


def test_ten_steps_are_five_and_five(begun: Callable[..., Run]) -> None:
    whole, wanted = Walk(), []
    for i in range(10):
        wanted.append(whole.step(i)["loss"])
    run = begun()
    with pytest.raises(InterruptedError):
        steps(run, {"walk": (first := Walk())}, 10, stopping(first, 5), "test", interval_s=0.0)
    second = Walk()
    steps(run, {"walk": second}, 10, second.step, "test")
    assert torch.equal(second.x, whole.x)
    assert [line["loss"] for line in read_metrics(run.metrics)] == wanted


def test_steps_after_the_last_checkpoint_are_made_again(begun: Callable[..., Run]) -> None:
    run, first = begun(), Walk()
    with pytest.raises(InterruptedError):      # killed before any checkpoint
        steps(run, {"walk": first}, 10, stopping(first, 5), "test", interval_s=1e9)
    made: list[int] = []
    second = Walk()
    steps(run, {"walk": second}, 10, lambda i: (made.append(i), second.step(i))[1], "test")
    assert made == list(range(10)) and [line["step"] for line in read_metrics(run.metrics)] == made


def test_the_last_state_is_kept_so_that_nothing_is_repeated_until_the_artifact_is_made(begun: Callable[..., Run]) -> None:
    run, walk = begun(), Walk()
    steps(run, {"walk": walk}, 3, walk.step, "test")
    again = Walk()
    steps(run, {"walk": again}, 3, stopping(again, 0), "test")      # no step is made
    assert torch.equal(again.x, walk.x)
    run.finish()
    assert not run.checkpoints.exists() and run.metrics.exists()


def test_the_interval_is_read_when_a_run_starts(begun: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps_module, "CHECKPOINT_INTERVAL_S", 0.0)
    run, walk = begun(), Walk()
    with pytest.raises(InterruptedError):
        steps(run, {"walk": walk}, 3, stopping(walk, 2), "test")
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-00000001", "step-00000002"]


def test_a_number_that_is_none_is_left_out_of_the_metrics(begun: Callable[..., Run]) -> None:
    run = begun()
    steps(run, {}, 1, lambda i: {"loss": 1.0, "explained_variance": float("nan")}, "test")
    assert read_metrics(run.metrics) == [{"step": 0, "loss": 1.0}]
