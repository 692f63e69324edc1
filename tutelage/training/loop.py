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
from tutelage.runs.meter import count as measured
from tutelage.runs.meter import phase
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
        `loss`, each term's mean, each statistic divided by its term's count, `grad_norm`, `lr`, `tokens`, and the share of
        the weights that the step changed, as far as it was looked at (`Masters.changed_fraction`). The same on each rank.
    Raises:
        TrainingError: if a loss is not finite; the rows are named and no weight was changed.
    """
    ranks = ranks or OneRank()
    totals = _global_counts(batches, objective, ranks)
    try:
        sums = _accumulate(masters, batches, objective, totals)
    except BaseException:
        masters.drop_gradients()      # else whoever goes on after the error would step with half a batch
        raise
    rate, own_tokens = masters.learning_rate, float(sum(batch.tokens.num_tokens for batch in batches))
    measured(tokens=own_tokens)
    with phase("optimizer"):
        norm = masters.step()
    return {**_over_ranks({**sums, "tokens": own_tokens}, ranks), "grad_norm": norm, "lr": rate,
            "changed_fraction": masters.changed_fraction}


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


@torch.no_grad()
def measure(policy: Policy, batches: Sequence[MicroBatch], objective: Objective) -> dict[str, float]:
    """What one step over `batches` would find: `loss`, each term's mean, each statistic divided. Nothing is learned of it.

    Raises:
        TrainingError: if the loss is not finite.
    """
    totals = _global_counts(batches, objective, OneRank())
    found = _summed([_tally(objective.terms(policy, batch), totals)[1] for batch in batches])
    if not math.isfinite(found["loss"]):
        raise TrainingError(f"the loss over {len(batches)} held-out batches is {found['loss']}. Lower the learning rate.")
    return found


def _accumulate(masters: Masters, batches: Sequence[MicroBatch], objective: Objective,
                totals: Mapping[str, float]) -> dict[str, float]:
    """Leave the step's gradient with the masters; returns `loss`, each term and each statistic, divided."""
    return _summed(masters.lanes.each(lambda policy, batch: _backward(policy, batch, objective, totals), batches))


def _summed(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for found in parts:
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def _backward(policy: Policy, batch: MicroBatch, objective: Objective, totals: Mapping[str, float]) -> dict[str, float]:
    with phase("forward"):
        loss, found = _tally(objective.terms(policy, batch), totals)
    if not math.isfinite(found["loss"]):
        raise TrainingError(f"the loss is {found['loss']} in rows {', '.join(batch.rows[:5])}"
                            f"{' …' if len(batch.rows) > 5 else ''}; no weight was changed. Look at these rows, or lower "
                            "the learning rate.")
    with phase("backward"):
        loss.backward()
    return found


def _tally(terms: Sequence[Term], totals: Mapping[str, float]) -> tuple[Tensor, dict[str, float]]:
    """A micro-batch's share of the loss, and as numbers the same, each of its terms and each statistic."""
    found: dict[str, float] = {}
    loss = torch.zeros(())
    for term in terms:
        count = totals[term.name] or 1.0
        loss = loss + term.weight / count * term.loss.sum
        for name, value in ((term.name, term.loss.sum.detach()), *term.loss.stats.items()):
            found[name] = found.get(name, 0.0) + float(value) / count
    return loss, {**found, "loss": float(loss.detach())}


def _global_counts(batches: Sequence[MicroBatch], objective: Objective, ranks: Ranks) -> dict[str, float]:
    counts: dict[str, float] = {}
    for batch in batches:
        for name, count in objective.counts(batch).items():
            counts[name] = counts.get(name, 0.0) + count
    return _over_ranks(counts, ranks)


def _over_ranks(values: Mapping[str, float], ranks: Ranks) -> dict[str, float]:
    """Over all ranks, which have the same names."""
    names = sorted(values)
    total = dict(zip(names, ranks.sum([values[name] for name in names]), strict=True))
    return {name: total[name] for name in values}
