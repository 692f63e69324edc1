"""Multiple-choice items by likelihood beside lm-evaluation-harness's Hugging Face backend: same scores, and the time of each.

    make bench BENCH_ARGS="likelihood --instructions FILE --peer PYTHON [--items 1000]"

An item is an instruction with four responses: its own, and those of three other rows, cut to a sentence of at most
`--words` words. Both sides score in fp32, tokenizing included, loading not. The peer is measured as it starts (one request
a batch) and with batches of 16; runs alternate. The first `--exact` items are scored in fp64 too, one plain forward a choice,
to tell whose rounding a difference is. The harness is installed by hand: python -m pip install "lm-eval[hf]".
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import versions

PEER = Path(__file__).parent / "peers" / "lm_eval_choices.py"
CHOICES = 4
WARM = 8                 # items scored before the clock starts


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench likelihood")
    parser.add_argument("--instructions", required=True)
    parser.add_argument("--peer", required=True, help="a Python that has lm-eval")
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--words", type=int, default=12, help="of a choice at most")
    parser.add_argument("--shots", type=int, nargs="+", default=[0], help="examples before each question; one comparison each")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="the peer's batch sizes")
    parser.add_argument("--exact", type=int, default=16, help="items that are scored in fp64 too")
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        found = {f"{shots} shots": _compare(asked, shots, Path(folder)) for shots in asked.shots}
    return {"model": asked.model, "choices": CHOICES, "threads": len(os.sched_getaffinity(0)), **found,
            "versions": {**versions("torch", "transformers"), "lm_eval": _peer_version(asked.peer)}}


def _compare(asked: argparse.Namespace, shots: int, folder: Path) -> dict[str, Any]:
    from tutelage.models.load import resolve

    rows = make_items(Path(asked.instructions), asked.items, asked.words, shots)
    items = folder / "items.jsonl"
    items.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    plan = {"items": str(items), "model": str(resolve(asked.model).path), "warm": WARM, "threads": len(os.sched_getaffinity(0))}
    sides: dict[str, tuple[list[str], dict[str, Any]]] = {"ours": ([sys.executable, "-m", "bench.likelihood"], plan)}
    for batch in asked.batches:
        sides[f"peer, batch {batch}"] = ([asked.peer, str(PEER)], {**plan, "batch": batch})
    measured: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for repeat in range(asked.repeats):
        for side in sorted(sides, reverse=repeat % 2 == 1):
            command, given = sides[side]
            measured[side].append(_measure(command, given, folder))
            print(side, measured[side][-1]["seconds"], file=sys.stderr, flush=True)
    truth = _measure([sys.executable, "-m", "bench.likelihood"], {**plan, "exact": asked.exact}, folder)["scores"]
    seconds = {side: statistics.median(each["seconds"] for each in runs) for side, runs in measured.items()}
    scores = {side: runs[0]["scores"] for side, runs in measured.items()}
    fastest = min(value for side, value in seconds.items() if side != "ours")
    return {"items": len(rows), "seconds": seconds, "times_faster_than_its_fastest": fastest / seconds["ours"],
            "largest_difference_nats": {side: _apart(scores["ours"], scores[side]) for side in sides if side != "ours"},
            "largest_difference_from_fp64_nats": {side: _apart(scores[side][:len(truth)], truth) for side in sides},
            "same_choice": {side: _same_choice(scores["ours"], scores[side]) for side in sides if side != "ours"},
            "tokens": measured["ours"][0]["tokens"], "tokens_without_sharing": measured["ours"][0]["tokens_without_sharing"]}


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def _same_choice(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Share of items whose likeliest choice is the same."""
    def best(scores: Sequence[float]) -> list[int]:
        return [max(range(CHOICES), key=lambda at: scores[start + at]) for start in range(0, len(scores), CHOICES)]

    return sum(a == b for a, b in zip(best(ours), best(theirs), strict=True)) * CHOICES / len(ours)


def make_items(file: Path, count: int, words: int, shots: int = 0) -> list[dict[str, Any]]:
    """`count` items: a question as context, behind `shots` that are answered, its response and three others as choices."""
    from tutelage.data.sources import read_file

    rng = random.Random(0)
    pairs = [(record.prompt[-1].text, _cut(record.response.text, words)) for record in read_file(file).records]
    pairs = [(prompt, response) for prompt, response in pairs if response and len(prompt) < 2000]
    items = []
    for number in range(count):
        prompt, response = pairs[number % len(pairs)]
        others = list(dict.fromkeys(other for _, other in rng.sample(pairs, 3 * CHOICES) if other != response))[:CHOICES - 1]
        shown = "".join(f"Question: {question}\nAnswer: {answer}\n\n" for question, answer in rng.sample(pairs, shots))
        items.append({"context": f"{shown}Question {number + 1}: {prompt}\nAnswer:",
                      "choices": [f" {each}" for each in (response, *others)]})
    return items


def _cut(text: str, words: int) -> str:
    return " ".join(text.split("\n")[0].split()[:words])


def _measure(command: Sequence[str], plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    file = folder / "plan.json"
    file.write_text(json.dumps(plan), encoding="utf-8")
    done = subprocess.run([*command, str(file)], capture_output=True, text=True,
                          env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"})
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _peer_version(python: str) -> str:
    code = "from importlib.metadata import version; print(version('lm_eval'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def ours(asked: dict[str, Any]) -> dict[str, Any]:
    import torch

    from tutelage.evaluation.likelihood import choice_logprobs, encode_choices
    from tutelage.models.load import load_policy, load_tokenizer

    torch.set_num_threads(asked["threads"])
    path = Path(asked["model"])
    policy, tokenizer = load_policy(path, "fp32"), load_tokenizer(path)
    rows = [json.loads(line) for line in Path(asked["items"]).read_text(encoding="utf-8").splitlines()]

    def score(rows: list[dict[str, Any]]) -> tuple[list[float], list[Any]]:
        items = [encode_choices(tokenizer, row["context"], row["choices"]) for row in rows]
        return [each for item in choice_logprobs(policy, items) for each in item], items

    score(rows[:asked["warm"]])
    began = time.perf_counter()
    scores, items = score(rows)
    seconds = time.perf_counter() - began
    return {"seconds": seconds, "scores": scores, "tokens": sum(item.num_tokens for item in items),
            "tokens_without_sharing": sum(len(item.context) + len(each) for item in items for each in item.continuations)}


def exact(asked: dict[str, Any]) -> dict[str, Any]:
    """Scores of the first items by transformers alone, in fp64: one forward a choice, its whole log-softmax."""
    import torch
    from transformers import AutoModelForCausalLM

    from tutelage.evaluation.likelihood import encode_choices
    from tutelage.models.load import load_tokenizer

    path = Path(asked["model"])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64).eval(), load_tokenizer(path)
    scores = []
    for line in Path(asked["items"]).read_text(encoding="utf-8").splitlines()[:asked["exact"]]:
        row = json.loads(line)
        item = encode_choices(tokenizer, row["context"], row["choices"])
        for ids in item.continuations:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([[*item.context, *ids]])).logits[0, len(item.context) - 1:-1]
            scores.append(float(logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None]).sum()))
    return {"scores": scores}


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(json.dumps(exact(given) if "exact" in given else ours(given)))
