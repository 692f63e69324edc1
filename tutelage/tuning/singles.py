"""Learning from single responses that were liked or not: KTO.

B responses of a micro-batch
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, kto_loss
from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.errors import DataError
from tutelage.messages import Messages
from tutelage.models.policy import Policy
from tutelage.records import Preference, Thumb
from tutelage.training.lanes import Lanes
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.pairs import check_rendered
from tutelage.training.responses import render_to_end_of_turn
from tutelage.tuning.config import Preferences
from tutelage.tuning.pairs import response_logprobs
from tutelage.tuning.reference import Compared


@dataclass(frozen=True, slots=True)
class Single:
    """A judged response, and the same prompt with the response to another one: of such pairs KTO's baseline is made."""

    name: str
    judged: Rendered
    mismatched: Rendered
    up: bool
    weight: float


class Singles(Compared):
    """The rows are judged responses."""

    shown = ("loss", "baseline")

    def __init__(self, terms: Sequence[Thumb | Preference], template: ChatTemplate, config: Preferences) -> None:
        super().__init__(config)
        thumbs = [thumb for term in terms for thumb in _thumbs(term)]
        self.rows, dropped = _singles(thumbs, template, config.max_length)
        if len({thumb.up for thumb in thumbs}) < 2:
            raise DataError(f"kto needs liked and disliked responses; all {len(thumbs)} are "
                            f"{'liked' if thumbs and thumbs[0].up else 'disliked'}.")
        check_rendered({row.name: row.judged for row in self.rows}, template)
        self.lengths = [len(row.judged.ids) for row in self.rows]
        ups = sum(row.up for row in self.rows)
        self.facts: dict[str, Any] = {"liked": ups, "disliked": len(self.rows) - ups, "dropped_too_long": dropped}
        self.summary = f"{ups} liked and {len(self.rows) - ups} disliked responses to train on, {dropped} too long"

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        chosen = [self.rows[row] for row in rows]
        return MicroBatch(tokens=_pack([single.judged for single in chosen]), rows=tuple(single.name for single in chosen),
                          fields={"up": torch.tensor([single.up for single in chosen]),
                                  "weight": torch.tensor([single.weight for single in chosen])})

    def reference_of(self, policy: Policy, rows: Sequence[int]) -> list[Tensor]:
        """By row, (2,): of the judged and of the mismatched response."""
        judged = _sums(policy, self.collate(rows).tokens)
        return list(torch.stack([judged, _sums(policy, self._mismatched(rows))], 1))

    def batches(self, lanes: Lanes, parts: Sequence[Sequence[int]]) -> list[MicroBatch]:
        """The baseline is one for the whole step, so that it does not depend on how the step was cut (D5)."""
        references = [torch.stack(said) for said in self.reference(lanes, parts)]                      # (rows, 2) each
        mismatched = lanes.each(lambda policy, rows: _sums(policy, self._mismatched(rows)), parts)
        ratios = [said - reference[:, 1] for said, reference in zip(mismatched, references, strict=True)]
        baseline = torch.cat(ratios).mean().clamp(min=0.0)
        collated = [self.collate(rows) for rows in parts]
        return [replace(batch, fields={**batch.fields, "reference": reference[:, 0], "baseline": baseline})
                for batch, reference in zip(collated, references, strict=True)]

    def _mismatched(self, rows: Sequence[int]) -> TokenBatch:
        return _pack([self.rows[row].mismatched for row in rows])

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"rows": float(batch.fields["weight"].sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        fields, logprobs = batch.fields, policy(batch.tokens).logprobs
        assert logprobs is not None
        loss = kto_loss(response_logprobs(logprobs, batch.tokens) - fields["reference"], fields["up"], fields["baseline"],
                        self.config.beta, up_weight=self.config.up_weight, down_weight=self.config.down_weight,
                        weight=fields["weight"])
        stats = {**loss.stats, "baseline": fields["baseline"] * loss.count}
        return [Term("rows", LossSum(loss.sum, loss.count, stats))]

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Mean reward of the liked and of the disliked; a kind the step has none of has no mean."""
        return {f"{side}_reward": metrics[f"{side}_reward"] / metrics[f"{side}_count"] if metrics[f"{side}_count"] else
                float("nan") for side in ("up", "down")}

    def distance(self, metrics: Mapping[str, float]) -> float:
        return abs(metrics["up_reward"]) + abs(metrics["down_reward"])


def _thumbs(term: Thumb | Preference) -> list[Thumb]:
    """A pair is a liked and a disliked response; one without a winner is neither."""
    if isinstance(term, Thumb):
        return [term]
    if term.label == 0.5:
        return []
    sides = (term.chosen, term.rejected) if term.label > 0.5 else (term.rejected, term.chosen)
    return [Thumb(id=f"{term.id}-{'up' if up else 'down'}", prompt=term.prompt, response=response, up=up, weight=term.weight,
                  annotator=term.annotator) for response, up in zip(sides, (True, False), strict=True)]


def _singles(thumbs: Sequence[Thumb], template: ChatTemplate, max_length: int) -> tuple[list[Single], int]:
    """Rows that fit, and how many did not. The mismatched response is the next one, in order, to another prompt."""
    rows, dropped = [], 0
    for place, thumb in enumerate(thumbs):
        judged = render_to_end_of_turn(template, thumb.prompt, thumb.response)
        mismatched = render_to_end_of_turn(template, thumb.prompt, _other(thumbs, place))
        if max(len(judged.ids), len(mismatched.ids)) > max_length:
            dropped += 1
        else:
            rows.append(Single(thumb.id, judged, mismatched, thumb.up, thumb.weight))
    if not rows:
        raise DataError(f"no judged response is left: {dropped} have more than max_length {max_length} tokens. Raise it.")
    return rows, dropped


def _other(thumbs: Sequence[Thumb], place: int) -> Messages:
    for step in range(1, len(thumbs)):
        other = thumbs[(place + step) % len(thumbs)]
        if other.prompt != thumbs[place].prompt:
            return other.response
    raise DataError("kto needs responses to at least two prompts, to tell how far the policy is from its reference.")


def _pack(rows: Sequence[Rendered]) -> TokenBatch:
    return TokenBatch.pack([row.ids for row in rows], [row.response_mask for row in rows])


def _sums(policy: Policy, tokens: TokenBatch) -> Tensor:
    return response_logprobs(policy.evaluate_logprobs(tokens), tokens)
