"""The RL objective: policy, KL, value and entropy terms of one micro-batch.

L response tokens of a micro-batch laid end to end. `fields` of a micro-batch hold (L,): `old_logprobs`, `ref_logprobs`,
`values`, `advantages`, `returns`, and `share` and `count`, by which the policy loss is averaged: it is the sum of each
token's loss times its share, over the sum of all counts of the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.algorithms import KL_ESTIMATORS, LossSum, clipped_policy_loss, clipped_value_loss, policy_gradient_loss
from tutelage.batch import TokenBatch
from tutelage.models.policy import Policy
from tutelage.rl.config import Algorithm
from tutelage.training import preflight
from tutelage.training.loop import MicroBatch, Term


def averaging(average: str, lengths: Tensor, kept: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """(B,) share and count of each of a response's tokens; both are 0 for responses that are left out.

        tokens      every token counts the same (DAPO)
        responses   a response's tokens are averaged, then the responses (GRPO)
        constant    tokens are summed, over responses times `limit` (Dr. GRPO)

    Args:
        lengths: (B,) tokens of each response. kept: (B,) bool. limit: the most tokens a response may have.
    """
    one, inverse = torch.ones_like(lengths, dtype=torch.float32), 1.0 / lengths.float()
    share, count = {"tokens": (one, one), "responses": (inverse, inverse), "constant": (one / limit, inverse)}[average]
    return share * kept, count * kept


class Surrogate:
    """What `training.loop.update` minimises for an `Algorithm`."""

    def __init__(self, algorithm: Algorithm, temperature: float, check_ratio: bool) -> None:
        self.algorithm, self.temperature, self.check_ratio = algorithm, temperature, check_ratio

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        tokens, policy = float(batch.tokens.response_mask.sum()), float(batch.fields["count"].double().sum())
        return {"policy": policy, "kl": policy, "value": tokens, "entropy": tokens, "measured": tokens}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        a, fields = self.algorithm, batch.fields
        out = policy(batch.tokens, entropy=a.ent_coef > 0, values=a.has_critic, temperature=self.temperature)
        logprobs = out.logprobs
        assert logprobs is not None
        if self.check_ratio:
            preflight.first_ratio(logprobs.detach(), fields["old_logprobs"])
        terms = self._policy_terms(logprobs, batch)
        if a.kl_in == "loss" and a.kl_coef > 0:
            away = KL_ESTIMATORS[a.kl_estimator](logprobs, fields["ref_logprobs"])
            terms.append(Term("kl", LossSum((fields["share"] * away).sum(), fields["count"].sum()), float(fields["kl_coef"])))
        if out.values is not None:
            value = clipped_value_loss(out.values, fields["values"], fields["returns"], clip_range=a.value_clip)
            terms.append(Term("value", replace(value, stats={"squared_error": value.stats["squared_error"]}), a.vf_coef))
        if out.entropy is not None:
            terms.append(Term("entropy", LossSum(-out.entropy.sum(), out.entropy.new_tensor(float(out.entropy.numel()))),
                              a.ent_coef))
        return terms

    def _policy_terms(self, logprobs: Tensor, batch: MicroBatch) -> list[Term]:
        """The policy's term, and the ratio's figures, which are means over tokens whatever the loss is."""
        a, fields = self.algorithm, batch.fields
        weighted = fields["share"] * fields["advantages"]        # every policy loss is linear in a positive share
        if a.clip_range is None:
            loss = policy_gradient_loss(logprobs, weighted)
            return [Term("policy", LossSum(loss.sum, fields["count"].sum()))]
        if a.ratio == "sequence":
            logprobs = _by_sequence(logprobs, fields["old_logprobs"], batch.tokens)
        loss = clipped_policy_loss(logprobs, fields["old_logprobs"], weighted, dual_clip=a.dual_clip,
                                   clip_range=(a.clip_range, a.clip_higher or a.clip_range))
        return [Term("policy", LossSum(loss.sum, fields["count"].sum())),
                Term("measured", LossSum(loss.sum.new_zeros(()), loss.count, loss.stats))]


def _by_sequence(logprobs: Tensor, old_logprobs: Tensor, tokens: TokenBatch) -> Tensor:
    """(L,) logprobs whose ratio to the old ones is, at each token, the response's geometric mean (GSPO, eq. 7)."""
    owner = tokens.sequence_of_label
    sums = logprobs.new_zeros(tokens.num_sequences).index_add(0, owner, logprobs - old_logprobs)
    return old_logprobs + (sums / tokens.label_counts)[owner]
