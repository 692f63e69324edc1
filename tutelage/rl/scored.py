"""A rollout's samples with their scores: those that have none leave it, and are counted."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.console import console
from tutelage.errors import RewardError
from tutelage.protocols import Score
from tutelage.records import Sample, Scores


def scored(reward: Score, samples: Sequence[Sample]) -> tuple[list[Sample], Scores, dict[str, float]]:
    """The samples that have a score, their scores, and the means as metrics.

    Raises:
        RewardError: if none has; what the reward raises itself is left as it is.
    """
    scores = reward.score(samples)
    kept = [i for i in range(len(samples)) if i not in scores.skipped]
    if scores.skipped:
        first, why = min(scores.skipped.items())
        said = f"{len(scores.skipped)} of {len(samples)} samples (first: {samples[first].id}: {why})"
        if not kept:
            raise RewardError(f"skipped {said}; nothing is left to learn from in this step. Mend the reward.")
        console.warn(f"left out {said}")
    if len(scores.total) == len(samples):      # else the caller says how many are missing
        scores = _rows(scores, kept)
        samples = [samples[i] for i in kept]
    means = {"reward/total": scores.total, **{f"reward/{name}": values for name, values in scores.parts.items()},
             **{f"cost/{name}": values for name, values in scores.costs.items()}}
    skipped = {"reward/skipped": float(len(scores.skipped))} if scores.skipped else {}
    return list(samples), scores, {**{name: sum(values) / len(values) for name, values in means.items() if values}, **skipped}


def paid(token_scores: Sequence[Sequence[float]] | None, totals: Sequence[float], unit: float) -> list[list[float]] | None:
    """What each token earns of `totals`, the scores as they are optimised: its own times `unit`, the last one the rest, so
    that clipping, penalties and the mean of a scale are paid at the end. None where scores are of whole responses.
    """
    if token_scores is None:
        return None
    early = [[unit * each for each in row[:-1]] for row in token_scores]
    return [[*row, math.fsum([total, *(-each for each in row)])] for row, total in zip(early, totals, strict=True)]


def _rows(scores: Scores, kept: Sequence[int]) -> Scores:
    """Of these places only; `skipped` stays, for it is what was left out."""
    def pick(values: Sequence[float]) -> tuple[float, ...]:
        return tuple(values[i] for i in kept)
    return Scores(total=pick(scores.total), skipped=scores.skipped,
                  per_token=None if scores.per_token is None else tuple(scores.per_token[i] for i in kept),
                  parts={name: pick(values) for name, values in scores.parts.items()},
                  costs={name: pick(values) for name, values in scores.costs.items()})
