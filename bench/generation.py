"""Decoding beside transformers' `generate` and `generate_batch` and llama.cpp: tokens a second, memory, and how ours grows.

    python -m bench generation [--parts same varied ...] [--llama PYTHON]

`same`: 256 prompts of about 32 tokens, 64 new tokens each. `varied`: the same prompts, 8 to 128 new tokens each. Plain sampling
at temperature 1 from the whole vocabulary; ours returns logprobs, the peers are not asked for them. `generate` runs in the
batch size and precision that were fastest for it in a short trial. Every run is a process of its own, after a warm-up; sides
alternate; medians count. `growth` and `roofline` are of ours alone. A part's results are added to those that are there.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import HERE, versions

PARTS = ("same", "varied", "continuous", "growth", "roofline")
PEERS = HERE / "peers"
PROMPTS = 256
SLOTS = 256
TRIALS = [(dtype, batch) for dtype in ("bfloat16", "float32") for batch in (64, 128, 256)]
LLAMA_SLOTS = (64, 128, 256)      # llama.cpp allows 256 sequences


def run(arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m bench generation")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--peer", default=sys.executable, help="a Python that has transformers")
    parser.add_argument("--llama", help="a Python that has llama-cpp-python; without it llama.cpp is left out")
    parser.add_argument("--gguf", help="the model as GGUF at f16, for llama.cpp")
    parser.add_argument("--model", default="smollm2-135m-q4")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sides", nargs="+", choices=("ours", "generate", "llama"), default=("ours", "generate", "llama"))
    asked = parser.parse_args(arguments)
    file = HERE / "results" / "generation.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for part in asked.parts:
        found[part] = {**found.get(part, {}), **_part(part, asked), "threads": _threads()}
        print(json.dumps({part: found[part]}, indent=1), file=sys.stderr, flush=True)
    return {**found, "model": asked.model, "versions": versions("torch", "transformers")}


def _part(part: str, asked: argparse.Namespace) -> dict[str, Any]:
    from tutelage.models.load import resolve

    work = {"model": str(resolve(asked.model).path), **requests("varied" if part == "varied" else "same")}
    if part == "growth":
        return _growth(work)
    if part == "roofline":
        return _measure([sys.executable, "-m", "bench.generation"], {**work, "slots": [64, 256]})
    if part == "continuous":
        few = {**work, "prompts": work["prompts"][:64], "lengths": work["lengths"][:64], "batch": "continuous"}
        return {"generate_batch": _said(_measure(_transformers(asked), {**few, "dtype": "bfloat16"})),
                "ours_64_slots": _said(_measure([sys.executable, "-m", "bench.generation"], {**few, "batch": 64}))}
    return _beside(part, work, asked)


def requests(kind: str) -> dict[str, Any]:
    """Prompts of 24 to 40 tokens and the lengths of their responses."""
    rng = random.Random(0)
    prompts = [[rng.randrange(1000, 40000) for _ in range(rng.randint(24, 40))] for _ in range(PROMPTS)]
    return {"prompts": prompts, "lengths": [64 if kind == "same" else rng.randint(8, 128) for _ in prompts]}


def _beside(part: str, work: dict[str, Any], asked: argparse.Namespace) -> dict[str, Any]:
    """Ours and the peers in turn, and the ratios of their medians."""
    sides: dict[str, tuple[list[str], dict[str, Any]]] = {}
    if "ours" in asked.sides:
        sides["ours"] = ([sys.executable, "-m", "bench.generation"], {**work, "batch": SLOTS})
    if "generate" in asked.sides:
        sides["generate"] = (_transformers(asked), {**work, **_best_trial(_transformers(asked), work)})
    if asked.llama and "llama" in asked.sides:
        sides["llama"] = ([asked.llama, str(PEERS / "llama_generation.py")], {**work, **_best_llama(asked, work)})
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for repeat in range(asked.repeats):
        for side in list(sides)[:: 1 if repeat % 2 == 0 else -1]:
            runs[side].append(_measure(*sides[side]))
            print(part, side, _said(runs[side][-1]), file=sys.stderr, flush=True)
    said = {side: {**_said(*each), **{name: sides[side][1][name] for name in ("batch", "dtype") if name in sides[side][1]}}
            for side, each in runs.items()}
    if "ours" in said:
        said |= {f"times_{side}": said["ours"]["tokens_per_s"] / said[side]["tokens_per_s"] for side in said if side != "ours"}
    return {**said, "repeats": asked.repeats}


def _transformers(asked: argparse.Namespace) -> list[str]:
    return [asked.peer, str(PEERS / "transformers_generation.py")]


def _best_trial(command: list[str], work: dict[str, Any]) -> dict[str, Any]:
    """The batch size and precision in which a few steps went fastest."""
    found = {}
    for dtype, batch in TRIALS:
        few = {**work, "prompts": work["prompts"][:batch], "lengths": [12] * batch, "dtype": dtype, "batch": batch}
        found[dtype, batch] = _said(_measure(command, few))["tokens_per_s"]
    dtype, batch = max(found, key=lambda each: found[each])
    print("trials of generate:", {f"{dtype} {batch}": round(rate) for (dtype, batch), rate in found.items()}, file=sys.stderr)
    return {"dtype": dtype, "batch": batch}


def _best_llama(asked: argparse.Namespace, work: dict[str, Any]) -> dict[str, Any]:
    settings = {"gguf": asked.gguf, "batch_tokens": 2048, "threads": _threads()}
    rates = {}
    for slots in LLAMA_SLOTS:
        few = {**work, **settings, "prompts": work["prompts"][:slots], "lengths": [12] * slots, "batch": slots}
        rates[slots] = _said(_measure([asked.llama, str(PEERS / "llama_generation.py")], few))["tokens_per_s"]
    print("trials of llama.cpp:", rates, file=sys.stderr)
    return {**settings, "batch": max(rates, key=lambda each: rates[each])}


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _said(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"tokens_per_s": statistics.median(each["tokens"] / each["seconds"] for each in runs),
            "peak_gb": statistics.median(each["peak_bytes"] for each in runs) / 1e9}


def _growth(work: dict[str, Any]) -> dict[str, Any]:
    """Tokens a second of ours, in one process, as one thing grows."""
    return _measure([sys.executable, "-m", "bench.generation"], {**work, "growth": True})


def _measure(command: Sequence[str], work: dict[str, Any]) -> dict[str, Any]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(work, file)
        file.flush()
        done = subprocess.run([*command, file.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


# ---- our side -------------------------------------------------------------------------------------------------------

class Ours:
    """The model, and timed runs of the engine."""

    def __init__(self, model: str) -> None:
        from tutelage.models.builtin import cache_dir
        from tutelage.models.load import load_policy
        from tutelage.models.precision import choose_precision

        self.precision = choose_precision("auto", cache_dir())
        self.policy = load_policy(Path(model), self.precision)

    def rate(self, prompts: Sequence[Sequence[int]], lengths: Sequence[int], slots: int) -> dict[str, Any]:
        from tutelage.generation.engine import Response, decode
        from tutelage.records import Sampling

        responses = [Response(i, i, Sampling(max_new_tokens=length)) for i, length in enumerate(lengths)]
        began = time.perf_counter()
        decode(self.policy, prompts, responses, Sampling(), (), slots)
        seconds = time.perf_counter() - began
        assert [len(each.ids) for each in responses] == list(lengths)
        return {"seconds": seconds, "tokens": sum(lengths)}

    def growth(self, prompts: list[list[int]]) -> dict[str, Any]:
        def per_second(count: int, prompt: int, new: int) -> float:
            rows = [(prompts[i % PROMPTS] * 16)[:prompt] for i in range(count)]
            found = self.rate(rows, [new] * count, count)
            return round(found["tokens"] / found["seconds"], 1)

        return {"concurrency": {count: per_second(count, 32, 16) for count in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)},
                "prompt_length": {prompt: per_second(64, prompt, 16) for prompt in (8, 32, 128, 512)},
                "response_length": {new: per_second(64, 32, new) for new in (8, 32, 64, 128)}}

    def steps(self, prompts: list[list[int]], slots: Sequence[int]) -> dict[str, Any]:
        """What share of the measured matrix product ceiling a step of decoding reaches, prompts left out."""
        from tutelage.models.precision import measure_ceiling

        ceiling, said = getattr(measure_ceiling(), self.precision), {}
        for count in slots:
            short, long = (self.rate(prompts[:count], [new] * count, count) for new in (4, 24))
            seconds = (long["seconds"] - short["seconds"]) / 20
            flops = 2 * count * self._products()
            said[str(count)] = {"step_ms": 1e3 * seconds, "tokens_per_s": count / seconds,
                                "of_ceiling": flops / seconds / 1e12 / ceiling}
        return {"ceiling_tflops": ceiling, **said}

    def _products(self) -> int:
        """Numbers of all matrices a token is multiplied with."""
        blocks = sum(each.numel() for block in self.policy.blocks() for each in block.parameters() if each.ndim == 2)
        return blocks + int(self.policy.head.weight.numel())


def ours(asked: dict[str, Any]) -> dict[str, Any]:
    from tutelage.runs.plan import peak_bytes

    engine = Ours(asked["model"])
    engine.rate(asked["prompts"][:4], [5] * 4, 4)
    if "growth" in asked:
        return engine.growth(asked["prompts"])
    if "slots" in asked:
        return engine.steps(asked["prompts"], asked["slots"])
    found = engine.rate(asked["prompts"], asked["lengths"], asked["batch"])
    return {**found, "peak_bytes": peak_bytes(), "precision": engine.precision}


if __name__ == "__main__":
    print(json.dumps(ours(json.loads(Path(sys.argv[1]).read_text()))))
