"""Somebody else's function: what it raises, returns or never returns is told with the sample's name, and is no number."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import RewardError
from tutelage.records import Sample
from tutelage.rewards.callables import CallableReward, load_callable, per_sample
from tutelage.rewards.outcomes import Failed, in_threads
from tutelage.runs.signals import Untouched, finishing
from tutelage.scoring import Scoring

Say = Callable[..., Sample]


@pytest.fixture
def four(sample: Say) -> list[Sample]:
    return [sample("p", text, f"s{i}") for i, text in enumerate(("aa", "b", "cccc", "ddd"))]


def length(samples: Sequence[Sample]) -> list[float]:
    return [float(len(sample.text)) for sample in samples]


def test_a_function_gives_one_number_a_sample(four: list[Sample]) -> None:
    scores = CallableReward(length).score(four)
    assert scores.total == (2.0, 1.0, 4.0, 3.0) and not scores.skipped


def broken_at_c(samples: Sequence[Sample]) -> list[float]:
    return [1.0 / (len(sample.text) - 4) for sample in samples]


@pytest.mark.parametrize(("function", "said"), [
    (broken_at_c, r"broken_at_c\(\) raised ZeroDivisionError: float division by zero at sample s2"),
    (lambda samples: [1.0, float("nan"), 1.0, None], r"returned nan for 2 of 4 samples \(first: s1\)"),
    (lambda samples: [1.0, 2.0, float("-inf"), 1.0], r"returned -inf for 1 of 4 samples \(first: s2\)"),
    (lambda samples: [None, 2.0, 3.0, 1.0], r"returned nothing for 1 of 4 samples \(first: s0\)"),
    (lambda samples: [1.0], r"returned 1 scores for 4 samples; wanted one each"),
    (lambda samples: ["much"] * 4, "raised ValueError: could not convert"),
    (lambda samples: 1 / 0, "raised ZeroDivisionError: division by zero. Nothing was learned"),
])
def test_a_failure_names_its_sample_and_is_never_a_number(four: list[Sample], function: Any, said: str) -> None:
    """verifiers: any exception in a reward function became 0.0, so that a bug trained the model."""
    with pytest.raises(RewardError, match=said):
        CallableReward(function).score(four)


def test_where_it_was_declared_failures_are_skipped_and_the_rest_keeps_its_scores(four: list[Sample]) -> None:
    skip = Scoring(on_error="skip")
    scores = CallableReward(broken_at_c, scoring=skip).score(four)
    assert set(scores.skipped) == {2} and "ZeroDivisionError" in scores.skipped[2]
    assert scores.total[0] == -0.5 and scores.total[2] != scores.total[2] and scores.total[3] == -1.0
    scores = CallableReward(lambda samples: [1.0, float("nan"), None, 2.0], scoring=skip).score(four)
    assert set(scores.skipped) == {1, 2} and (scores.total[0], scores.total[3]) == (1.0, 2.0)
    with pytest.raises(RewardError, match="raised ZeroDivisionError"):      # nobody knows whose fault it was
        CallableReward(lambda samples: 1 / 0, scoring=skip).score(four)


def test_a_function_that_hangs_is_given_up_and_said_where_it_stands(four: list[Sample]) -> None:
    """verl#6673, open-r1#134: a reward that hangs looks like a deadlock of something else."""
    ended = threading.Event()

    def stuck(samples: Sequence[Sample]) -> list[float]:
        ended.wait(60)
        return length(samples)

    with pytest.raises(RewardError, match=r"stuck\(\) did not answer in 0.4 s \(it is at line \d+ of "):
        CallableReward(stuck, scoring=Scoring(timeout_s=0.1)).score(four)
    ended.set()


def test_samples_are_asked_side_by_side_within_bounds_and_keep_their_order(four: list[Sample]) -> None:
    at_work, most = [0], [0]
    lock = threading.Lock()

    @per_sample
    def slow(sample: Sample) -> float:
        with lock:
            at_work[0] += 1
            most[0] = max(most[0], at_work[0])
        time.sleep(0.05)
        with lock:
            at_work[0] -= 1
        return float(len(sample.text))

    scores = CallableReward(slow, scoring=Scoring(at_once=2)).score(four * 3)
    assert scores.total == (2.0, 1.0, 4.0, 3.0) * 3 and most[0] == 2


def test_one_sample_that_hangs_or_raises_is_that_samples_trouble_alone(four: list[Sample]) -> None:
    ended = threading.Event()

    @per_sample
    def picky(sample: Sample) -> float:
        if sample.id == "s1":
            ended.wait(60)
        if sample.id == "s3":
            raise KeyError("no such thing")
        return 1.0

    scores = CallableReward(picky, scoring=Scoring(on_error="skip", timeout_s=2.0)).score(four)
    assert set(scores.skipped) == {1, 3} and "did not answer in 2 s" in scores.skipped[1]
    assert scores.total[0] == scores.total[2] == 1.0
    with pytest.raises(RewardError, match=r"first: s\d"):
        CallableReward(picky, scoring=Scoring(timeout_s=2.0)).score(four)
    ended.set()


def test_calls_that_hang_do_not_pile_up() -> None:
    ended = threading.Event()
    with pytest.raises(RewardError, match=r"\d calls did not answer"):
        in_threads(lambda _: ended.wait(60), range(50), 2, 0.1)
    ended.set()


def test_a_signal_ends_the_waiting() -> None:
    ended = threading.Event()

    def ask(_: int) -> None:
        signal.raise_signal(signal.SIGTERM)
        ended.wait(60)
    with finishing(), pytest.raises(Untouched):
        in_threads(ask, [0], 1, 0)
    ended.set()


def test_after_a_failure_that_stops_nothing_more_is_asked() -> None:
    asked: list[int] = []

    def ask(i: int) -> int:
        asked.append(i)
        return 1 // (i - 2)
    found = in_threads(ask, range(50), 1, 0, stop=True)
    assert asked == [0, 1, 2] and isinstance(found[2], Failed) and found[0] == -1


def test_a_file_and_its_function(tmp_path: Path, four: list[Sample]) -> None:
    path = tmp_path / "rewards.py"
    path.write_text("def score(samples):\n    return [len(sample.text) for sample in samples]\n\nother = 3\n")
    assert load_callable(f"{path}:score").score(four).total == (2.0, 1.0, 4.0, 3.0)
    for name, said in ((f"{path}:gone", "has no function 'gone'"), (f"{path}:other", "has no function 'other'"),
                       (f"{tmp_path}/none.py:score", "no file")):
        with pytest.raises(RewardError, match=said):
            load_callable(name)
    path.write_text("import nothing_of_that_name\n")
    with pytest.raises(RewardError, match="cannot be run: ModuleNotFoundError"):
        load_callable(f"{path}:score")
