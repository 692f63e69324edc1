"""Rewards of single tokens: every score as a row of them, one number a response token."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.records import Sample, Scores

Rows = tuple[tuple[float, ...], ...]


def by_token(scores: Scores, samples: Sequence[Sample]) -> Rows:
    """What each response token earns: where a score is of the whole response, it is earned with the last one."""
    if scores.per_token is not None:
        return scores.per_token
    return tuple(at_the_end(total, len(sample.response_ids)) for total, sample in zip(scores.total, samples, strict=True))


def at_the_end(score: float, num_tokens: int) -> tuple[float, ...]:
    return (*[0.0] * (num_tokens - 1), score) if num_tokens else ()


def summed(given: Sequence[Scores], weights: Sequence[float], samples: Sequence[Sample]) -> Rows | None:
    """The sum of weight times score, token by token; None where no score is of single tokens."""
    if all(scores.per_token is None for scores in given):
        return None
    rows = [by_token(scores, samples) for scores in given]
    return tuple(tuple(sum(weight * value for weight, value in zip(weights, column, strict=True))
                       for column in zip(*each, strict=True)) for each in zip(*rows, strict=True))
