"""Several rewards as one: their weighted sum, its parts beside it, and costs that are not part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tutelage.protocols import ChecksPrompts, Score
from tutelage.records import Prompt, Sample, Scores
from tutelage.rewards.dense import summed


@dataclass(frozen=True, slots=True)
class Part:
    """One of them. A cost is scored and reported, and left to constraints."""

    name: str
    score: Score
    weight: float = 1.0
    is_cost: bool = False


class WeightedReward:
    """The `Score` that is the sum of weight times score; a sample that one part skips is skipped."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)

    def check(self, prompts: Sequence[Prompt]) -> None:
        for part in self.parts:
            if isinstance(part.score, ChecksPrompts):
                part.score.check(prompts)

    def score(self, samples: Sequence[Sample]) -> Scores:
        given = [(part, part.score.score(samples)) for part in self.parts]
        total = [0.0] * len(samples)
        for part, scores in given:
            if not part.is_cost:
                total = [sum_ + part.weight * score for sum_, score in zip(total, scores.total, strict=True)]
        skipped = {i: why for _, scores in given for i, why in scores.skipped.items()}
        summands = [(part.weight, scores) for part, scores in given if not part.is_cost]
        return Scores(
            total=tuple(float("nan") if i in skipped else value for i, value in enumerate(total)), skipped=skipped,
            per_token=summed([scores for _, scores in summands], [weight for weight, _ in summands], samples),
            parts={name: values for part, scores in given if not part.is_cost for name, values in (
                (part.name, scores.total), *((f"{part.name} {inner}", values) for inner, values in scores.parts.items()))},
            costs={part.name: scores.total for part, scores in given if part.is_cost})
