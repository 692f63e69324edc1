"""Does the memory planner tell the truth? Each configuration runs in a fresh process, a few steps on the built-in model (two at
least: before the first the optimizer has no moments); what was predicted before the first step stands beside what the kernel
saw at the peak (VmHWM).

    python -m bench.memory [NAME ...]      prints a Markdown table and writes bench/results/memory.json
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL = "smollm2-135m-q4"
RESULTS = Path(__file__).parent / "results"

_ROWS = "builtin:instructions.en"
_SMALL = {"batch_tokens": 1024, "micro_tokens": 1024, "epochs": 2}
# name -> (what it is, stage, its settings, rows of the built-in data)
CONFIGURATIONS: dict[str, tuple[str, str, dict[str, Any], int]] = {
    "sft-bf16": ("SFT, all weights, bf16, 1,024 tokens at once", "sft", {**_SMALL, "precision": "bf16"}, 30),
    "sft-bf16-micro": ("SFT, all weights, bf16, 1,024 tokens in packs of 512", "sft",
                       {**_SMALL, "micro_tokens": 512, "precision": "bf16"}, 18),
    "sft-fp32": ("SFT, all weights, fp32, 512 tokens at once", "sft",
                 {**_SMALL, "batch_tokens": 512, "max_length": 512, "precision": "fp32"}, 14),
    "sft-2048": ("SFT, all weights, bf16, 2,048 tokens at once", "sft",
                 {**_SMALL, "batch_tokens": 2048, "micro_tokens": 2048, "precision": "bf16"}, 16),
    "sft-checkpointing": ("The same with checkpointing", "sft",
                          {**_SMALL, "batch_tokens": 2048, "micro_tokens": 2048, "precision": "bf16",
                           "checkpointing": True}, 16),
    "sft-lora": ("SFT, LoRA of rank 8, bf16, 1,024 tokens at once", "sft",
                 {**_SMALL, "precision": "bf16", "adapter": {"rank": 8}}, 18),
    "sft-frozen": ("SFT, the upper 10 of 30 blocks, bf16, 1,024 tokens at once", "sft",
                   {**_SMALL, "precision": "bf16", "optimizer": {"frozen_layers": 20}}, 18),
    "reward": ("Reward model, 18 blocks, bf16, 1,024 tokens at once", "reward",
               {"layers": 18, "precision": "bf16", "batch_tokens": 1024, "micro_tokens": 1024,
                "epochs": 2, "optimizer": {"frozen_layers": 6}}, 18),
    "rl": ("PPO, all weights with a reference, bf16, 16 samples of 24 tokens", "rl",
           {"precision": "bf16", "steps": 2, "prompts_per_step": 4, "per_prompt": 4, "max_new_tokens": 24,
            "micro_tokens": 1024}, 12),
    "sample": ("Sampling, bf16, 32 slots, 24 new tokens", "sample",
               {"precision": "bf16", "per_prompt": 4, "max_new_tokens": 24, "slots": 32}, 8),
}


def child(name: str, directory: Path) -> dict[str, Any]:
    """Run one configuration in this process; what was predicted and what was seen, bytes."""
    from tutelage import api
    from tutelage.data.datasets import builtin_path
    from tutelage.runs.plan import peak_bytes

    _, stage, settings, rows = CONFIGURATIONS[name]
    data = directory / "rows.jsonl"
    lines = builtin_path(_ROWS).read_text(encoding="utf-8").splitlines()[:rows]
    data.write_text("".join(_row(line, stage) for line in lines), encoding="utf-8")
    role, source = {"sft": ("model", "data"), "reward": ("model", "data"), "rl": ("policy", "prompts"),
                    "sample": ("model", "prompts")}[stage]
    extra = {"reward": brevity} if stage == "rl" else {}
    getattr(api, stage)(directory, **{role: MODEL, source: str(data), **settings, **extra})
    record = json.loads(next((directory / "runs").glob("*/run.json")).read_text(encoding="utf-8"))
    return {"predicted": record["plan"]["peak_memory_bytes"], "measured": peak_bytes(), "parts": record["plan"]["memory"]}


def brevity(samples: Sequence[Any]) -> list[float]:
    return [-float(len(sample.text)) for sample in samples]


def _row(line: str, stage: str) -> str:
    """The built-in row as it is, or for a reward model a pair: its response against the same one, halved."""
    row = json.loads(line)
    if stage != "reward":
        return line + "\n"
    half = row["response"][:len(row["response"]) // 2] or "No."
    return json.dumps({"prompt": row["prompt"], "chosen": row["response"], "rejected": half}, ensure_ascii=False) + "\n"


def run(arguments: Sequence[str]) -> dict[str, Any]:
    """Measure the named configurations, or all; returns and writes the results, beside those of others measured before."""
    written = RESULTS / "memory.json"
    results = json.loads(written.read_text(encoding="utf-8"))["results"] if arguments and written.is_file() else {}
    for name in arguments or CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run([sys.executable, "-m", "bench.memory", "--child", name, directory], text=True, check=True,
                                  stdout=subprocess.PIPE)
        results[name] = {"what": CONFIGURATIONS[name][0], **json.loads(done.stdout.splitlines()[-1])}
        print(_line(results[name]), flush=True)
    report = {"processor": platform.machine(), "model": MODEL, "results": results}
    RESULTS.mkdir(exist_ok=True)
    written.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def _line(result: dict[str, Any]) -> str:
    off = result["predicted"] / result["measured"] - 1
    return f"| {result['what']} | {result['predicted'] / 1e6:,.0f} | {result['measured'] / 1e6:,.0f} | {off:+.1%} |"


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(sys.argv[2], Path(sys.argv[3]))))
    else:
        print("| configuration | predicted, MB | measured, MB | off by |\n|---|---|---|---|")
        run(sys.argv[1:])
