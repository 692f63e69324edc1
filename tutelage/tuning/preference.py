"""The DPO family: judgments in, a policy out, without a reward model between.

The policy a run starts from is also its reference. What the reference says is computed once, before the first step, in
the packing in which each row is first used (D8), and kept in the run's directory; so at the first use every log-ratio is
0 to the bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import load_dataset, resolve_dataset
from tutelage.data.loader import Schedule
from tutelage.data.usage import write_used
from tutelage.errors import DataError
from tutelage.lineage import Manifest, content_hash
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.records import Preference, Thumb
from tutelage.runs.metrics import read_metrics
from tutelage.runs.plan import announce
from tutelage.runs.steps import steps
from tutelage.seeds import stream_seed
from tutelage.training import preflight
from tutelage.training.dropout import adapter_dropout
from tutelage.training.loop import update
from tutelage.training.memory import load_of, plan_training, try_largest
from tutelage.training.optimizer import Masters, freeze_layers
from tutelage.tuning.config import Preferences
from tutelage.tuning.pairs import Pairs
from tutelage.tuning.singles import Singles

REFERENCE = "reference.safetensors"


def preference(project: Project, config: Preferences, preferences: Sequence[Preference] | None = None,
               parents: Mapping[str, str] | None = None, people: Mapping[str, Any] | None = None,
               used: Mapping[str, Sequence[str]] | None = None) -> Artifact:
    """Make the policy `config` asks for, or give the one that was made from just that.

    Args:
        preferences: the judgments to train on; None reads the data set `config.data` names.
        parents: the samples that were judged, by role, for the manifest.
        people: who judged, for the manifest: annotator id -> {kind, judgments}.
        used: which of those samples: artifact -> ids.
    Raises:
        DataError: if there is no judgment of the kind the loss needs; ModelError, PreflightError, TrainingError, ResumeError.
    """
    source = resolve(config.model, project)
    said, origin = _judgments(project, config, preferences)
    tokenizer = load_tokenizer(source.path)
    template = ChatTemplate.load(source.path, tokenizer)
    manifest = Manifest(kind="model", name=config.name, stage="dpo",
                        parents={**source.parents("model"), **(parents or {}), **origin["parents"]},
                        sources={**source.sources("model"), **origin["sources"]}, people=people or {},
                        template=template.sha256, config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    policy = load_policy(source.path, precision, adapter=config.adapter if config.adapter.rank else None)
    freeze_layers(policy, config.optimizer.frozen_layers)
    task = _task(said, template, config, policy.ragged)
    console.print(f"{config.loss}: {task.summary}; precision {precision}")
    schedule = Schedule(task.lengths, config.seed, config.epochs, config.batch_tokens, config.micro_tokens)
    announce(plan_training("dpo", policy, load_of(schedule, task.collate), run), run)
    if config.has_reference:
        remember_reference(task, policy, schedule, run.path / REFERENCE)
    masters = Masters(policy, config.optimizer, len(schedule))
    load = load_of(schedule, lambda rows: task.batches(policy, [rows])[0])
    try_largest("dpo", policy, load, run, masters, task)

    def step(i: int) -> dict[str, float]:
        batches = task.batches(policy, schedule.micro(i))
        with adapter_dropout(policy, stream_seed(config.seed, "dpo", "dropout", i)):
            metrics = update(policy, masters, batches, task)
        if i == 0 and config.adapter.dropout == 0:
            preflight.at_reference(task.distance(metrics))
        return {**metrics, **task.rates(metrics)}

    steps(run, {"masters": masters}, len(schedule), step, config.loss.upper(), shown=("loss", *task.shown))
    measured = read_metrics(run.metrics)
    facts = {**run.circumstances, **task.facts, "steps": len(schedule), "first_loss": measured[0]["loss"],
             "last_loss": measured[-1]["loss"], "annotators": sorted({term.annotator for term in said})}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        rows = {parent.partition("#")[0]: [each.id for each in said] for parent in origin["parents"].values()}
        write_used(draft.path, {**(used or {}), **rows})
        preflight.reload(policy, draft.path, task.collate([0]).tokens, precision)
    (run.path / REFERENCE).unlink(missing_ok=True)
    run.finish()
    return draft.artifact


def _judgments(project: Project, config: Preferences,
               given: Sequence[Preference] | None) -> tuple[list[Preference] | list[Thumb], dict[str, Any]]:
    if given is not None:
        if not given:
            raise DataError("there is no judgment to train on. Import some: tutelage feedback import FILE.")
        return list(given), {"parents": {}, "sources": {f"{len(given)} preferences": content_hash(
            [term.to_json() for term in given])}}
    data = load_dataset(resolve_dataset(project, config.data))
    wanted = ("preference", "thumb") if config.loss == "kto" else ("preference",)
    if data.kind not in wanted:
        raise DataError(f"{config.loss} trains on {' or '.join(f'{kind}s' for kind in wanted)}; {config.data} holds records of "
                        f"kind {data.kind}.")
    return list(data.records), {"parents": data.parents, "sources": data.sources}


def _task(said: Sequence[Any], template: ChatTemplate, config: Preferences, share: bool) -> Pairs | Singles:
    return Singles(said, template, config) if config.loss == "kto" else Pairs(said, template, config, share)


def remember_reference(task: Pairs | Singles, policy: Policy, schedule: Schedule, path: Path) -> None:
    """Have what the reference says of every row in `task.reference`: from `path`, or from `policy` and into `path`."""
    if path.is_file():
        saved = load_file(path)
        task.reference = [saved[str(row)] for row in range(len(saved))]
        return
    found: dict[int, Tensor] = {}
    first_epoch = range(schedule.epoch_ends[0])
    with console.progress("Reference", len(task.lengths), "rows") as bar:
        for step in first_epoch:
            for rows in schedule.micro(step):
                found.update(zip(rows, task.reference_of(policy, rows), strict=True))
                bar.advance(len(rows))
    task.reference = [found[row].clone() for row in range(len(found))]
    draft = path.with_suffix(".draft")
    save_file({str(row): value for row, value in enumerate(task.reference)}, draft)
    os.replace(draft, path)
