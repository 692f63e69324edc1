"""What decoding takes: keys and values of every slot, the logits of one token a slot, and weights as decoding wants them."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.batch import TokenBatch
from tutelage.generation.flight import PREFILL_TOKENS
from tutelage.generation.lanes import MOST
from tutelage.models.decoder import PART, packed_bytes
from tutelage.models.footprint import key_value_bytes, weight_bytes
from tutelage.models.policy import Policy
from tutelage.models.slots import aligned
from tutelage.runs.plan import BEFORE, Plan, peak_bytes, resident_bytes

SCRATCH_BYTES = 16   # of a logit while tokens are drawn: in fp32, and what is made of it
LINE_BYTES = 60      # a token of a sample in its JSON line: id, logprob, mask


def decoding_bytes(policy: Policy, slots: int, prompt_lengths: Sequence[int], max_new_tokens: int,
                   merge: bool = False) -> dict[str, int]:
    """By part, for `slots` responses in flight after prompts of these lengths; `merge` as in `Engine`."""
    config = policy.config.get_text_config()
    longest = max(prompt_lengths, default=0)
    prefill = min(PREFILL_TOKENS + longest, sum(prompt_lengths))
    wide = 8 * config.hidden_size + 3 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    finished = min(slots, MOST * PART) * config.vocab_size * SCRATCH_BYTES
    merged = weight_bytes(policy.model) if merge and policy.has_adapter else 0
    parts = {"keys and values of the decoding slots": slots * aligned(longest + max_new_tokens) * key_value_bytes(policy),
             "logits": slots * config.vocab_size * policy.dtype.itemsize + finished,
             "prompts on their way in": prefill * wide * policy.dtype.itemsize,
             "a copy of the weights with the adapter in it": merged,
             "weights laid out for decoding": packed_bytes(policy)}
    return {name: size for name, size in parts.items() if size}


def plan_sampling(stage: str, policy: Policy, slots: int, prompt_lengths: Sequence[int], max_new_tokens: int,
                  responses: int, merge: bool = False) -> Plan:
    """The plan of a stage that draws `responses` from a loaded policy."""
    policy.evaluate_logprobs(TokenBatch.pack([[1, 1]], [[False, True]]).to(policy.device))      # weights that are mapped are read
    held, so_far = resident_bytes(), peak_bytes()
    memory = {"the process, data and weights": held,
              **decoding_bytes(policy, min(slots, max(1, responses)), prompt_lengths, max_new_tokens, merge)}
    if so_far > sum(memory.values()):
        memory[BEFORE] = so_far - sum(memory.values())
    samples = responses * (max_new_tokens + max(prompt_lengths, default=0)) * LINE_BYTES
    return Plan(stage=stage, memory=memory, disk={"checkpoints: two and a new one": 3 * samples, "the artifact": samples},
                held=held, remedy="Most of it grows with the responses in flight: lower slots or max_new_tokens.")
