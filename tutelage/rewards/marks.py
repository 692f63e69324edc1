"""Passages that somebody marked, as what the per-token reward learns from.

K tokens: of each passage, and of the rest of each judged response
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, marked_token_loss
from tutelage.batch import TokenBatch
from tutelage.models.policy import Policy
from tutelage.records import Marked
from tutelage.training.pairs import Judged, pack_responses


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of one judged response, by tokens counted from its first: what each is taken for, and what it weighs."""

    at: tuple[int, ...]
    label: tuple[float, ...]
    weight: tuple[float, ...]


def tokens_of(term: Marked, passages: Sequence[Sequence[int]], num_tokens: int, neutral: float) -> Tokens:
    """Each passage weighs 1, and all tokens outside of passages together `neutral`, shared evenly among its tokens, so that
    a long passage says no more than a short one. The end of turn is among the others. Everything times the term's weight.
    """
    rest = sorted(set(range(num_tokens)).difference(*passages))
    said = [(tokens, float(good), 1.0) for tokens, (_, _, good) in zip(passages, term.passages, strict=True)]
    rows = [(at, label, term.weight * whole / len(tokens)) for tokens, label, whole in [*said, (rest, 0.5, neutral)]
            for at in tokens]
    return Tokens(*(tuple(column) for column in zip(*rows, strict=True))) if rows else Tokens((), (), ())


def collate_marks(groups: Sequence[Judged], tokens: TokenBatch, neutral: float) -> dict[str, Tensor]:
    """The marks of all groups; `marked.at` are places among the N tokens of `tokens`, which is packed of the groups."""
    ends, start = tokens.last.tolist(), 0
    rows: list[tuple[int, float, float]] = []
    for group in groups:
        for place, passages in group.passages.items():
            term, (response,) = group.terms[place]
            assert isinstance(term, Marked)
            size = len(group.responses[response].ids) - group.prompt_length
            first = ends[start + response] + 1 - size
            found = tokens_of(term, passages, size, neutral)
            rows += [(first + at, label, weight) for at, label, weight in zip(found.at, found.label, found.weight, strict=True)]
        start += len(group.sequences)
    at, label, weight = zip(*rows, strict=True) if rows else ((), (), ())
    return {"marked.at": torch.tensor(at, dtype=torch.long), "marked.label": torch.tensor(label),
            "marked.weight": torch.tensor(weight)}


def marks_loss(token_scores: Tensor, fields: Mapping[str, Tensor]) -> LossSum:
    """Of all tokens (N,) of a batch; 0, and still reaching the head, where nothing is marked."""
    return marked_token_loss(token_scores[fields["marked.at"]], fields["marked.label"], fields["marked.weight"])


@torch.no_grad()
def marks_accuracy(policy: Policy, groups: Sequence[Judged], neutral: float) -> float | None:
    """Share of the passages' weight whose tokens have the passage's sign; None without passages."""
    marked = right = 0.0
    for group in groups:
        if any(group.passages.values()):
            tokens = pack_responses([group], policy.ragged)
            scores = policy(tokens, logprobs=False, scores=True).token_scores
            assert scores is not None
            stats = marks_loss(scores, collate_marks([group], tokens, neutral)).stats
            marked, right = marked + float(stats["marked"]), right + float(stats["marked_right"])
    return right / marked if marked else None


def count_passages(groups: Sequence[Judged]) -> int:
    return sum(len(passages) for group in groups for passages in group.passages.values())
