"""How a training step's time and memory grow: with the length of a row, with the number of rows, and with the vocabulary.

    python -m bench growth [--quick]

SmolLM2-135M's shape with random weights, all of them trained, every token a label, one step after one that warms up; each
point is a process of its own. `step_gb` is the peak less what stays between steps: what the batch brought, and the gradients.
`uneven` rows have the same tokens as `rows` of 256, in lengths from 16 to 1,024: what padding would cost is the
difference that is not there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from bench.__main__ import versions

LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
ROWS = (4, 8, 16, 32)
VOCABULARIES = (8192, 32768, 49152, 131072, 262144)
UNEVEN = (1024, 16, 512, 240, 64, 256, 800, 32, 16, 400, 224, 512)      # 4,096 tokens, as 16 rows of 256
TOKENS = 2048      # of each point that does not vary them


def points(quick: bool) -> list[tuple[str, int, list[int], int]]:
    """What varies, how much, the lengths of the rows and the vocabulary."""
    lengths = [("length", n, [n], VOCABULARIES[2]) for n in LENGTHS[:3 if quick else None]]
    rows = [("rows", n, [256] * n, VOCABULARIES[2]) for n in ROWS[:2 if quick else None]]
    vocabularies = [("vocabulary", v, [256] * (TOKENS // 256), v) for v in VOCABULARIES[:2 if quick else None]]
    uneven = [] if quick else [("uneven", len(UNEVEN), list(UNEVEN), VOCABULARIES[2])]
    return [*lengths, *rows, *uneven, *vocabularies]


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench growth")
    parser.add_argument("--quick", action="store_true", help="the small points only")
    found: dict[str, list[dict[str, float]]] = {}
    print("| what | of it | tokens | s | ms a token | GB of the step |\n|---|---|---|---|---|---|", file=sys.stderr)
    for what, amount, rows, vocabulary in points(parser.parse_args(arguments).quick):
        done = subprocess.run([sys.executable, "-m", "bench.growth", json.dumps([rows, vocabulary])], stdout=subprocess.PIPE,
                              text=True, check=True)
        point = {what: amount, **json.loads(done.stdout.splitlines()[-1])}
        found.setdefault(what, []).append(point)
        print(f"| {what} | {amount:,} | {point['tokens']:,} | {point['seconds']:.2f} | {point['ms_a_token']:.2f} | "
              f"{point['step_gb']:.2f} |", file=sys.stderr, flush=True)
    return {"growth": found, "versions": versions("torch")}


def step(lengths: Sequence[int], vocabulary: int) -> dict[str, float]:
    """Seconds of the second step over rows of these lengths, and bytes that the batch took at the peak."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from tutelage.batch import TokenBatch
    from tutelage.models.builtin import cache_dir
    from tutelage.models.policy import Policy
    from tutelage.models.precision import choose_precision, dtype_of
    from tutelage.runs.plan import peak_bytes, resident_bytes
    from tutelage.training.config import Optimizer
    from tutelage.training.lanes import Lanes, lanes_here
    from tutelage.training.loop import MicroBatch, update
    from tutelage.training.optimizer import Masters
    from tutelage.tuning.sft import NegativeLogLikelihood

    config = LlamaConfig(vocab_size=vocabulary, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, tie_word_embeddings=True,
                         max_position_embeddings=max(LENGTHS))
    model: Any = LlamaForCausalLM(config)
    policy = Policy(model.to(dtype_of(choose_precision("auto", cache_dir()))))
    masters = Masters(policy, Optimizer(), 4, Lanes(policy, min(lanes_here(policy.device), len(lengths))))
    draws = torch.Generator().manual_seed(0)

    def batches(rows: Sequence[int]) -> list[MicroBatch]:
        """As many as there are lanes, of equal tokens as far as rows allow."""
        lanes: list[list[int]] = [[] for _ in range(masters.lanes.count)]
        for row in sorted(rows, reverse=True):
            min(lanes, key=sum).append(row)
        ids = [[torch.randint(0, vocabulary, (n,), generator=draws).tolist() for n in lane] for lane in lanes]
        return [MicroBatch(tokens=TokenBatch.pack(lane, [[False] + [True] * (len(row) - 1) for row in lane]), rows=())
                for lane in ids]

    update(masters, batches([16] * masters.lanes.count), NegativeLogLikelihood())      # what a step holds whatever its rows
    held = resident_bytes()
    asked = batches(lengths)
    if sum(lengths) <= TOKENS:
        update(masters, asked, NegativeLogLikelihood())
    began = time.perf_counter()
    update(masters, asked, NegativeLogLikelihood())
    seconds, tokens = time.perf_counter() - began, sum(lengths)
    return {"tokens": tokens, "seconds": seconds, "ms_a_token": 1e3 * seconds / tokens,
            "step_gb": (peak_bytes() - held) / 1e9, "peak_gb": peak_bytes() / 1e9}


if __name__ == "__main__":
    print(json.dumps(step(*json.loads(sys.argv[1]))))
