"""Learning from judged pairs: DPO and the losses that share its shape.

B responses of a micro-batch · K pairs among them · L labels of all responses
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, log_odds, pair_loss
from tutelage.batch import TokenBatch
from tutelage.errors import DataError
from tutelage.models.policy import Policy
from tutelage.training.lanes import Lanes
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.pairs import Group, collate_groups
from tutelage.tuning.config import Preferences
from tutelage.tuning.reference import Compared

KIND = {"dpo": "logistic", "ipo": "squared", "hinge": "hinge", "robust": "logistic", "simpo": "logistic", "orpo": "logistic"}
PER_TOKEN = ("ipo", "simpo", "orpo")       # these compare mean logprobs of a token, the others sums over the response


def response_logprobs(logprobs: Tensor, tokens: TokenBatch) -> Tensor:
    """(B,) sums over each response's labels, of (L,)."""
    return logprobs.new_zeros(tokens.num_sequences).index_add(0, tokens.sequence_of_label, logprobs)


class Pairs(Compared):
    """The rows are prompts, each with all its judged responses."""

    shown = ("loss", "accuracy")

    def __init__(self, groups: Sequence[Group], dropped: int, config: Preferences, share: bool) -> None:
        super().__init__(config)
        if not groups:
            raise DataError(f"no pair is left: {dropped} have a side of more than max_length {config.max_length} tokens. "
                            "Raise max_length.")
        self.groups, self.share = groups, share
        self.lengths = [group.num_tokens for group in groups]
        pairs = sum(len(group.pairs) for group in self.groups)
        self.facts: dict[str, Any] = {"pairs": pairs, "dropped_too_long": dropped}
        self.summary = f"{pairs} pairs of {len(self.groups)} prompts to train on, {dropped} too long"

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        return collate_groups([self.groups[row] for row in rows], self.share)

    def reference_of(self, policy: Policy, rows: Sequence[int]) -> list[Tensor]:
        """By row, (responses of that prompt,)."""
        tokens = self.collate(rows).tokens
        sums = response_logprobs(policy.evaluate_logprobs(tokens), tokens)
        return list(sums.split([len(self.groups[row].responses) for row in rows]))

    def batches(self, lanes: Lanes, parts: Sequence[Sequence[int]]) -> list[MicroBatch]:
        collated = [self.collate(rows) for rows in parts]
        if not self.config.has_reference:
            return collated
        return [replace(batch, fields={**batch.fields, "reference": torch.cat(said)})
                for batch, said in zip(collated, self.reference(lanes, parts), strict=True)]

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        counts = {"pairs": float(batch.fields["weight"].sum())}
        if self.config.sft_weight:
            counts["nll"] = float((_times_chosen(batch) * batch.tokens.label_counts).sum())
        return counts

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        config, fields, lengths = self.config, batch.fields, batch.tokens.label_counts
        logprobs = policy(batch.tokens).logprobs
        assert logprobs is not None
        sums = response_logprobs(logprobs, batch.tokens)                                             # (B,)
        said = sums - fields["reference"] if config.has_reference else sums
        said = said / lengths if config.loss in PER_TOKEN else said
        odds = config.loss == "orpo"
        compared, chosen, rejected = log_odds(said) if odds else said, fields["chosen"], fields["rejected"]
        loss = pair_loss(compared[chosen] - compared[rejected], KIND[config.loss], 1.0 if odds else config.beta,
                         target=config.target, label=fields["label"], smoothing=config.smoothing,
                         unbiased=config.loss == "robust", weight=fields["weight"])
        stats = {**loss.stats, "chosen_logprob": sums.detach()[chosen].sum(), "rejected_logprob": sums.detach()[rejected].sum(),
                 "number": loss.sum.new_tensor(float(len(chosen)))}
        terms = [Term("pairs", LossSum(loss.sum, loss.count, stats), config.beta if odds else 1.0)]
        if config.sft_weight:
            times = _times_chosen(batch)
            terms.append(Term("nll", LossSum(-(times * sums).sum(), (times * lengths).sum()), config.sft_weight))
        return terms

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Means a pair: the share ranked as judged, beta times the gap, and both sides' own logprobs, which show where
        the likelihood of chosen responses falls too."""
        return {"accuracy": metrics["correct"] / max(metrics["decided"], 1e-9),
                **{name: metrics[name] / metrics["number"] for name in ("margin", "chosen_logprob", "rejected_logprob")}}

    def distance(self, metrics: Mapping[str, float]) -> float:
        return abs(metrics["margin"]) if self.config.has_reference else 0.0


def _times_chosen(batch: MicroBatch) -> Tensor:
    """(B,) for how many judgments each response is the chosen one."""
    return torch.zeros(batch.tokens.num_sequences).index_add(0, batch.fields["chosen"], batch.fields["weight"])
