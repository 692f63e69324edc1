"""A Python function as a reward.

    def score(samples): return [len(sample.text) for sample in samples]

    @per_sample
    def ask(sample): return my_judge(sample.text)       asked for several samples at once, each with its own time limit
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tutelage.errors import RewardError
from tutelage.records import Sample, Scores
from tutelage.rewards.outcomes import Failed, in_threads, settle
from tutelage.scoring import Scoring

Function = Callable[[Sequence[Sample]], Sequence[float | None]]
_MARK = "takes_one_sample"


def per_sample(function: Callable[[Sample], float | None]) -> Any:
    """Marks a reward that takes one sample and gives its number, so that samples can be asked for side by side."""
    setattr(function, _MARK, True)
    return function


class CallableReward:
    """The `Score` of `function(samples) -> one float a sample`. What it raises is never turned into a number.

    It runs in a thread, so that one that hangs can be given up: after `timeout_s` seconds a sample.
    """

    def __init__(self, function: Function, name: str = "", scoring: Scoring | None = None) -> None:
        self.function, self.scoring = function, scoring or Scoring()
        self.name = name or getattr(function, "__name__", "reward")

    def score(self, samples: Sequence[Sample]) -> Scores:
        """
        Raises:
            RewardError: if the function raised, gave another number of scores, or one that is not finite.
        """
        s = self.scoring
        if getattr(self.function, _MARK, False):
            outcomes = in_threads(self._one, samples, s.at_once, s.timeout_s, stop=s.on_error == "stop")
            return settle(f"{self.name}()", outcomes, samples, s.on_error)
        return settle(f"{self.name}()", self._together(samples), samples, s.on_error)

    def _one(self, sample: Sample) -> float | None:
        given: Any = self.function(sample)      # type: ignore[arg-type]
        return None if given is None else float(given)

    def _together(self, samples: Sequence[Sample]) -> list[float | Failed | None]:
        """One call for all; where samples may be skipped, those that make it raise are left out and the rest asked again."""
        failed: dict[int, Failed] = {}
        while len(failed) < len(samples):
            rest = [i for i in range(len(samples)) if i not in failed]
            given = self._call([samples[i] for i in rest])
            if isinstance(given, list):
                answers = dict(zip(rest, given, strict=True))
                return [failed[i] if i in failed else answers[i] for i in range(len(samples))]
            at, failure = given
            if at is None or self.scoring.on_error == "stop":
                where = "" if at is None else f" at sample {samples[rest[at]].id}"
                raise RewardError(f"{self.name}() {failure.reason}{where}. Nothing was learned from this step. "
                                  f"{failure.remedy}".rstrip()) from failure.error
            failed[rest[at]] = failure
        return list(failed.values())

    def _call(self, samples: Sequence[Sample]) -> list[float | None] | tuple[int | None, Failed]:
        """Its numbers, or what went wrong and at which place, if that can be seen."""
        def call(_: None) -> list[float | None]:
            return [None if each is None else float(each) for each in self.function(samples)]
        given, = in_threads(call, [None], 1, self.scoring.timeout_s * len(samples))
        if isinstance(given, Failed):
            return _at_work_on(given.error, samples), given
        if len(given) != len(samples):
            return None, Failed(f"returned {len(given)} scores for {len(samples)} samples; wanted one each")
        return given


def _at_work_on(error: BaseException | None, samples: Sequence[Sample]) -> int | None:
    """The place of the sample that an exception is about: what a variable held, in the innermost frame where one did."""
    found, trace = None, error.__traceback__ if error is not None else None
    places = {id(sample): i for i, sample in enumerate(samples)}
    while trace is not None:
        held = [places[id(value)] for value in trace.tb_frame.f_locals.values() if id(value) in places]
        found = held[-1] if held else found
        trace = trace.tb_next
    return found


def load_callable(name: str, scoring: Scoring | None = None) -> CallableReward:
    """The function that `file.py:function` names.

    Raises:
        RewardError: if the file or the function is not there, or the file cannot be run.
    """
    file, _, function = name.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise RewardError(f"no file {file!r} for the reward {name!r}; wanted file.py:function.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise RewardError(f"{file} cannot be run: {type(error).__name__}: {error}.") from error
    if not callable(found := getattr(module, function, None)):
        raise RewardError(f"{file} has no function {function!r}.")
    return CallableReward(found, function, scoring)
