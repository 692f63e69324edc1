"""The one place where gradients are taken.

`update` makes one optimizer step out of micro-batches, whatever the stage; `runs.steps` counts the steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from tutelage.algorithms import LossSum
from tutelage.batch import TokenBatch
from tutelage.errors import TrainingError
from tutelage.models.policy import Policy
from tutelage.protocols import OneRank, Ranks
from tutelage.training.optimizer import Masters


@dataclass(frozen=True, slots=True)
class Term:
    """One part of a loss: `weight * sum / count`, where the count is taken over the whole step (D5)."""

    name: str
    loss: LossSum
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """What goes through the model at once. `rows` name the records, for messages; `fields` are the objective's own."""

    tokens: TokenBatch
    rows: tuple[str, ...]
    fields: Mapping[str, Tensor] = field(default_factory=dict)


class Objective(Protocol):
    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        """What each term will count in `batch`, known from masks alone, before any forward."""
        ...

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]: ...


def update(masters: Masters, batches: Sequence[MicroBatch], objective: Objective,
           ranks: Ranks | None = None) -> dict[str, float]:
    """One optimizer step; its gradient does not depend on how the rows were split into `batches`.

    Every term is divided once, by its count over all micro-batches and ranks, so there is no mean of means
    (transformers#34191, trl#2604).

    Returns:
        `loss`, each term's mean, each statistic divided by its term's count, `grad_norm`, `lr`, `tokens`.
    Raises:
        TrainingError: if a loss is not finite; the rows are named and no weight was changed.
    """
    totals = _global_counts(batches, objective, ranks or OneRank())
    try:
        sums = _accumulate(masters, batches, objective, totals)
    except BaseException:
        masters.drop_gradients()      # else whoever goes on after the error would step with half a batch
        raise
    rate = masters.learning_rate
    return {**sums, "grad_norm": masters.step(), "lr": rate,
            "tokens": float(sum(batch.tokens.num_tokens for batch in batches))}


def rehearse(masters: Masters, batch: MicroBatch, objective: Objective) -> float:
    """Forward and backward of a micro-batch, in every lane at once, whose gradients are dropped; the seconds it took. No number
    changes by it: not a weight, not the optimizer, not a random number.

    Raises:
        TrainingError: if its loss is not finite.
    """
    began = time.monotonic()
    try:
        batches = [batch] * masters.lanes.count
        _accumulate(masters, batches, objective, _global_counts(batches, objective, OneRank()))
    finally:
        masters.drop_gradients()
    return time.monotonic() - began


def _accumulate(masters: Masters, batches: Sequence[MicroBatch], objective: Objective,
                totals: Mapping[str, float]) -> dict[str, float]:
    """Leave the step's gradient with the masters; returns `loss`, each term and each statistic, divided."""
    sums: dict[str, float] = {}
    for found in masters.lanes.each(lambda policy, batch: _backward(policy, batch, objective, totals), batches):
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _backward(policy: Policy, batch: MicroBatch, objective: Objective, totals: Mapping[str, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    loss = torch.zeros(())
    for term in objective.terms(policy, batch):
        count = totals[term.name] or 1.0
        loss = loss + term.weight / count * term.loss.sum
        for name, value in ((term.name, term.loss.sum.detach()), *term.loss.stats.items()):
            found[name] = found.get(name, 0.0) + float(value) / count
    found["loss"] = float(loss.detach())
    if not math.isfinite(found["loss"]):
        raise TrainingError(f"the loss is {found['loss']} in rows {', '.join(batch.rows[:5])}"
                            f"{' …' if len(batch.rows) > 5 else ''}; no weight was changed. Look at these rows, or lower "
                            "the learning rate.")
    loss.backward()
    return found


def _global_counts(batches: Sequence[MicroBatch], objective: Objective, ranks: Ranks) -> dict[str, float]:
    counts: dict[str, float] = {}
    for batch in batches:
        for name, count in objective.counts(batch).items():
            counts[name] = counts.get(name, 0.0) + count
    names = sorted(counts)
    return dict(zip(names, ranks.sum([counts[name] for name in names]), strict=True))
