"""The whole journey as one function: instructions in, a better model and the evidence for it out.

Every stage asks the project for what was already made from just these inputs, so the journey can be interrupted
anywhere and goes on where it stopped.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tutelage.console import console, duration
from tutelage.data.datasets import builtin_path, write_dataset
from tutelage.data.sources import read_file
from tutelage.evaluation.config import Evaluate
from tutelage.evaluation.stage import evaluate, load_report, table_rows
from tutelage.feedback.gathering import gather, origin
from tutelage.feedback.scripted import ScriptedTruth, enroll, judge, panel
from tutelage.generation.config import Sample
from tutelage.generation.stage import by_prompt, load_samples, sample
from tutelage.models.builtin import pull
from tutelage.options import Options
from tutelage.project import Artifact, Asked, Project
from tutelage.reporting.report import People
from tutelage.rewards.config import RewardModel
from tutelage.rewards.members import load_reward
from tutelage.rewards.train import train_reward
from tutelage.rl.config import RL
from tutelage.rl.stage import rl
from tutelage.store import Store
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft

NAMES = ("base", "SFT", "RLHF")


@dataclass(frozen=True, slots=True, kw_only=True)
class Journey:
    """Every choice of the demo in one place."""

    model: str = "smollm2-135m-q4"
    sft: SFT = field(default_factory=lambda: SFT(
        data="instructions", epochs=1, batch_tokens=1024, optimizer=Optimizer(lr=5e-5, warmup_fraction=0.1)))
    sample: Sample = field(default_factory=lambda: Sample(
        prompts="rl-prompts", name="for-judging", per_prompt=4, limit=128, temperature=0.7, max_new_tokens=48, slots=128))
    pairs_per_prompt: int = 6          # all pairs of four samples
    overlap: int = 5                   # annotators who judge each pair
    reward: RewardModel = field(default_factory=lambda: RewardModel(
        layers=18, epochs=1, batch_tokens=512,
        optimizer=Optimizer(lr=2e-4, head_lr=2e-3, warmup_fraction=0.1, frozen_layers=6)))
    rl: RL = field(default_factory=lambda: RL(
        prompts="rl-prompts", name="rlhf", steps=14, prompts_per_step=12, per_prompt=4, temperature=0.7, max_new_tokens=48,
        missing_end_penalty=0.5, settings={"gae_lambda": 1.0, "kl_coef": 0.02},
        optimizer=Optimizer(lr=1e-4, head_lr=1e-3, warmup_fraction=0.1, schedule="linear", frozen_layers=14)))
    evaluate: Evaluate = field(default_factory=lambda: Evaluate(
        models=("", "sft", "rlhf"), names=NAMES, reference="SFT", best_of="SFT", reward="reward", data="heldout-prompts",
        instructions="instructions", name="demo", per_prompt=3, temperature=0.3, max_new_tokens=56,
        slots=128))


def demo(project: Project, journey: Journey, seed: int = 0) -> Artifact:
    """Import, SFT, sample, judge, reward model, PPO, evaluate; returns the report."""
    pull(journey.model)
    _import(project, "instructions", "instructions.en", split_ratio=0.1, seed=seed)
    _import(project, "instructions-zh", "instructions.zh")
    _import(project, "rl-prompts", "prompts.rl.en")
    _import(project, "heldout-prompts", "prompts.heldout.en")

    taught = sft(project, replace(journey.sft, model=journey.model, seed=seed))
    drawn = sample(project, replace(journey.sample, model=taught.ref, seed=seed), "Sampling for the judges")

    truth, annotators = ScriptedTruth(), panel(5, seed)
    with Store.open(project.store_place) as store:
        samples = load_samples(drawn)
        enroll(store, annotators)
        store.add_samples(samples)
        new = store.add_judgments(judge(by_prompt(samples), annotators, seed, journey.pairs_per_prompt, journey.overlap))
        console.print(f"Judging: {new} new judgments by {len(annotators)} scripted annotators")
        gathered = gather(project, store, "scripted")

    judged = train_reward(project, replace(journey.reward, model=taught.ref, seed=seed), **origin(gathered))
    scorer = load_reward(judged.path, str(judged.manifest.facts["precision"]))
    better = rl(project, replace(journey.rl, policy=taught.ref, seed=seed), scorer, {"reward": judged.parent_ref})

    judgments = sum(int(each["judgments"]) for each in gathered.people.values())
    judges = [People(kind="scripted", annotators=len(annotators), judgments=judgments)]
    return evaluate(project, replace(journey.evaluate, models=(journey.model, taught.ref, better.ref), seed=seed), truth, scorer,
                    parents={"reward": judged.parent_ref}, people=judges)


def _import(project: Project, name: str, builtin: str, split_ratio: float = 0.0, seed: int = 0) -> Artifact:
    return write_dataset(project, name, [read_file(builtin_path(builtin))], split_ratio, seed)


def tiny(journey: Journey) -> Journey:
    """The same journey on a random model of two layers: it shows that all works, and teaches nothing."""
    fast = Optimizer(lr=1e-3)
    return replace(
        journey, model="tiny", sft=replace(journey.sft, optimizer=fast),
        sample=replace(journey.sample, limit=16, max_new_tokens=16),
        reward=replace(journey.reward, layers=0, epochs=1, batch_tokens=2048, optimizer=fast),
        rl=replace(journey.rl, steps=3, prompts_per_step=4, max_new_tokens=16, optimizer=fast),
        evaluate=replace(journey.evaluate, limit=12, max_new_tokens=16))


def short(journey: Journey) -> Journey:
    """The same journey on the real model with a tenth of the work: for continuous integration."""
    return replace(
        journey, sample=replace(journey.sample, limit=16),
        rl=replace(journey.rl, steps=2, prompts_per_step=8), evaluate=replace(journey.evaluate, limit=16))


def demo_command(arguments: list[str], options: Options) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="tutelage demo", description="The whole loop on the built-in model and data.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--tiny", action="store_true", help="on a random two-layer model, in under a minute")
    size.add_argument("--short", action="store_true", help="on the real model, with a tenth of the work")
    words = parser.parse_args(arguments)
    journey = tiny(Journey()) if words.tiny else short(Journey()) if words.short else Journey()
    asked = Asked(command="demo", settings={"words": arguments, "seed": options.seed}, allow_drift=options.allow_drift)
    project = replace(Project.init(options.project or Path("demo")), asked=asked)
    started = time.monotonic()
    with project.lock():
        report = demo(project, journey, options.seed or 0)
    return show(report, time.monotonic() - started)


def show(report: Artifact, seconds: float) -> dict[str, Any]:
    """Table, three before/after samples and the report's path."""
    found = load_report(report)
    for each in found["before_and_after"]:
        (_, prompt), (before, first), (after, last) = each.items()
        console.print(f"\n> {prompt}\n  {before}: {_one_line(first)}\n  {after}: {_one_line(last)}")
    console.print()
    console.table("Held-out prompts: the scripted truth and its parts (0 to 1), and what else changed",
                  *table_rows(found["comparison"]))
    page = report.path / "report.html"
    console.print(f"\nDone in {duration(seconds)}. Report: {page}")
    return {"report": report.ref, "path": str(page), "seconds": seconds, "comparison": found["comparison"]}


def _one_line(text: str) -> str:
    return " ".join(text.split())
