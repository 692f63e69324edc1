"""What people see: tables that line up, and progress that fits a log."""

from __future__ import annotations

import io
from typing import Any

import pytest

from tutelage.console import Console, duration, render_table


class Clock:
    """Moves only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_results_go_to_stdout_and_under_json_to_stderr(capsys: Any) -> None:
    out = Console()
    out.print("hello")
    out.warn("careful")
    assert capsys.readouterr() == ("hello\n", "warning: careful\n")
    out.json = True
    out.print("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_plain_progress_speaks_first_every_ten_seconds_and_last(capsys: Any) -> None:
    clock = Clock()
    with Console(clock).progress("sft", 100, "steps") as bar:
        for step in range(100):
            clock.now += 0.25                     # 100 steps in 25 s: 4 a second
            bar.advance(loss=2.0 - step / 100, phase="warm-up")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sft: 100 steps to do",
        "sft: 40/100 steps, 4 steps/s, 15 s left, loss 1.61, phase warm-up",
        "sft: 80/100 steps, 4 steps/s, 5.0 s left, loss 1.21, phase warm-up",
        "sft: 100/100 steps, 4 steps/s, loss 1.01, phase warm-up, took 25 s",
    ]


def test_plain_progress_without_a_total_counts(capsys: Any) -> None:
    clock = Clock()
    with Console(clock).progress("read", None, "rows") as bar:
        clock.now += 20
        bar.advance(10)
    assert capsys.readouterr().err.splitlines() == [
        "read: counting rows", "read: 10 rows, 0.5 rows/s", "read: 10 rows, 0.5 rows/s, took 20 s"]


def test_a_failure_inside_is_said_and_passed_on(capsys: Any) -> None:
    with pytest.raises(ValueError), Console(Clock()).progress("rl", 3) as bar:
        bar.advance()
        raise ValueError
    assert capsys.readouterr().err.splitlines()[-1] == "rl: 1/3 steps, stopped after 0.0 s"


def test_a_terminal_gets_a_bar_with_its_text_as_it_is(monkeypatch: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", terminal)
    for label in ("first [bold]", "second"):          # one after the other
        with Console().progress(label, 2) as bar:
            bar.advance(loss=1.25)
            bar.advance(loss=0.5)
    for words in ("first [bold]", "second", "2/2", "loss 0.5"):
        assert words in terminal.getvalue()


def test_tables_line_up_with_wide_characters_and_numbers_to_the_right() -> None:
    assert render_table("Scores", ["模型", "wins"], [["甲", 10], ["base", 3]]).splitlines() == [
        "Scores", "模型  wins", "----  ----", "甲      10", "base     3"]
    assert render_table("", ["a"], []) == "a\n-"
    assert "0.3333" in render_table("", ["x"], [[1 / 3]])


@pytest.mark.parametrize(("seconds", "text"), [
    (0.04, "0.0 s"), (9.94, "9.9 s"), (42.4, "42 s"), (59.7, "1 min 00 s"), (185, "3 min 05 s"), (8040, "2 h 14 min")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
