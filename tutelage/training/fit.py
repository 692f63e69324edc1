"""From a loaded policy to a trained one: what every stage that knows its rows beforehand has in common.

A stage brings a `Task`: its rows, the micro-batches made of them and the loss on these. `fit` brings the rest: the order of
rows, the plan of memory, the optimizer, dropout, checkpoints and metrics.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tutelage.data.loader import Schedule
from tutelage.models.config import Adapter
from tutelage.models.policy import Policy
from tutelage.runs.directory import Run
from tutelage.runs.meter import phase
from tutelage.runs.metrics import metric_at
from tutelage.runs.plan import only_planning
from tutelage.runs.steps import steps
from tutelage.seeds import stream_seed
from tutelage.training.config import Optimizer
from tutelage.training.dropout import adapter_dropout
from tutelage.training.heldout import HeldOut
from tutelage.training.lanes import Lanes, lanes_here
from tutelage.training.loop import MicroBatch, Objective, update
from tutelage.training.memory import load_of, prepare
from tutelage.training.optimizer import Masters


class Settings(Protocol):
    """What `fit` reads of a stage's config."""

    @property
    def seed(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_tokens(self) -> int: ...
    @property
    def micro_tokens(self) -> int: ...
    @property
    def adapter(self) -> Adapter: ...
    @property
    def optimizer(self) -> Optimizer: ...


class Task(Objective, Protocol):
    """Rows to learn from, and the loss on them."""

    lengths: Sequence[int]                   # tokens of each row, a shared prompt counted once
    opening: int = 0                         # tokens that all rows begin with, and a micro-batch computes once
    label: str                               # the stage's name beside its progress
    shown: tuple[str, ...] = ("loss",)       # metrics beside it
    row_weights: Sequence[float] | None = None      # how often each row stands in an epoch; None is once
    scores_only: bool = False                # the loss reads scores alone, so no head over the vocabulary is run

    @abstractmethod
    def collate(self, rows: Sequence[int]) -> MicroBatch:
        """Rows by their index, as they go through the model at once."""

    def begin(self, step: int) -> None:
        """Told before the batches of a step are asked for; what a task draws at random follows from its seed and this."""
        return None

    def batches(self, lanes: Lanes, parts: Sequence[Sequence[int]]) -> list[MicroBatch]:
        """The micro-batches of one step."""
        return [self.collate(rows) for rows in parts]

    def remember(self, lanes: Lanes, schedule: Schedule, run: Run) -> None:
        """Keep what the loss needs of the policy as it is before the first step."""
        return None

    def rates(self, metrics: Mapping[str, float]) -> Mapping[str, float]:
        """What a step's metrics say that are no sums over its rows."""
        return {}

    def check_first(self, metrics: Mapping[str, float]) -> None:
        """Look at the first step. Raises: PreflightError, where it is not what the start of this task must be."""
        return None


def fit(stage: str, policy: Policy, task: Task, config: Settings, run: Run, heldout: HeldOut | None = None) -> dict[str, Any]:
    """Train `policy` on `task`, going on from the run's last checkpoint; the facts a manifest tells of it.

    `heldout` is looked at between steps, which changes no number of the training but where it ends: with patience the
    policy is left with the weights that did best there.

    Raises:
        PlanError: if it does not fit; Planned: under `--plan`; PreflightError, TrainingError, ResumeError.
    """
    lanes = Lanes(policy, 1 if config.adapter.dropout else lanes_here(policy.device))     # what is dropped is drawn in one order
    schedule = Schedule(task.lengths, config.seed, config.epochs, config.batch_tokens, config.micro_tokens, lanes.count,
                        task.row_weights, task.opening)
    largest = schedule.largest()

    def optimizer() -> Masters:
        if not only_planning():
            task.remember(lanes, schedule, run)
            if heldout is not None:
                heldout.remember(policy, run)
        return Masters(policy, config.optimizer, len(schedule), lanes)

    load = load_of(schedule, task.collate(largest), task.scores_only, lanes.count,
                   restores=heldout is not None and heldout.patience > 0)
    masters = prepare(stage, policy, load, run, optimizer, task, lambda: task.batches(lanes, [largest])[0])

    def step(i: int) -> dict[str, float]:
        task.begin(i)
        with phase("data"):
            batches = task.batches(lanes, schedule.micro(i))
        with adapter_dropout(policy, stream_seed(config.seed, stage, "dropout", i)):
            metrics = update(masters, batches, task)
        if i == 0:
            task.check_first(metrics)
        found = {**metrics, **task.rates(metrics)}
        if heldout is None:
            return found
        with phase("evaluation"):
            return {**found, **heldout.look(policy, i + 1, schedule)}

    if heldout is None:
        steps(run, {"masters": masters}, len(schedule), step, task.label, shown=task.shown)
        return _told(run, masters.steps_done)
    steps(run, {"masters": masters, "heldout": heldout}, len(schedule), step, task.label, shown=task.shown,
          done=heldout.ended, best=heldout.best)
    told = _told(run, masters.steps_done)
    heldout.restore(masters, run)
    return {**told, **heldout.facts()}


def _told(run: Run, made: int) -> dict[str, Any]:
    first, last = (metric_at(run.metrics, step, "loss") for step in (0, made - 1))
    return {"steps": made, "first_loss": first, "last_loss": last}
