"""Where our training step's time goes, by kind of operation: one step of each work of `bench training`, one lane on one thread.

    python -m bench profiling --instructions FILE --preferences FILE [--work sft ...]

Lanes do this side by side, a thread each, so shares are those of a step with two. Each work is a process of its own; a step
before it warms up. `ceiling_share` is what the products need at the measured rate of one thread, of the step's time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import training
from bench.__main__ import versions

KINDS = {      # kind -> how the names of its operations begin
    "matrix products": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::_weight"),
    "optimizer": ("aten::_fused_adamw", "aten::_foreach", "aten::linalg_vector_norm"),
    "copies and casts": ("aten::copy_", "aten::index", "aten::cat", "aten::_index_put", "aten::gather", "aten::scatter",
                         "aten::embedding", "aten::fill_", "aten::zero_"),
}


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench profiling")
    parser.add_argument("--instructions", required=True)
    parser.add_argument("--preferences", required=True)
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--work", nargs="+", choices=training.WORKS, default=training.WORKS)
    asked = parser.parse_args(arguments)
    asked.steps = 1
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for work in asked.work:
            file = Path(folder) / f"{work}.json"
            file.write_text(json.dumps(training.planned(work, asked, tuned=True)))
            done = subprocess.run([sys.executable, "-m", "bench.profiling", str(file)], stdout=subprocess.PIPE, text=True,
                                  check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            found[work] = json.loads(done.stdout.splitlines()[-1])
    return {"model": asked.model, "work": found, "versions": versions("torch")}


def profiled(asked: dict[str, Any]) -> dict[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    ours = training.Ours(asked, lanes=1)
    ours.step(0)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        ours.step(1)
    times: dict[str, float] = {}
    for event in seen.key_averages():
        kind = next((kind for kind, starts in KINDS.items() if event.key.startswith(starts)), "elementwise, sums and calls")
        times[kind] = times.get(kind, 0.0) + event.self_cpu_time_total
    total = sum(times.values())
    return {"tokens": ours.tokens(1), "seconds": total / 1e6, "precision": ours.precision,
            "shares": {kind: times[kind] / total for kind in sorted(times, key=lambda kind: -times[kind])},
            "ceiling_share": ours.products(1) / ours.ceiling / (total / 1e6)}


if __name__ == "__main__":
    print(json.dumps(profiled(json.loads(Path(sys.argv[1]).read_text()))))
