"""Fine-tuning beside TRL: SFT, LoRA, DPO and reward models on the same rows, step by step, in tokens a second and memory.

    make bench BENCH_ARGS="training --instructions FILE --preferences FILE [--work sft ...]"

Rows are rendered once, by our template, and both sides get the ids. The peer runs as its documentation starts it (eight rows a
batch, padded) and tuned (bf16 weights, nothing recomputed; packed in our packing where it can pack). We run the rows of each
of its steps as one step of ours, so every ratio is of equal work. The first two steps of each run warm up and are not timed (in
the first the optimizer's moments come to be, in the second memory finds its size); first losses stand beside each other. Tokens
are those of rows, without padding, a prompt counted with each of its responses.
Each run is a process of its own; runs alternate; the medians count.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import versions

WORKS = ("sft", "lora", "dpo", "reward")
RESULTS = Path(__file__).parent / "results" / "training.json"
PEER = Path(__file__).parent / "peers" / "trl_training.py"
DOCUMENTED_BATCH = 8              # per_device_train_batch_size of transformers' Trainer
WARM_UP = 2                       # steps
LONGEST = {"sft": 512, "lora": 512, "dpo": 1024, "reward": 1024}
TUNED_TOKENS = 2048               # of SFT, in one packed step
MICRO_TOKENS = 2048               # of ours, at once in memory
TUNED_PAIRS = 4
RATES = {"sft": 2e-5, "lora": 2e-4, "dpo": 1e-6, "reward": 1e-4}
RANK = 16


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench training")
    parser.add_argument("--peer", default=".venv-peer/bin/python", help="a Python that has TRL")
    parser.add_argument("--instructions", required=True)
    parser.add_argument("--preferences", required=True)
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--work", nargs="+", choices=WORKS, default=WORKS)
    parser.add_argument("--steps", type=int, default=2, help="timed ones")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args(arguments)
    found = _measured_before(asked.model)
    with tempfile.TemporaryDirectory() as folder:
        for work in asked.work:
            found[work] = {"timed_steps": asked.steps, "repeats": asked.repeats, **_compare(work, asked, Path(folder))}
            print(json.dumps({work: found[work]}, indent=1), file=sys.stderr, flush=True)
    peers = subprocess.run([asked.peer, "-c", "import trl, transformers; print(trl.__version__, transformers.__version__)"],
                           capture_output=True, text=True, check=True).stdout.split()
    return {"model": asked.model, "work": found,
            "versions": {**versions("torch"), "trl": peers[0], "transformers": peers[1]}}


def _measured_before(model: str) -> dict[str, Any]:
    """What the file of results holds of other works, so that one may be measured again alone."""
    if not RESULTS.is_file():
        return {}
    before = json.loads(RESULTS.read_text(encoding="utf-8"))
    return dict(before["work"]) if before["model"] == model else {}


def _compare(work: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    compared = {}
    for tuned in (False, True):
        file = folder / f"{work}-{tuned}.json"
        plan = planned(work, asked, tuned)
        file.write_text(json.dumps({**plan, "folder": str(folder / "out")}))
        measured: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
        for repeat in range(asked.repeats):
            for side in ("ours", "peer") if repeat % 2 == 0 else ("peer", "ours"):
                measured[side].append(_measure([asked.peer, str(PEER)] if side == "peer" else
                                               [sys.executable, "-m", "bench.training"], file, folder))
        compared["tuned" if tuned else "documented"] = _summary(plan, measured)
    return compared


def _summary(plan: dict[str, Any], measured: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    tokens = sum(_tokens(plan["rows"][index]) for step in plan["steps"][WARM_UP:] for index in step)
    sides: dict[str, dict[str, float]] = {}
    for side, runs in measured.items():
        sides[side] = {"tokens_per_s": statistics.median(tokens / _seconds(plan, each) for each in runs),
                       "peak_gb": statistics.median(each["peak_bytes"] for each in runs) / 1e9,
                       "first_loss": runs[0]["losses"][0]}
    sides["ours"]["ceiling_share"] = statistics.median(each["ceiling_share"] for each in measured["ours"])
    return {**sides, "tokens_a_step": round(tokens / (len(plan["steps"]) - WARM_UP)),
            "times_faster": sides["ours"]["tokens_per_s"] / sides["peer"]["tokens_per_s"],
            "of_its_memory": sides["ours"]["peak_gb"] / sides["peer"]["peak_gb"]}


def _seconds(plan: dict[str, Any], found: dict[str, Any]) -> float:
    """Of the timed steps, with their share of what was computed beforehand for all."""
    steps = len(plan["steps"])
    return sum(found["seconds"][WARM_UP:]) + found["beforehand_s"] * (steps - WARM_UP) / steps


def _tokens(row: dict[str, Any]) -> int:
    return len(row["ids"]) if "ids" in row else 2 * len(row["prompt"]) + len(row["chosen"]) + len(row["rejected"])


def _measure(command: Sequence[str], file: Path, folder: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        done = subprocess.run([*command, str(file)], capture_output=True, text=True,
                              env={**os.environ, "HF_HOME": cache, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ---- the rows -------------------------------------------------------------------------------------------------------

def planned(work: str, asked: argparse.Namespace, tuned: bool) -> dict[str, Any]:
    """What both sides are given: ids, and which rows each step has."""
    from tutelage.data.chat import ChatTemplate
    from tutelage.data.loader import pack_by_tokens
    from tutelage.data.sources import read_file
    from tutelage.models.load import load_tokenizer, resolve

    path = resolve(asked.model).path
    template = ChatTemplate.load(path, load_tokenizer(path))
    records = read_file(Path(asked.instructions if work in ("sft", "lora") else asked.preferences)).records
    rows = [row for row in (_row(template, record) for record in records) if _longest(row) <= LONGEST[work]]
    if work in ("sft", "lora") and tuned:
        steps = pack_by_tokens([_tokens(row) for row in rows], range(len(rows)), TUNED_TOKENS)
    else:
        size = TUNED_PAIRS if tuned else DOCUMENTED_BATCH
        steps = [list(range(start, start + size)) for start in range(0, len(rows) - size + 1, size)]
    wanted = WARM_UP + asked.steps
    if len(steps) < wanted:
        raise ValueError(f"{len(rows)} rows within {LONGEST[work]} tokens fill {len(steps)} steps; wanted {wanted}.")
    steps = steps[:wanted]
    return {"work": work, "tuned": tuned, "model": str(path), "rows": rows, "steps": steps, "lr": RATES[work],
            "batch": len(steps[0]), "rank": RANK if work == "lora" else 0,
            "checkpointing": work == "reward" and not tuned}      # as the peer of itself


def _row(template: Any, record: Any) -> dict[str, Any]:
    from tutelage.training.responses import render_to_end_of_turn

    if hasattr(record, "messages"):
        row = template.render(record.messages)
        return {"ids": list(row.ids), "mask": list(row.response_mask)}
    prompt = template.render_prompt(record.prompt)
    sides = [list(render_to_end_of_turn(template, record.prompt, side).ids[len(prompt):])
             for side in (record.chosen, record.rejected)]
    return {"prompt": list(prompt), "chosen": sides[0], "rejected": sides[1]}


def _longest(row: dict[str, Any]) -> int:
    return len(row["ids"]) if "ids" in row else len(row["prompt"]) + max(len(row["chosen"]), len(row["rejected"]))


# ---- our side -------------------------------------------------------------------------------------------------------

class Ours:
    """Our stage's steps, one by one."""

    def __init__(self, asked: dict[str, Any], lanes: int | None = None) -> None:
        from tutelage.data.loader import micro_batches
        from tutelage.models.builtin import cache_dir
        from tutelage.models.config import Adapter
        from tutelage.models.load import load_policy
        from tutelage.models.precision import choose_precision, known_ceiling
        from tutelage.training.config import Optimizer
        from tutelage.training.lanes import Lanes, lanes_here
        from tutelage.training.optimizer import Masters, freeze_language_head

        self.asked, self.precision = asked, choose_precision("auto", cache_dir())
        self.ceiling = getattr(known_ceiling(cache_dir()), self.precision) * 1e12      # operations a second
        policy = load_policy(Path(asked["model"]), self.precision, score_head=asked["work"] == "reward",
                             adapter=Adapter(rank=asked["rank"]) if asked["rank"] else None)
        if asked["work"] == "reward":
            freeze_language_head(policy)
        if asked["checkpointing"]:
            policy.checkpoint_blocks()
        self.policy, self.task = policy, _task(asked, policy)
        self.lanes = Lanes(policy, lanes or lanes_here(policy.device))
        self.masters = Masters(policy, Optimizer(lr=asked["lr"], warmup_fraction=0.0, schedule="constant"), len(asked["steps"]),
                               self.lanes)
        self.steps = [micro_batches(step, self.task.lengths, MICRO_TOKENS, self.lanes.count, self.task.opening)
                      for step in asked["steps"]]
        began = time.perf_counter()
        if asked["work"] == "dpo":
            self._remember_reference()
        self.beforehand_s = time.perf_counter() - began

    def step(self, number: int) -> float:
        """Its loss."""
        from tutelage.training.loop import update

        return update(self.masters, self.task.batches(self.lanes, self.steps[number]), self.task)["loss"]

    def tokens(self, number: int) -> int:
        return sum(_tokens(self.asked["rows"][row]) for row in self.asked["steps"][number])

    def products(self, number: int) -> float:
        """Floating-point operations that its matrix products need."""
        from tutelage.models.flops import training_flops

        return sum(training_flops(self.policy, batch.tokens, head=self.asked["work"] != "reward")
                   for batch in self.task.batches(self.lanes, self.steps[number]))

    def _remember_reference(self) -> None:
        parts = [part for step in self.steps for part in step]
        said = {row: each for part, found in zip(parts, self.lanes.each(self.task.reference_of, parts), strict=True)
                for row, each in zip(part, found, strict=True)}
        self.task.remembered = [said.get(row) for row in range(len(self.task.lengths))]


def ours(asked: dict[str, Any]) -> dict[str, Any]:
    from tutelage.runs.plan import peak_bytes

    ours, seconds, losses = Ours(asked), [], []
    for number in range(len(asked["steps"])):
        began = time.perf_counter()
        losses.append(ours.step(number))
        seconds.append(time.perf_counter() - began)
    peak = peak_bytes()
    timed = range(WARM_UP, len(asked["steps"]))
    return {"seconds": seconds, "losses": losses, "beforehand_s": ours.beforehand_s, "peak_bytes": peak,
            "precision": ours.precision,
            "ceiling_share": sum(map(ours.products, timed)) / ours.ceiling / sum(seconds[WARM_UP:])}


def _task(asked: dict[str, Any], policy: Any) -> Any:
    from tutelage.data.chat import Rendered
    from tutelage.rewards.bradley_terry import BradleyTerry
    from tutelage.training.pairs import Group
    from tutelage.tuning.config import Preferences
    from tutelage.tuning.pairs import Pairs
    from tutelage.tuning.sft import Conversations

    def rendered(ids: list[int], mask: list[bool]) -> Any:
        return Rendered(ids=tuple(ids), response_mask=tuple(mask), spans=(), text="")

    if asked["work"] in ("sft", "lora"):
        return Conversations({str(i): rendered(row["ids"], row["mask"]) for i, row in enumerate(asked["rows"])}, policy.ragged)

    def group(number: int, row: dict[str, Any]) -> Group:
        from tutelage.records import Preference
        sides = tuple(rendered(row["prompt"] + side, [False] * len(row["prompt"]) + [True] * len(side))
                      for side in (row["chosen"], row["rejected"]))
        term = Preference(id=str(number), prompt=(), chosen=(), rejected=())
        return Group(prompt=(), prompt_length=len(row["prompt"]), responses=sides, pairs=((0, 1, term),))

    groups = [group(number, row) for number, row in enumerate(asked["rows"])]
    return BradleyTerry(groups, 0.0, policy.ragged) if asked["work"] == "reward" else Pairs(
        groups, 0, Preferences(), policy.ragged)


if __name__ == "__main__":
    print(json.dumps(ours(json.loads(Path(sys.argv[1]).read_text()))))
