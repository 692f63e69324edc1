"""The memory planner of everything that takes gradient steps: what will be resident at the peak, and what goes to the disk.

    plan_training      before the optimizer is made: what each moment of the run will hold
    announce           says it; refuses where it does not fit
    rehearse           the largest pack first, nothing learned of it

The peak is the largest of a few moments, each a sum of parts that are known: the policy is in memory already, a float32
master weighs 4 bytes a trained parameter, AdamW's moments 8, gradients 4. What a forward keeps is measured
(`models.footprint`); what the head keeps follows from its tiles (`algorithms.logprobs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch

from tutelage.batch import TokenBatch
from tutelage.console import console, duration
from tutelage.data.loader import Schedule
from tutelage.models.footprint import (
    Activations,
    head_bytes,
    measure_activations,
    num_layers,
    trained_parameters,
    weight_bytes,
)
from tutelage.models.policy import Policy
from tutelage.runs.directory import Run
from tutelage.runs.plan import BEFORE, Plan, announce, fits, only_planning, peak_bytes, resident_bytes
from tutelage.training.loop import MicroBatch, Objective, rehearse
from tutelage.training.optimizer import Masters

WORKING_LAYERS = 3      # layers' worth of what a forward keeps, alive in the middle of a backward besides what is kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a stage will put through its policy."""

    largest: MicroBatch               # the micro-batch that keeps most
    accumulates: bool                 # whether a step may have more than one micro-batch
    num_tokens: int                   # of the whole run, for its time; 0 where nobody knows
    scores_only: bool = False         # the loss reads scores alone, so no head over the vocabulary is run
    lanes: int = 1                    # how many micro-batches are in memory at once
    restores: bool = False            # the best checkpoint is read again when the last step is made
    other: Mapping[str, int] = field(default_factory=dict)      # what lives beside the update, by part: decoding slots
    beside: Mapping[str, int] = field(default_factory=dict)     # what lives all through the run, by part: a critic's optimizer


def load_of(schedule: Schedule, largest: MicroBatch, scores_only: bool, lanes: int, restores: bool = False) -> Load:
    """What a stage with a fixed schedule will put through; `largest` is made of `schedule.largest()`."""
    return Load(largest=largest, accumulates=any(len(schedule.micro(step)) > 1 for step in range(len(schedule))),
                num_tokens=sum(map(schedule.size, schedule.batches)), scores_only=scores_only, lanes=lanes, restores=restores)


def plan_training(stage: str, policy: Policy, load: Load, run: Run) -> Plan:
    """The plan of a stage whose policy is loaded and whose optimizer is not yet made."""
    activations = measure_activations(policy)
    with policy.remembering() as forgets:
        whole = measure_activations(policy) if forgets else activations
    held, so_far = resident_bytes(), peak_bytes()
    trained = trained_parameters(policy)
    masters = 4 * sum(each.numel() for each in policy.parameters() if each.requires_grad and each.dtype != torch.float32)
    moments, gradient = 8 * trained, 4 * trained
    resumed = any(run.checkpoints.glob("step-*"))
    tokens = load.largest.tokens
    kept = load.lanes * activations.of(tokens)
    head = 0 if load.scores_only else load.lanes * head_bytes(policy, int(tokens.response_mask.sum()))
    base = {"the process, data and weights": held, "master weights": masters, "optimizer moments": moments, **load.beside}
    peaks = [
        {**base, "activations": kept, "head over the vocabulary": head, "gradients": gradient if load.accumulates else 0,
         "working space": load.lanes * _working(policy, whole, tokens, forgets)},
        {**base, "gradients": gradient},
        {**base, **load.other},
        {**base, "the saved model, read again": 2 * weight_bytes(policy)},
        {**base, "the checkpoint, read again": masters + moments if resumed or load.restores else 0},
    ]
    peak = max(peaks, key=lambda parts: sum(parts.values()))
    peak[BEFORE] = max(0, so_far - sum(peak.values()))
    checkpoint = (gradient if masters else weight_bytes(policy, trained_only=True)) + moments
    disk = {"checkpoints: two, the best one and a new one": 4 * checkpoint, "the artifact": weight_bytes(policy)}
    return Plan(stage=stage, memory={name: size for name, size in peak.items() if size}, disk=disk, held=held,
                remedy=_remedy(load, kept, gradient + moments + masters))


def _working(policy: Policy, whole: Activations, tokens: TokenBatch, forgets: bool) -> int:
    """`whole` is what a forward keeps that keeps all; one that forgets has a layer of it back at a time."""
    again = whole.of(tokens) if forgets else 0
    return int((WORKING_LAYERS * whole.per_token * tokens.num_tokens + again) / num_layers(policy))


def _remedy(load: Load, kept: int, learning: int) -> str:
    tokens = load.largest.tokens.num_tokens
    if kept > learning:
        return (f"Most of it grows with the tokens that are in memory at once ({tokens:,} now): lower micro_tokens, and "
                "max_length where one row is longer than that.")
    return ("Most of it belongs to the trained weights: train an adapter (--adapter.rank 8), freeze layers "
            "(--optimizer.frozen-layers), or take a smaller model.")


def prepare(stage: str, policy: Policy, load: Load, run: Run, optimizer: Callable[[], Masters], objective: Objective,
            largest: Callable[[], MicroBatch] | None = None) -> Masters:
    """State the plan, make the optimizer, and try the largest micro-batch, so that what would run out does so at once.

    A run that goes on has tried it. Under `--plan` the trial's pace is part of the plan, and nothing is trained. `largest`
    makes the micro-batch that is tried, where `load.largest` lacks something that only exists once the optimizer does.

    Raises:
        PlanError: if the run does not fit; Planned: under `--plan`; TrainingError: if a loss is not finite.
    """
    plan = plan_training(stage, policy, load, run)
    if not (only_planning() and fits(plan, run)):
        announce(plan, run)
    masters = optimizer()
    seconds = None if any(run.checkpoints.glob("step-*")) else try_largest(
        stage, load, masters, objective, largest() if largest else load.largest)
    if only_planning():
        announce(replace(plan, seconds=seconds), run)
    return masters


def try_largest(stage: str, load: Load, masters: Masters, objective: Objective, largest: MicroBatch) -> float | None:
    """Rehearse the largest micro-batch; seconds the run will take, where known."""
    size = largest.tokens.num_tokens * masters.lanes.count
    seconds = rehearse(masters, largest, objective) / size * load.num_tokens
    pace = f"; at its pace the run takes about {duration(seconds)}" if seconds else ""
    console.print(f"{stage}: the largest pack, {size:,} tokens, was tried first and fits{pace}")
    return seconds or None
