"""What a model itself says of a text: logprobs of responses, distance to a reference, perplexity.

T response tokens · L labels of a batch. Everything runs without a graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from scipy import stats
from torch import Tensor

from tutelage.batch import TokenBatch
from tutelage.errors import DataError
from tutelage.records import Sample
from tutelage.statistics import Estimate

TOKENS_PER_BATCH = 4096      # a forward's tokens, prompt included; a longer sequence goes alone


class EvaluatesLogprobs(Protocol):
    """What is asked of a policy here; `models.policy.Policy` is one."""

    @property
    def device(self) -> torch.device: ...

    def evaluate_logprobs(self, batch: TokenBatch) -> Tensor:
        """(L,) fp32, nats, one a label token."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """KL(policy || reference), estimated from the policy's own samples. Nats; the expectations are >= 0.

    A single k1 may be negative; its mean over plain samples is unbiased. k3 is never negative and varies less.
    """

    responses: tuple[float, ...]      # k1 summed over each response, one a sample
    k3_per_token: float               # mean over all response tokens

    @property
    def mean(self) -> float:
        """Nats a response."""
        return math.fsum(self.responses) / len(self.responses)


def response_logprobs(policy: EvaluatesLogprobs, samples: Sequence[Sample]) -> list[Tensor]:
    """log p(token | what stands before it) of the tokens each sample chose: (T,) fp32 a sample, at temperature 1.

    Raises:
        DataError: if a sample has no prompt, so that nothing predicts its first token.
    """
    for sample in samples:
        if not sample.prompt_ids:
            raise DataError(f"sample {sample.id!r} has an empty prompt; wanted at least one token before the response.")
    return _logprobs(policy, [(*sample.prompt_ids, *sample.response_ids) for sample in samples],
                     [(*(False,) * len(sample.prompt_ids), *sample.response_mask) for sample in samples])


def kl_to_reference(policy: EvaluatesLogprobs, reference: EvaluatesLogprobs | None,
                    samples: Sequence[Sample]) -> Divergence:
    """How far `policy` has moved from `reference`, in nats, over responses drawn from `policy`.

        k1 = log pi - log ref,     k3 = ref / pi - 1 - log(ref / pi)      (Schulman 2020, "Approximating KL Divergence")

    Unbiased only for plain samples (temperature 1, top-p 1, top-k off). For the best of several samples it is not the
    distance of what was chosen: use the bound log n - (n - 1) / n instead.

    Args:
        reference: None takes the policy with its adapter off.

    Raises:
        DataError: if there are no samples.
    """
    if not samples:
        raise DataError("kl_to_reference got no samples; wanted responses drawn from the policy.")
    ours = response_logprobs(policy, samples)
    with _reference_of(policy) if reference is None else nullcontext():
        theirs = response_logprobs(policy if reference is None else reference, samples)
    log_ratios = [(our - their).double() for our, their in zip(ours, theirs, strict=True)]      # (T,) each
    flat = torch.cat(log_ratios)
    k3 = torch.expm1(-flat) + flat
    return Divergence(responses=tuple(float(each.sum()) for each in log_ratios),
                      k3_per_token=float(k3.mean()) if len(flat) else 0.0)


def perplexity(policy: EvaluatesLogprobs, sequences: Sequence[Sequence[int]],
               masks: Sequence[Sequence[bool]]) -> Estimate:
    """exp(mean nats a token) of the masked tokens of rendered instructions; n counts the instructions.

    Every token counts once, whichever instruction it is of. The 95 % interval is that of a ratio of means over
    instructions (linearised, Student's t), taken in nats. Only models with one tokenizer compare.

    Raises:
        DataError: if no token is under the masks.
    """
    found = [-each.double() for each in _logprobs(policy, sequences, masks) if len(each)]      # nats
    tokens, count = sum(len(each) for each in found), len(found)
    if not tokens:
        raise DataError("perplexity: no token of the instructions is under its mask; wanted responses to measure.")
    mean = math.fsum(float(each.sum()) for each in found) / tokens
    if count < 2:
        return Estimate(math.exp(mean), math.nan, math.nan, count)
    squares = math.fsum((float(each.sum()) - mean * len(each)) ** 2 for each in found)
    reach = float(stats.t.ppf(0.975, count - 1)) * math.sqrt(count / (count - 1) * squares) / tokens
    return Estimate(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), count)


def _logprobs(policy: EvaluatesLogprobs, sequences: Sequence[Sequence[int]],
              masks: Sequence[Sequence[bool]]) -> list[Tensor]:
    """One (T,) tensor on the CPU a sequence, in order."""
    found: list[Tensor] = []
    for start, end in _batches([len(sequence) for sequence in sequences]):
        batch = TokenBatch.pack(sequences[start:end], masks[start:end])
        counts = batch.label_counts.tolist()
        if sum(counts):
            logprobs = policy.evaluate_logprobs(batch.to(policy.device)).float().cpu()      # (L,)
        else:
            logprobs = torch.zeros(0)
        found.extend(logprobs.split(counts))
    return found


def _batches(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbours whose lengths sum to at most TOKENS_PER_BATCH, as (start, end)."""
    start = size = 0
    for end, length in enumerate(lengths):
        if end > start and size + length > TOKENS_PER_BATCH:
            yield start, end
            start, size = end, 0
        size += length
    if lengths:
        yield start, len(lengths)


def _reference_of(policy: Any) -> AbstractContextManager[Any]:
    return policy.reference()
