"""A Python function as a reward."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

from tutelage.errors import RewardError
from tutelage.records import Sample, Scores

Function = Callable[[Sequence[Sample]], Sequence[float]]


class CallableReward:
    """The `Score` of `function(samples) -> one float a sample`. What it raises is never turned into a number."""

    def __init__(self, function: Function, name: str = "") -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "reward")

    def score(self, samples: Sequence[Sample]) -> Scores:
        """
        Raises:
            RewardError: if the function raised, gave another number of scores, or one that is not finite.
        """
        try:
            given = [float(score) for score in self.function(samples)]
        except Exception as error:      # somebody else's code: whatever it raises, its author is told where
            raise RewardError(f"{self.name}() raised {type(error).__name__}: {error}. "
                              "Nothing was learned from this step.") from error
        if len(given) != len(samples):
            raise RewardError(f"{self.name}() returned {len(given)} scores for {len(samples)} samples; wanted one each.")
        bad = [i for i, score in enumerate(given) if score != score or abs(score) == float("inf")]
        if bad:
            raise RewardError(f"{self.name}() returned {given[bad[0]]} for {len(bad)} of {len(samples)} samples (first: "
                              f"{samples[bad[0]].id}). Return a finite number for every sample.")
        return Scores(total=tuple(given))


def load_callable(name: str) -> CallableReward:
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
        return CallableReward(getattr(module, function), function)
    except AttributeError:
        raise RewardError(f"{file} has no function {function!r}.") from None
    except Exception as error:
        raise RewardError(f"{file} cannot be run: {type(error).__name__}: {error}.") from error
