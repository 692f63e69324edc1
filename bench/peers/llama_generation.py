"""The peer's side of `bench generation`: llama.cpp through llama-cpp-python, parallel sequences in one context.

    python llama_generation.py ASKED.json      prints one line of JSON

Every prompt is a sequence of its own; a step decodes one token of each sequence in flight. Tokens are drawn by llama.cpp's own
sampler (temperature 1, all of the vocabulary); logprobs are not asked of it.
"""

from __future__ import annotations

import ctypes
import json
import re
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import llama_cpp as L


class Context:
    """A model and `slots` parallel sequences."""

    def __init__(self, path: str, slots: int, capacity: int, batch: int, threads: int) -> None:
        L.llama_backend_init()
        self.model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
        settings = L.llama_context_default_params()
        settings.n_ctx, settings.n_batch, settings.n_ubatch, settings.n_seq_max = slots * capacity, batch, batch, slots
        settings.n_threads = settings.n_threads_batch = threads
        self.context = L.llama_init_from_model(self.model, settings)
        self.memory = L.llama_get_memory(self.context)
        self.batch = L.llama_batch_init(batch, 0, 1)
        self.sampler = L.llama_sampler_chain_init(L.llama_sampler_chain_default_params())
        L.llama_sampler_chain_add(self.sampler, L.llama_sampler_init_temp(ctypes.c_float(1.0)))
        L.llama_sampler_chain_add(self.sampler, L.llama_sampler_init_dist(0))

    def decode(self, tokens: list[tuple[int, int, int, bool]]) -> None:
        """(token, position, sequence, whether its logits are wanted) each."""
        self.batch.n_tokens = len(tokens)
        for i, (token, position, sequence, wanted) in enumerate(tokens):
            self.batch.token[i], self.batch.pos[i], self.batch.n_seq_id[i] = token, position, 1
            self.batch.seq_id[i][0], self.batch.logits[i] = sequence, wanted
        code = L.llama_decode(self.context, self.batch)
        assert code == 0, f"llama_decode gave {code}"


def run(context: Context, prompts: list[list[int]], lengths: list[int], slots: int, batch: int) -> int:
    """Continuous batching as its server does it: refill, prefill what came, one token of each sequence in flight."""
    waiting, free, flying, made = deque(range(len(prompts))), list(range(slots)), {}, 0
    while waiting or flying:
        new = []
        while waiting and free and sum(len(prompts[i]) for _, i in new) + len(prompts[waiting[0]]) <= batch:
            new.append((free.pop(), waiting.popleft()))
        if new:
            tokens = [(t, p, s, p == len(prompts[i]) - 1) for s, i in new for p, t in enumerate(prompts[i])]
            rows = [(s, i, 0) for s, i in new]
        else:
            rows = [(s, i, n) for s, (i, n, _) in flying.items()]
            tokens = [(flying[s][2], len(prompts[i]) + n - 1, s, True) for s, i, n in rows]
        context.decode(tokens)
        at = [k for k, each in enumerate(tokens) if each[3]]
        for (sequence, i, n), k in zip(rows, at, strict=True):
            token = L.llama_sampler_sample(context.sampler, context.context, k)
            made += 1
            flying[sequence] = (i, n + 1, token)
            if n + 1 >= lengths[i]:
                del flying[sequence]
                L.llama_memory_seq_rm(context.memory, sequence, -1, -1)
                free.append(sequence)
    return made


def main(asked: dict[str, Any]) -> dict[str, Any]:
    slots, prompts, lengths = asked["batch"], asked["prompts"], asked["lengths"]
    capacity = max(len(prompt) + length for prompt, length in zip(prompts, lengths, strict=True))
    context = Context(asked["gguf"], slots, capacity, asked["batch_tokens"], asked["threads"])
    run(context, prompts[:2], [2, 2], slots, asked["batch_tokens"])
    began = time.perf_counter()
    tokens = run(context, prompts, lengths, slots, asked["batch_tokens"])
    seconds = time.perf_counter() - began
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)) * 1024
    return {"seconds": seconds, "tokens": tokens, "peak_bytes": peak, "version": L.__version__}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
