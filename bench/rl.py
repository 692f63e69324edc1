"""RL steps beside TRL: GRPO and RLOO with a Python reward, PPO with a reward model; samples a second, memory, rewards.

    python -m bench rl [--work grpo rloo ppo] [--peer PYTHON] [--ppo-path DIRECTORY]

The reward model is as large as the policy. 16 and 64 samples a step, 64 new tokens each, four samples a prompt, plain sampling
at temperature 1. The peer runs as its documentation starts it and tuned (bf16 weights, one batch, nothing recomputed). The
first step of each run warms up and is not timed. Both sides' rewards stand beside each other. PPO left TRL after 1.12:
`--ppo-path` is a directory that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import HERE, versions

WORKS = ("grpo", "rloo", "ppo")
SIZES = (16, 64)
PER_PROMPT = 4
NEW = 64
RATE = 1e-5
QUESTIONS = ("What is the capital of {}?", "Tell me one thing about {}.", "Write a short sentence about {}.", "Who lives in {}?")
PLACES = ("France", "Japan", "Peru", "Kenya", "Norway", "India", "Chile", "Egypt", "Canada", "Spain", "Greece", "Cuba", "Laos",
          "Nepal", "Italy", "Ghana")


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench rl")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="samples a step")
    parser.add_argument("--peer", default=".venv-peer/bin/python", help="a Python that has TRL")
    parser.add_argument("--ppo-path", help="put before the peer's packages for PPO")
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--kinds", nargs="+", choices=("documented", "tuned"), default=("documented", "tuned"))
    parser.add_argument("--steps", type=int, default=3, help="timed ones")
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args(arguments)
    file = HERE / "results" / "rl.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for work in asked.work:
        for samples in asked.sizes:
            name = f"{work} {samples} x {NEW}"
            with tempfile.TemporaryDirectory() as folder:
                found[name] = {**found.get(name, {}), **_compare(work, samples, asked, Path(folder))}
            print(json.dumps({name: found[name]}, indent=1), file=sys.stderr, flush=True)
    return {**found, "model": asked.model, "versions": versions("torch", "transformers")}


def _compare(work: str, samples: int, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    from tutelage.models.load import resolve

    plan = {"algorithm": work, "samples": samples, "per_prompt": PER_PROMPT, "new": NEW, "lr": RATE, "steps": asked.steps + 1,
            "model": str(resolve(asked.model).path), "folder": str(folder / "out"),
            "prompts": [question.format(place) for question in QUESTIONS for place in PLACES]}
    commands = {"ours": ([sys.executable, "-m", "bench.rl"], plan)}
    for kind in asked.kinds:
        commands[kind] = ([asked.peer, str(HERE / "peers" / "trl_rl.py")], {**plan, "tuned": kind == "tuned"})
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in commands}
    for repeat in range(asked.repeats):
        for side in list(commands)[:: 1 if repeat % 2 == 0 else -1]:
            path = asked.ppo_path if work == "ppo" and side != "ours" else None
            runs[side].append(_measure(*commands[side], folder, path))
            print(work, samples, side, runs[side][-1], file=sys.stderr, flush=True)
    said = {side: _said(samples, each) for side, each in runs.items()}
    for kind in asked.kinds:
        said[f"times_{kind}"] = said["ours"]["samples_per_s"] / said[kind]["samples_per_s"]
        said[f"memory_of_{kind}"] = said["ours"]["peak_gb"] / said[kind]["peak_gb"]
    return said


def _said(samples: int, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The first step warms up."""
    return {"samples_per_s": statistics.median(samples / statistics.median(each["seconds"][1:]) for each in runs),
            "peak_gb": statistics.median(each["peak_bytes"] for each in runs) / 1e9, "rewards": runs[0]["rewards"]}


def _measure(command: Sequence[str], plan: dict[str, Any], folder: Path, path: str | None) -> dict[str, Any]:
    file = folder / "asked.json"
    file.write_text(json.dumps(plan))
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    if path is not None:
        environment["PYTHONPATH"] = path
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ---- our side -------------------------------------------------------------------------------------------------------

def vowels(samples: Sequence[Any]) -> list[float]:
    """The share of letters that are vowels, as the peer's script has it."""
    return [sum(c in "aeiou" for c in each.text.lower()) / max(1, len(each.text)) for each in samples]


def ours(asked: dict[str, Any]) -> dict[str, Any]:
    import tutelage
    from tutelage.project import Project
    from tutelage.runs.metrics import read_metrics
    from tutelage.runs.plan import peak_bytes

    with tempfile.TemporaryDirectory() as folder:
        project = Project.init(Path(folder) / "project")
        prompts = Path(folder) / "prompts.jsonl"
        prompts.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in asked["prompts"]), encoding="utf-8")
        reward: Any = vowels
        if asked["algorithm"] == "ppo":
            reward = _reward_model(Path(asked["model"]), asked["samples"])
        each = asked["per_prompt"]
        tutelage.rl(project, reward=reward, policy=asked["model"], prompts=str(prompts), algorithm=asked["algorithm"],
                    steps=asked["steps"], prompts_per_step=asked["samples"] // each, per_prompt=each,
                    max_new_tokens=asked["new"], slots=asked["samples"], missing_end_penalty=0.0,
                    settings={"epochs": 1, "minibatches": 1},
                    optimizer={"lr": asked["lr"], "warmup_fraction": 0.0, "schedule": "constant"})
        run = next(project.runs.glob("*/speed.jsonl")).parent
        return {"seconds": [line["time/step_s"] for line in read_metrics(run / "speed.jsonl")],
                "rewards": [line["reward/total"] for line in read_metrics(run / "metrics.jsonl")], "peak_bytes": peak_bytes()}


def _reward_model(path: Path, samples: int) -> Any:
    """A model of the policy's size with a random head, as the peer's is: what it costs counts, not what it says. A head of zeros
    would leave nothing to learn, and updates would be left out.
    """
    import torch
    from torch import nn

    from tutelage.batch import TokenBatch
    from tutelage.models.builtin import cache_dir
    from tutelage.models.load import load_policy
    from tutelage.models.precision import choose_precision

    model = load_policy(path, choose_precision("auto", cache_dir()), score_head=True)
    assert model.score_head is not None
    nn.init.normal_(model.score_head.linear.weight, std=0.02, generator=torch.Generator().manual_seed(0))

    def score(drawn: Sequence[Any]) -> list[float]:
        rows = [(*each.prompt_ids, *each.response_ids) for each in drawn]
        with torch.no_grad():
            given = model(TokenBatch.pack(rows, [[False] * (len(row) - 1) + [True] for row in rows]), logprobs=False, scores=True)
        return [float(each) for each in given.scores]

    return score


if __name__ == "__main__":
    print(json.dumps(ours(json.loads(Path(sys.argv[1]).read_text()))))
