"""Metrics hold each step once, however often a run was interrupted (open-instruct#1523: replayed data)."""

from __future__ import annotations

from pathlib import Path

from tutelage.runs.metrics import JsonLines, curve, metric_at, read_metrics


def write(path: Path, first: int, last: int, loss: float) -> None:
    lines = JsonLines(path, first)
    for step in range(first, last):
        lines.log(step, {"loss": loss})
    lines.close()


def test_what_came_after_the_checkpoint_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 0, 5, loss=1.0)
    write(path, 3, 6, loss=2.0)
    assert [(line["step"], line["loss"]) for line in read_metrics(path)] == \
        [(0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]


def test_half_a_line_of_a_killed_process_is_no_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    write(path, 0, 2, loss=1.0)
    with open(path, "a") as file:
        file.write('{"step": 2, "lo')
    assert len(read_metrics(path)) == 2
    write(path, 2, 3, loss=3.0)
    assert [line["loss"] for line in read_metrics(path)] == [1.0, 1.0, 3.0]


def test_a_curve_counts_steps_from_one_and_skips_where_there_is_no_value(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = JsonLines(path, 0)
    for step, metrics in enumerate(({"a": 1.0}, {"b": 2.0}, {"a": 3.0})):
        lines.log(step, metrics)
    lines.close()
    assert curve(path, "a") == ([1, 3], [1.0, 3.0])
    assert curve(tmp_path / "none.jsonl", "a") == ([], [])


def test_lines_that_are_no_metrics_are_no_lines(tmp_path: Path) -> None:
    """A damaged file must not end a run that needs none of its numbers."""
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'3\n{"stfp": 0}\n{"step": "0"}\n{"step": 1, "loss": 2.0, "n": "\xff"}\n')
    assert [line["step"] for line in read_metrics(path)] == [1]
    assert metric_at(path, 1, "loss") == 2.0
    assert metric_at(path, 1, "lr") is metric_at(path, 0, "loss") is metric_at(tmp_path / "none.jsonl", 0, "loss") is None
