"""The seams between rooms, each with an in-process implementation named beside it (D1, D18)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from tutelage.records import Prompt, Sample, Sampling, Scores


@runtime_checkable
class Generate(Protocol):
    """Draws responses. In process: `generation.engine.Engine`."""

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, per_prompt: int = 1) -> list[Sample]:
        """`per_prompt` samples for each prompt, grouped by prompt, in order."""
        ...


@runtime_checkable
class Score(Protocol):
    """Judges samples. In process: `rewards.model.RewardScorer`, `rewards.callables.CallableReward`."""

    def score(self, samples: Sequence[Sample]) -> Scores: ...


@runtime_checkable
class ChecksPrompts(Protocol):
    """A `Score` that needs something of a prompt, such as its wanted response, and looks for it before a run begins."""

    def check(self, prompts: Sequence[Prompt]) -> None:
        """Raises RewardError, naming the first prompt that lacks it."""
        ...


@runtime_checkable
class Publish(Protocol):
    """Hands new weights to whoever generates. In process: `training.optimizer.Masters`, whose module the engine reads."""

    def publish(self) -> None: ...


class Ranks(Protocol):
    """The processes of a run. In process: `OneRank`; several: `scaling.ranks.ProcessRanks`."""

    rank: int
    size: int

    def sum(self, values: Sequence[float]) -> list[float]:
        """Element-wise over all ranks, the same answer on each."""
        ...


class OneRank:
    rank = 0
    size = 1

    def sum(self, values: Sequence[float]) -> list[float]:
        return list(values)


class Checkpoints(Protocol):
    """Where a run keeps its state. In process: `runs.checkpoint.DirectoryCheckpoints`."""

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """All of `state` or nothing: a reader never sees half of it."""
        ...

    def latest(self) -> tuple[int, dict[str, Any]] | None: ...


class Environment(Protocol):
    """A conversation with turns; a single turn is the case of one step. In process: `rl.environments.SingleTurn`."""

    def reset(self, prompt: Prompt) -> Prompt: ...

    def step(self, sample: Sample) -> tuple[Prompt | None, float]:
        """The next prompt (None at the end) and the reward of this turn."""
        ...


class Tracker(Protocol):
    """Takes metrics. In process: `runs.metrics.JsonLines`, `runs.tensorboard.TensorBoard`."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


