"""Run comparisons and keep what they measured: `python -m bench [NAME [ARGUMENTS...]]`; without a name, list them.

A comparison is a file here with `run(arguments) -> dict`. What it returns goes to `bench/results/NAME.json`, with the
processor it was measured on; seconds of one machine mean little, so what counts is the ratio.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def names() -> list[str]:
    """Comparisons that there are."""
    files = [path for path in HERE.glob("*.py") if not path.name.startswith("_")]
    return sorted(path.stem for path in files if "\ndef run(" in path.read_text(encoding="utf-8"))


def processor() -> str:
    """The processor's name, as the kernel says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def versions(*packages: str) -> dict[str, str]:
    return {"python": platform.python_version(), **{package: metadata.version(package) for package in packages}}


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in names():
        print("usage: python -m bench NAME [ARGUMENTS...]\n\ncomparisons:")
        for name in names():
            summary = (importlib.import_module(f"bench.{name}").__doc__ or "").strip().splitlines()[0]
            print(f"  {name:12}  {summary}")
        return 0 if not arguments else 2
    found: dict[str, Any] = importlib.import_module(f"bench.{arguments[0]}").run(arguments[1:])
    found = {"processor": processor(), "cores": len(os.sched_getaffinity(0)), **found}
    (HERE / "results").mkdir(exist_ok=True)
    text = json.dumps(found, ensure_ascii=False, indent=1)
    (HERE / "results" / f"{arguments[0]}.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
