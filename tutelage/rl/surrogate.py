"""The RL objective: policy, KL, value and entropy terms of one micro-batch.

L response tokens of a micro-batch laid end to end. `fields` of a micro-batch hold (L,): `old_logprobs`, `ref_logprobs`,
`values`, `advantages`, `returns`, and `share` and `count`, by which the policy loss is averaged: it is the sum of each
token's loss times its share, over the sum of all counts of the step. A micro-batch without `advantages` is text that is mixed
in: its labels are learned as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from tutelage.algorithms import (
    KL_ESTIMATORS,
    LossSum,
    clipped_policy_loss,
    clipped_value_loss,
    negative_log_likelihood,
    policy_gradient_loss,
)
from tutelage.batch import TokenBatch
from tutelage.models.policy import Policy, PolicyOutput
from tutelage.rl.config import Algorithm
from tutelage.training import preflight
from tutelage.training.loop import MicroBatch, Term


def averaging(average: str, lengths: Tensor, kept: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """(B,) share and count of each of a response's tokens; both are 0 for responses that are left out.

        tokens      every token counts the same (DAPO)
        responses   a response's tokens are averaged, then the responses (GRPO)
        constant    tokens are summed, over responses times `limit` (Dr. GRPO)
        sums        tokens are summed, over responses (DPO)

    Args:
        lengths: (B,) tokens of each response. kept: (B,) bool. limit: the most tokens a response may have.
    """
    one, inverse = torch.ones_like(lengths, dtype=torch.float32), 1.0 / lengths.float()
    share, count = {"tokens": (one, one), "responses": (inverse, inverse), "constant": (one / limit, inverse),
                    "sums": (one, inverse)}[average]
    return share * kept, count * kept


Outputs = dict[tuple[str, ...], PolicyOutput]      # of micro-batches, by their rows


class Surrogate:
    """What `training.loop.update` minimises for an `Algorithm`. `kept` has what the policy said already, with its graph; each is
    taken out when it is used.
    """

    def __init__(self, algorithm: Algorithm, temperature: float, check_ratio: bool, kept: Outputs | None = None) -> None:
        self.algorithm, self.temperature, self.check_ratio = algorithm, temperature, check_ratio
        self.kept: Outputs = {} if kept is None else kept
        self.log_ratios: list[Tensor] = []      # of each micro-batch to the policy that began the rollout's passes, (L,)

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        tokens = float(batch.tokens.response_mask.sum())
        if is_text(batch):
            return {"ptx": tokens}
        policy = float(batch.fields["count"].double().sum())
        return {"policy": policy, "kl": policy, "value": tokens, "entropy": tokens, "measured": tokens}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        if is_text(batch):
            return [Term("ptx", negative_log_likelihood(_logprobs(policy(batch.tokens))), self.algorithm.ptx_coef)]
        a, fields = self.algorithm, batch.fields
        out = self.kept.pop(batch.rows, None) or policy(batch.tokens, entropy=a.ent_coef > 0, values=a.has_critic,
                                                        temperature=self.temperature)
        logprobs = _logprobs(out)
        if self.check_ratio:
            preflight.first_ratio(logprobs.detach(), fields["old_logprobs"])
        terms = self._policy_terms(logprobs, batch)
        if a.kl_in == "loss" and a.kl_coef > 0:
            away = KL_ESTIMATORS[a.kl_estimator](logprobs, fields["ref_logprobs"])
            terms.append(Term("kl", LossSum((fields["share"] * away).sum(), fields["count"].sum()), float(fields["kl_coef"])))
        if out.values is not None and a.has_critic:
            value = clipped_value_loss(out.values, fields["values"], fields["returns"], clip_range=a.value_clip)
            terms.append(Term("value", replace(value, stats={"squared_error": value.stats["squared_error"]}), a.vf_coef))
        if out.entropy is not None and a.ent_coef > 0:
            terms.append(Term("entropy", LossSum(-out.entropy.sum(), out.entropy.new_tensor(float(out.entropy.numel()))),
                              float(fields["ent_coef"])))
        return terms

    def _policy_terms(self, logprobs: Tensor, batch: MicroBatch) -> list[Term]:
        """The policy's term, and the ratio's figures, which are means over tokens whatever the loss is."""
        a, fields = self.algorithm, batch.fields
        weighted = fields["share"] * fields["advantages"]        # every policy loss is linear in a positive share
        if a.clip_range is None:
            loss = policy_gradient_loss(logprobs, weighted)
            return [Term("policy", LossSum(loss.sum, fields["count"].sum()))]
        self.log_ratios.append((logprobs - fields["old_logprobs"]).detach())
        if a.ratio == "sequence":
            logprobs = _by_sequence(logprobs, fields["old_logprobs"], batch.tokens)
        loss = clipped_policy_loss(logprobs, fields["old_logprobs"], weighted, dual_clip=a.dual_clip,
                                   clip_range=(a.clip_range, a.clip_higher or a.clip_range))
        return [Term("policy", LossSum(loss.sum, fields["count"].sum())),
                Term("measured", LossSum(loss.sum.new_zeros(()), loss.count, loss.stats))]


def is_text(batch: MicroBatch) -> bool:
    """Whether a micro-batch is text that is mixed in, not sampled responses."""
    return "advantages" not in batch.fields


def _logprobs(out: PolicyOutput) -> Tensor:
    assert out.logprobs is not None
    return out.logprobs


def _by_sequence(logprobs: Tensor, old_logprobs: Tensor, tokens: TokenBatch) -> Tensor:
    """(L,) logprobs whose ratio to the old ones is, at each token, the response's geometric mean (GSPO, eq. 7)."""
    owner = tokens.sequence_of_label
    sums = logprobs.new_zeros(tokens.num_sequences).index_add(0, owner, logprobs - old_logprobs)
    return old_logprobs + (sums / tokens.label_counts)[owner]
