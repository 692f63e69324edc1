"""What it costs to look: everything a run measures of itself, a step, beside the step. On the built-in model, one process.

    python -m bench.observing      prints a Markdown table and writes bench/results/observing.json

A step with and one without differ by less than two equal steps do, so each part is timed by itself, many times.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-q4"
TOKENS, STEPS, TIMES = 1024, 3, 9
RESULTS = Path(__file__).parent / "results"


def seconds(act: Callable[[], Any], times: int = TIMES) -> float:
    """Of processor time, the median of `times` runs: whoever else is at work on the machine counts in no part."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        act()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def measure() -> dict[str, float]:
    """Seconds a step, by part; "a step" is an SFT step of all weights in bf16, `TOKENS` tokens at once."""
    import torch

    from tutelage.batch import TokenBatch
    from tutelage.models.flops import training_flops
    from tutelage.models.load import load_policy, resolve
    from tutelage.runs.meter import Meter, measuring, phase
    from tutelage.runs.metrics import JsonLines
    from tutelage.runs.speed import describe
    from tutelage.runs.tensorboard import TensorBoard
    from tutelage.training.config import Optimizer
    from tutelage.training.loop import MicroBatch, update
    from tutelage.training.optimizer import Masters
    from tutelage.tuning.sft import NegativeLogLikelihood

    policy = load_policy(resolve(MODEL, None).path, "bf16")
    masters = Masters(policy, Optimizer(), STEPS)
    rows = torch.randint(0, 40_000, (4, TOKENS // 4), generator=torch.Generator().manual_seed(0)).tolist()
    tokens = TokenBatch.pack(rows, [[False] * (TOKENS // 16) + [True] * (TOKENS // 4 - TOKENS // 16)] * 4)
    batch = MicroBatch(tokens=tokens, rows=("a", "b", "c", "d"))
    metrics: dict[str, float] = {}
    with measuring() as meter, tempfile.TemporaryDirectory() as directory:
        step = seconds(lambda: metrics.update(update(masters, [batch], NegativeLogLikelihood())), STEPS)
        lap = meter.lap()
        line = describe(lap, 1.0)
        lines, events = JsonLines(Path(directory) / "m.jsonl", 0), TensorBoard(Path(directory), 0)

        def phases() -> None:
            for _ in range(5):
                with phase("forward"):
                    pass

        found = {"a step": step,
                 "the share of weights that changed": seconds(lambda: masters._changed(masters._watched())),
                 "products of a micro-batch, counted": seconds(lambda: training_flops(policy, tokens)),
                 "phases": seconds(phases), "a lap, with memory": seconds(lambda: describe(Meter().lap(), 1.0)),
                 "two JSON lines": seconds(lambda: (lines.log(0, metrics), lines.log(0, line))),
                 "TensorBoard events, where asked": seconds(lambda: (events.log(0, metrics), events.log(0, line)))}
        lines.close()
        events.close()
    return found


def main() -> None:
    found = measure()
    step = found["a step"]
    total = sum(each for name, each in found.items() if name != "a step")
    rows = {**found, "all of it": total}
    print("| part | ms | of a step |\n|---|---|---|")
    for name, each in rows.items():
        print(f"| {name} | {each * 1e3:,.2f} | {each / step:.3%} |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "observing.json").write_text(json.dumps({"model": MODEL, "tokens": TOKENS, "seconds": rows}, indent=1) + "\n",
                                            encoding="utf-8")


if __name__ == "__main__":
    main()
