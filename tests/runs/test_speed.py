"""What a run says of its speed: rates by hand, totals over steps, and nothing of it among the metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tutelage.runs.directory import Run, read_record
from tutelage.runs.meter import Lap, count, phase
from tutelage.runs.metrics import read_metrics
from tutelage.runs.plan import peak_bytes
from tutelage.runs.speed import describe, read_speed, summarize
from tutelage.runs.steps import steps

SFT = Lap({"data": 0.5, "forward": 1.0, "backward": 2.0, "optimizer": 0.25, "other": 0.25}, {"tokens": 800, "flops": 6e12})


def test_tokens_and_products_are_counted_over_the_whole_of_learning() -> None:
    line = describe(SFT, 3.0)
    assert line["speed/tokens_per_s"] == 200 and line["speed/ceiling_share"] == 0.5 and line["time/step_s"] == 4.0
    assert {line[f"time/{name}_s"] for name in ("forward", "other")} == {1.0, 0.25} and line["work/tflop"] == 6.0
    assert 0 < line["memory/resident_gb"] <= line["memory/peak_gb"] <= peak_bytes() / 1e9
    assert "speed/ceiling_share" not in describe(SFT, None)


def test_what_only_prepares_or_keeps_a_step_does_not_slow_its_learning_down() -> None:
    line = describe(Lap({**SFT.seconds, "sampling": 10.0, "checkpoint": 5.0}, {**SFT.counts, "sampled": 50}), 3.0)
    assert (line["speed/tokens_per_s"], line["speed/sampled_tokens_per_s"], line["time/step_s"]) == (200, 5.0, 19.0)


def test_a_step_without_learning_has_no_speed() -> None:
    line = describe(Lap({"other": 1.0}, {}), 3.0)
    assert not any(name.startswith(("speed", "work")) for name in line)


def test_a_summary_is_of_totals_not_a_mean_of_rates() -> None:
    slow = Lap({"forward": 6.0, "other": 0.0}, {"tokens": 400, "flops": 3e12})
    lines = [{"step": step, **describe(lap, 3.0)} for step, lap in enumerate((SFT, slow))]
    summary = summarize(lines, {"ceiling_tflops": 3.0, "plan": {"peak_memory_bytes": 2_500_000_000}})
    assert summary is not None
    assert summary.tokens_per_s == 120 and summary.ceiling_share == pytest.approx(0.3) and summary.seconds == 10
    assert list(summary.shares.items())[:2] == [("forward", 0.7), ("backward", 0.2)]
    said = summary.sentence()
    assert "120 tokens/s, 30.0% of the matrix-product ceiling" in said and "forward 70.0%" in said and "2.5 GB planned" in said
    assert summarize([], {}) is None


def test_every_step_of_a_run_says_where_its_time_went_and_its_metrics_say_no_time(begun: Callable[..., Run], capsys: Any) -> None:
    run = begun()
    run.note(ceiling_tflops=0.5)

    def step(i: int) -> dict[str, float]:
        with phase("forward"):
            count(tokens=10, flops=1e6)
        return {"loss": 1.0}

    steps(run, {}, 3, step, "Test")
    lines = read_speed(run.path)
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert all({"time/forward_s", "time/other_s", "speed/tokens_per_s", "speed/ceiling_share"} <= set(line) for line in lines)
    assert "time/checkpoint_s" not in lines[0]
    assert read_metrics(run.metrics) == [{"step": i, "loss": 1.0} for i in range(3)]
    told = capsys.readouterr()
    assert "tokens/s" in told.err and "Test: " in told.out and "of the matrix-product ceiling; time: " in told.out
    assert read_record(run.path)["ceiling_tflops"] == 0.5


def test_a_run_that_goes_on_has_each_step_once(begun: Callable[..., Run]) -> None:
    run = begun()

    def stopping(i: int) -> dict[str, float]:
        if i == 3:
            raise InterruptedError
        return {"loss": 0.0}

    with pytest.raises(InterruptedError):
        steps(run, {}, 5, stopping, "test", interval_s=1e9)
    assert len(read_speed(run.path)) == 3
    steps(run, {}, 5, lambda i: {"loss": 0.0}, "test", interval_s=0.0)
    assert [line["step"] for line in read_speed(run.path)] == [0, 1, 2, 3, 4]
    assert "time/checkpoint_s" in read_speed(run.path)[-1]
