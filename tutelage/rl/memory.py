"""What the memory planner asks of an RL stage: the largest pack a rollout may have, and what decoding takes beside it."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from tutelage.generation.memory import decoding_bytes
from tutelage.models.footprint import trained_parameters
from tutelage.models.policy import Policy
from tutelage.records import Prompt, Sample
from tutelage.rl.config import RL, Algorithm
from tutelage.rl.trainer import pack_samples
from tutelage.training.loop import MicroBatch
from tutelage.training.memory import Load


def largest_load(policy: Policy, prompts: Sequence[Sequence[int]], config: RL, algorithm: Algorithm, lanes: int,
                 mixed: MicroBatch | None = None, critic: Policy | None = None) -> Load:
    """A rollout of the longest prompts, each response as long as it may be: no step can keep more than this.

    Args:
        prompts: token ids of every prompt. mixed: the largest micro-batch of text that is mixed in. critic: one of its own.
    """
    longest = sorted(prompts, key=len, reverse=True)[:config.prompts_per_step]
    packs = pack_samples([_longest_sample(ids, i, config.max_new_tokens) for i, ids in enumerate(longest)
                          for _ in range(config.per_prompt)], config.micro_tokens, algorithm.minibatches, policy.ragged, lanes)
    pack = max(packs, key=lambda each: each.tokens.num_tokens)
    zeros = torch.zeros(len(pack.tokens.labels))
    names = ("old_logprobs", "ref_logprobs", "values", "advantages", "returns", "share", "count")
    fields = {**dict.fromkeys(names, zeros), "kl_coef": torch.tensor(algorithm.kl_coef),
              "ent_coef": torch.tensor(algorithm.ent_coef)}
    responses = len(longest) * config.per_prompt
    sampled = MicroBatch(tokens=pack.tokens, rows=("the longest prompts",), fields=fields)
    largest = mixed if mixed is not None and mixed.tokens.num_tokens > pack.tokens.num_tokens else sampled
    return Load(largest=largest, accumulates=mixed is not None or len(packs) > algorithm.minibatches, num_tokens=0, lanes=lanes,
                restores=config.guard.goes_back,
                beside={} if critic is None else {"the critic's masters, moments and gradients": 16 * trained_parameters(critic)},
                other=decoding_bytes(policy, min(config.slots, responses), [len(ids) for ids in longest], config.max_new_tokens))


def _longest_sample(ids: Sequence[int], number: int, tokens: int) -> Sample:
    name = f"longest-{number}"
    return Sample(id=name, prompt=Prompt(id=name, messages=()), prompt_ids=tuple(ids), response_ids=tuple(ids[:1]) * tokens,
                  logprobs=(0.0,) * tokens, response_mask=(True,) * tokens, text="", ended=False)
