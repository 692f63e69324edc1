"""A trained reward model on what was judged: its scale, and what a manifest says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from tutelage.models.policy import Policy
from tutelage.rewards import length
from tutelage.rewards.config import RewardModel
from tutelage.rewards.joint import decided_pairs
from tutelage.rewards.marks import count_passages, marks_accuracy
from tutelage.rewards.model import score_sequences
from tutelage.training import preflight
from tutelage.training.pairs import Group, Judged

Sides = tuple[list[Tensor], list[Tensor]]      # of the prompts trained on and those kept out, (responses,) a prompt


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Scores of everything that was judged, as they are and with what length earns taken out, and the scale made of them."""

    raw: Sides
    scores: Sides
    scale: dict[str, Any]
    marks: tuple[float | None, float | None]      # share of passages whose tokens have the right sign, on either side


def measured(policy: Policy, train: Sequence[Judged], heldout: Sequence[Judged], config: RewardModel) -> Measured:
    raw = [score_group(policy, group) for group in train], [score_group(policy, group) for group in heldout]
    removed = length.fitted(train, raw[0]) if config.regress_length else None
    scores = length.without(removed, train, raw[0]), length.without(removed, heldout, raw[1])
    mean, std = _moments(scores[0])
    dense = policy.token_head is not None
    marks = [marks_accuracy(policy, groups, config.marks.neutral) if dense else None for groups in (train, heldout)]
    return Measured(raw=raw, scores=scores, marks=(marks[0], marks[1]), scale={
        "mean": mean, "std": std, **({} if removed is None else {"length": asdict(removed)}),
        **({"tokens": config.marks.reward} if dense else {})})


def facts_of(members: Sequence[Measured], train: Sequence[Judged], heldout: Sequence[Judged]) -> dict[str, Any]:
    """What the manifest says of the model, or of the mean of several, each in units of its own scale."""
    scores, raw = ([_mean(members, side, which) for side in (0, 1)] for which in ("scores", "raw"))
    slopes = [each.scale["length"]["slope"] for each in members if "length" in each.scale]
    facts: dict[str, Any] = {
        "train_accuracy": accuracy(train, scores[0]), "heldout_accuracy": accuracy(heldout, scores[1]),
        "length_correlation": {"train": length.correlation(train, raw[0]), "heldout": length.correlation(heldout, raw[1])},
        "length_slope": sum(slopes) / len(slopes) if slopes else None}
    if any("tokens" in each.scale for each in members):
        facts["passages"] = {"train": count_passages(train), "heldout": count_passages(heldout)}
        facts["passages_right"] = {name: _mean_of([each.marks[side] for each in members])
                                   for side, name in enumerate(("train", "heldout"))}
    if len(members) > 1:
        facts["members"] = [{"heldout_accuracy": accuracy(heldout, each.scores[1])} for each in members]
    return facts


def _mean(members: Sequence[Measured], side: int, which: str) -> list[Tensor]:
    """Of each prompt (responses,), the mean over members; that of one as it is."""
    found = [getattr(each, which)[side] for each in members]
    if len(members) == 1:
        return list(found[0])
    standard = [[(scores - each.scale["mean"]) / each.scale["std"] for scores in own]
                for each, own in zip(members, found, strict=True)]
    return [torch.stack(columns).mean(0) for columns in zip(*standard, strict=True)]


def _mean_of(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def score_group(policy: Policy, group: Group | Judged) -> Tensor:
    """(responses,) raw scores."""
    return score_sequences(policy, [response.ids for response in group.responses],
                           [group.prompt_length] * len(group.responses))


def accuracy(groups: Sequence[Group | Judged], scores: Sequence[Tensor]) -> float | None:
    """Share of decided pairs (label not 0.5) whose better side scores higher, equal scores half; None without pairs."""
    correct = [1.0 if score[better] > score[worse] else 0.5 if score[better] == score[worse] else 0.0
               for group, score in zip(groups, scores, strict=True) for better, worse in decided_pairs(group)]
    return sum(correct) / len(correct) if correct else None


def _moments(scores: Sequence[Tensor]) -> tuple[float, float]:
    every = torch.cat(list(scores))
    return float(every.mean()), max(float(every.std(correction=0)), 1e-6)


def with_responses(groups: Sequence[Judged]) -> Judged:
    """The first of which there is a response; what only critiques are about has none of its own."""
    return next(group for group in groups if group.responses)


def check_padding(policy: Policy, group: Judged, precision: str) -> None:
    together = score_group(policy, group)
    alone = torch.cat([score_sequences(policy, [response.ids], [group.prompt_length]) for response in group.responses])
    spread = float(together.std()) if len(together) > 1 else 1.0
    preflight.padding(alone, together, "the reward", 1e-3 if precision == "fp32" else 0.3 + 0.3 * spread)
