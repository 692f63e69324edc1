"""What a run's model answered to the same prompts as it learned: `samples.jsonl` of the run, a line a prompt and step.

    {"step": 20, "prompt": "…", "response": "…", "score": 0.7}
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.studio.dashboard.watch import SAMPLES

MOST_BYTES = 8 << 20      # of the file's end that are read
MOST_SHOWN = 40           # responses to a prompt: the first, and the latest


@dataclass(frozen=True, slots=True)
class Drawn:
    step: int
    response: str
    score: float | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and what was answered, step by step; `left_out` are not shown, between the first and the others."""

    prompt: str
    drawn: list[Drawn]
    left_out: int


def read_samples(run: Path) -> list[Asked]:
    """By prompt, in the order in which they were first asked; a step that was made again counts as it was last."""
    by_prompt: dict[str, dict[int, Drawn]] = {}
    for line in _lines(run / SAMPLES):
        score = line.get("score")
        drawn = Drawn(line["step"], str(line.get("response", "")),
                      float(score) if isinstance(score, int | float) and math.isfinite(score) else None)
        by_prompt.setdefault(_text(line.get("prompt", "")), {})[drawn.step] = drawn
    return [_cut(prompt, [drawn for _, drawn in sorted(steps.items())]) for prompt, steps in by_prompt.items()]


def _cut(prompt: str, drawn: list[Drawn]) -> Asked:
    left_out = max(0, len(drawn) - MOST_SHOWN)
    return Asked(prompt, [drawn[0], *drawn[1 + left_out:]], left_out)


def _text(prompt: Any) -> str:
    return prompt if isinstance(prompt, str) else json.dumps(prompt, ensure_ascii=False)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_BYTES))
        found = []
        for line in file.read().splitlines():
            try:
                read = json.loads(line)
            except ValueError:            # what a killed process left, or where the reading began
                continue
            if isinstance(read, dict) and isinstance(read.get("step"), int):
                found.append(read)
        return found
