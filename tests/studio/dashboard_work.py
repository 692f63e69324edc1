"""A project as its stages leave it, small: runs with metrics, artifacts made from each other, a report."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tutelage.lineage import Manifest
from tutelage.project import Artifact, Project
from tutelage.runs.directory import begin

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def make(project: Project, kind: str, name: str, stage: str, parents: Mapping[str, Artifact] | None = None, *,
         files: Mapping[str, str] | None = None, **said: Any) -> Artifact:
    refs = {role: each.parent_ref for role, each in (parents or {}).items()}
    manifest = Manifest(kind=kind, name=name, stage=stage, parents=refs, **said)
    with project.writing(manifest) as draft:
        for file, text in (files or {"data.txt": name}).items():
            (draft / file).write_text(text, encoding="utf-8")
    return draft.artifact


def furnish(project: Project) -> dict[str, Artifact]:
    """data -> sft -> rlhf, judged by a reward model, and a report on both."""
    data = make(project, "dataset", "instructions", "import", facts={"licence": "CC-BY-4.0", "rows": 3, "note": HOSTILE})
    sft = make(project, "model", "sft", "sft", {"dataset": data}, sources={"model smollm2-135m-q4": "ab" * 32})
    samples = make(project, "samples", "drawn", "sample", {"model": sft})
    people = {"ann": {"kind": "human", "judgments": 5}, "bo": {"kind": "human", "judgments": 2},
              "s1": {"kind": "scripted", "judgments": 9}}
    reward = make(project, "reward", "reward", "reward", {"model": sft, "samples": samples}, people=people)
    rlhf = make(project, "model", "rlhf", "rl", {"policy": sft, "reward": reward})
    page = f"<!doctype html><title>it</title><h1>The verdict</h1>{HOSTILE}"
    report = make(project, "report", "first", "evaluate", {"SFT": sft, "RLHF": rlhf},
                  files={"report.html": page, "report.zh.html": page, "report.json": "{}", "data.txt": "secret"})
    return {each.name if each.kind != "reward" else "judge": each for each in (data, sft, samples, reward, rlhf, report)}


def rl_line(step: int) -> dict[str, float]:
    kl = 5 * (1 - math.exp(-step / 20))
    return {"step": step, "objective/score": kl / 5, "objective/kl": kl, "objective/entropy": 2.0 - step / 100,
            "reward/helpful": kl / 6, "reward/polite": kl / 30, "rollout/length": 20.0 + step,
            "train/clip_fraction": 0.01 * (step % 5), "train/ratio": 1.0, "train/ratio_p99": 1.2,
            "train/explained_variance": 0.1, "some/new_thing": 1.0 * step}


def run(project: Project, name: str = "rlhf", steps: int = 3, stage: str = "rl", **config: Any) -> Path:
    """A run under way: begun, with metrics of its first steps; nobody works on it now."""
    manifest = Manifest(kind="model", name=name, stage=stage, config={"policy": "model/sft@1", **config})
    begun = begin(project, manifest, {"threads": 1})
    begun.note(steps=10)
    log(begun.path, 0, steps)
    os.truncate(project.root / ".lock", 0)
    return begun.path


def log(path: Path, first: int, end: int) -> None:
    with open(path / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write("".join(json.dumps(rl_line(step)) + "\n" for step in range(first, end)))


def draw_samples(path: Path, step: int, *prompts: str) -> None:
    with open(path / "samples.jsonl", "a", encoding="utf-8") as file:
        for prompt in prompts:
            line = {"step": step, "prompt": prompt, "response": f"**bold** {step} {HOSTILE}", "score": step / 10}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
