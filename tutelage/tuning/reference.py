"""What the policy said before its first step, kept: the reference of the losses that have one.

It is computed once, in the packing in which each row is first used (D8), and kept in the run's directory; so at the first
use every log-ratio is 0 to the bit, and a run that goes on finds the same numbers.
"""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.console import console
from tutelage.data.loader import Schedule
from tutelage.models.policy import Policy
from tutelage.runs.directory import Run
from tutelage.training import preflight
from tutelage.training.fit import Task
from tutelage.training.lanes import Lanes
from tutelage.tuning.config import Preferences

FILE = "reference.safetensors"


class Compared(Task):
    """A task whose rows are compared with what the policy said of them before it learned."""

    scores_only = False

    def __init__(self, config: Preferences) -> None:
        self.config, self.label = config, config.loss.upper()
        self.remembered: list[Tensor] | None = None      # by row

    @abstractmethod
    def reference_of(self, policy: Policy, rows: Sequence[int]) -> list[Tensor]:
        """What `policy` says of each of `rows`."""

    @abstractmethod
    def distance(self, metrics: Mapping[str, float]) -> float:
        """How far a step found the policy from its reference, nats."""

    def reference(self, lanes: Lanes, parts: Sequence[Sequence[int]]) -> list[list[Tensor]]:
        """Of the rows of each part; before anything is remembered the policy is its own reference."""
        if self.remembered is None:
            return lanes.each(self.reference_of, parts)
        return [[self.remembered[row] for row in rows] for rows in parts]

    def remember(self, lanes: Lanes, schedule: Schedule, run: Run) -> None:
        if not self.config.has_reference:
            return
        path = run.path / FILE
        if not path.is_file():
            _keep(self._look(lanes, schedule), path)
        saved = load_file(path)
        self.remembered = [saved[str(row)] for row in range(len(saved))]

    def _look(self, lanes: Lanes, schedule: Schedule) -> dict[int, Tensor]:
        found: dict[int, Tensor] = {}
        with console.progress("Reference", len(self.lengths), "rows") as bar:
            for step in range(schedule.epoch_ends[0]):
                parts = schedule.micro(step)
                for rows, said in zip(parts, lanes.each(self.reference_of, parts), strict=True):
                    found.update(zip(rows, said, strict=True))
                bar.advance(sum(map(len, parts)))
        return found

    def check_first(self, metrics: Mapping[str, float]) -> None:
        if self.config.adapter.dropout == 0:
            preflight.at_reference(self.distance(metrics))


def _keep(found: Mapping[int, Tensor], path: Path) -> None:
    draft = path.with_suffix(".draft")
    save_file({str(row): value.clone() for row, value in found.items()}, draft)
    os.replace(draft, path)
