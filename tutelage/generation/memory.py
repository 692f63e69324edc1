"""What decoding takes: keys and values of every slot, and the logits of one token a slot."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.batch import TokenBatch
from tutelage.generation.engine import PREFILL_TOKENS
from tutelage.models.footprint import key_value_bytes
from tutelage.models.policy import Policy
from tutelage.runs.plan import BEFORE, Plan, peak_bytes, resident_bytes

LINE_BYTES = 60      # a token of a sample in its JSON line: id, logprob, mask


def decoding_bytes(policy: Policy, slots: int, prompt_lengths: Sequence[int], max_new_tokens: int) -> dict[str, int]:
    """By part, for `slots` responses in flight after prompts of these lengths."""
    config = policy.config.get_text_config()
    longest = max(prompt_lengths, default=0)
    prefill = min(PREFILL_TOKENS + longest, sum(prompt_lengths))
    wide = 8 * config.hidden_size + 3 * (getattr(config, "intermediate_size", None) or 4 * config.hidden_size)
    return {"keys and values of the decoding slots": slots * (longest + max_new_tokens) * key_value_bytes(policy),
            "logits": slots * config.vocab_size * (policy.dtype.itemsize + 8),
            "prompts on their way in": prefill * wide * policy.dtype.itemsize}


def plan_sampling(stage: str, policy: Policy, slots: int, prompt_lengths: Sequence[int], max_new_tokens: int,
                  responses: int) -> Plan:
    """The plan of a stage that draws `responses` from a loaded policy."""
    policy.evaluate_logprobs(TokenBatch.pack([[1, 1]], [[False, True]]).to(policy.device))      # weights that are mapped are read
    held, so_far = resident_bytes(), peak_bytes()
    memory = {"the process, data and weights": held,
              **decoding_bytes(policy, min(slots, max(1, responses)), prompt_lengths, max_new_tokens)}
    if so_far > sum(memory.values()):
        memory[BEFORE] = so_far - sum(memory.values())
    samples = responses * (max_new_tokens + max(prompt_lengths, default=0)) * LINE_BYTES
    return Plan(stage=stage, memory=memory, disk={"checkpoints: two and a new one": 3 * samples, "the artifact": samples},
                held=held, remedy="Most of it grows with the responses in flight: lower slots or max_new_tokens.")
