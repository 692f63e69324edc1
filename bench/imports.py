"""Import of 200,000 alpaca rows: ours, artifact and hashes included, beside datasets' `load_dataset("json")` + `map`.

    python -m bench imports [--rows 200000] [--repeats 3]

Each run is a process of its own with an empty cache. The peer makes the same conversation of a row, one row at a time
as its documentation starts you (`map`) and in batches (`map_batched`); it names, checks and hashes nothing.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.__main__ import versions

WORDS = ["the", "of", "and", "model", "data", "learn", "write", "answer", "question", "city", "river", "天气", "学习",
         "数据", "模型", "because", "explain", "list", "three", "reasons", "why", "how", "many", "people", "like", "read",
         "books", "in", "summer"]


def run(arguments: Sequence[str]) -> dict[str, Any]:
    """Medians over alternating runs; the ratio is theirs over ours, so more than 1 is faster."""
    parser = argparse.ArgumentParser(prog="python -m bench imports")
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args(arguments)
    measured: dict[str, list[dict[str, float]]] = {"ours": [], "map": [], "map_batched": []}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "rows.jsonl")
        write_rows(file, asked.rows)
        for repeat in range(asked.repeats):
            for name in list(measured) if repeat % 2 == 0 else reversed(measured):
                done = subprocess.run([sys.executable, "-m", "bench.imports", name, str(file)], capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(done.stderr)
                measured[name].append(json.loads(done.stdout.splitlines()[-1]))
        size = file.stat().st_size
    medians = {name: {key: statistics.median(each[key] for each in runs) for key in runs[0]} for name, runs in measured.items()}
    keys = ("wall_s", "processor_s", "peak_mb")
    ratios = {f"{name}_over_ours": {key: medians[name][key] / medians["ours"][key] for key in keys}
              for name in ("map", "map_batched")}
    return {"rows": asked.rows, "bytes": size, "repeats": asked.repeats, "median": medians, "ratio": ratios,
            "versions": versions("datasets", "pyarrow")}


def write_rows(path: Path, count: int) -> None:
    """Alpaca rows in English and Chinese, a third with an input, some 550 bytes each."""
    draw = random.Random(0)

    def text(words: int) -> str:
        return " ".join(draw.choices(WORDS, k=words))

    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            row = {"instruction": f"{text(12)} {number}?", "input": text(8) if number % 3 == 0 else "",
                   "output": f'{text(draw.randint(20, 120))}\n"quoted"'}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def ours(file: Path, folder: Path) -> int:
    from tutelage.data.sources import open_file
    from tutelage.data.writer import write_dataset
    from tutelage.project import Project

    return int(write_dataset(Project.init(folder), "rows", [open_file(file)]).manifest.facts["kept"])


def conversation(instruction: str, further: str, output: str) -> list[dict[str, Any]]:
    prompt = f"{instruction}\n{further}" if further else instruction
    return [{"role": "user", "content": [{"type": "text", "text": prompt}]},
            {"role": "assistant", "content": [{"type": "text", "text": output}]}]


def theirs(file: Path, folder: Path, batched: bool) -> int:
    import datasets

    def one(row: dict[str, str]) -> dict[str, Any]:
        return {"messages": conversation(row["instruction"], row["input"], row["output"])}

    def many(rows: dict[str, list[str]]) -> dict[str, Any]:
        return {"messages": [conversation(*row) for row in zip(rows["instruction"], rows["input"], rows["output"], strict=True)]}

    datasets.disable_progress_bars()
    loaded = datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder))
    mapped = loaded.map(many if batched else one, batched=batched, remove_columns=loaded.column_names)
    return len(mapped)


def main(name: str, file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if name != "ours":
            import datasets  # noqa: F401  its import is not what is measured
        started, worked = time.perf_counter(), time.process_time()
        count = ours(file, Path(folder)) if name == "ours" else theirs(file, Path(folder), name == "map_batched")
        print(json.dumps({"wall_s": time.perf_counter() - started, "processor_s": time.process_time() - worked, "rows": count,
                          "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
