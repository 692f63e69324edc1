"""The peer's side of `bench generation`: transformers' own `generate` and `generate_batch`, on prompts that are token ids.

    python transformers_generation.py ASKED.json      prints one line of JSON

Plain sampling from the whole vocabulary. Logprobs are not asked of it, which it would have to compute and keep for every token
of the vocabulary: what is measured is less work than ours.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, ContinuousBatchingConfig, GenerationConfig, StoppingCriteria, StoppingCriteriaList

PAD = 0
MEMORY_FRACTION = 0.2      # of what is free, for the cache of its continuous batching; its default took 14 GB


class OwnLengths(StoppingCriteria):
    """Each row is done at its own length; the batch goes on until all are."""

    def __init__(self, start: int, lengths: list[int]) -> None:
        self.start, self.lengths = start, torch.tensor(lengths)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        return input_ids.shape[1] - self.start >= self.lengths


def generate(model: Any, prompts: list[list[int]], lengths: list[int], batch: int) -> int:
    """Tokens that were asked for and came."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i])) if len(set(lengths)) == 1 else list(range(len(prompts)))
    for first in range(0, len(order), batch):
        rows = order[first : first + batch]
        width = max(len(prompts[i]) for i in rows)
        ids = torch.tensor([[PAD] * (width - len(prompts[i])) + prompts[i] for i in rows])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in rows])
        wanted = [lengths[i] for i in rows]
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=max(wanted),
                             stopping_criteria=StoppingCriteriaList([OwnLengths(width, wanted)]))
        assert out.shape[1] == width + max(wanted)
    return sum(lengths)


def generate_batch(model: Any, prompts: list[list[int]], lengths: list[int]) -> int:
    config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=max(lengths), eos_token_id=-1,
                              pad_token_id=PAD)
    bounded = ContinuousBatchingConfig(max_memory_percent=MEMORY_FRACTION)
    out = model.generate_batch(inputs=prompts, generation_config=config, continuous_batching_config=bounded, progress_bar=False)
    found = sum(len(each.generated_tokens) for each in out.values())
    assert found == sum(lengths), (found, sum(lengths))
    return found


def main(asked: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(asked["model"], dtype=getattr(torch, asked["dtype"]))
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, top_k=0, top_p=1.0, eos_token_id=None,
                                               pad_token_id=PAD)
    prompts, lengths = asked["prompts"], asked["lengths"]
    with torch.no_grad():      # its continuous batching runs in a thread, which knows no inference mode
        generate(model, prompts[:4], [2] * 4, 4)
        began = time.perf_counter()
        tokens = (generate_batch(model, prompts, lengths) if asked["batch"] == "continuous"
                  else generate(model, prompts, lengths, asked["batch"]))
        seconds = time.perf_counter() - began
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    return {"seconds": seconds, "tokens": tokens, "peak_bytes": peak, "threads": torch.get_num_threads()}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
