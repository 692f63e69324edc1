"""Supervised fine-tuning: instructions in, a model artifact out.

L labels of all responses · the loss is the mean of -log p(label) over all labels of a step
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tutelage.algorithms import negative_log_likelihood
from tutelage.batch import TokenBatch
from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.balance import WEIGHTS
from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.data.fingerprints import prompt_key
from tutelage.data.loader import collate, opening_of
from tutelage.data.template import TaggedTemplate
from tutelage.data.truncation import Truncation, fit_all
from tutelage.data.usage import write_used
from tutelage.errors import DataError
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.records import Instruction
from tutelage.training import preflight
from tutelage.training.fit import Task, fit
from tutelage.training.heldout import HeldOut, kept_out
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.optimizer import freeze_layers
from tutelage.tuning.annotators import chosen, sentence
from tutelage.tuning.augmentation import BEFORE, Paraphrase, Varied, stream
from tutelage.tuning.config import SFT, Template


class NegativeLogLikelihood:
    """The SFT objective: one term, counted in labels."""

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"nll": float(batch.tokens.response_mask.sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        logprobs = policy(batch.tokens).logprobs
        assert logprobs is not None
        return [Term("nll", negative_log_likelihood(logprobs))]


class Conversations(NegativeLogLikelihood, Task):
    """Rendered rows by name, each learned by its labels."""

    label = "SFT"
    shown = ("loss", "lr")

    def __init__(self, rows: Mapping[str, Rendered], share: bool, varied: Varied | None = None) -> None:
        self.names, self.rows, self.varied = list(rows), list(rows.values()), varied or Varied()
        self.share = share and not self.varied.by_row
        self.lengths = [len(row.ids) for row in self.rows]
        self.opening = opening_of(self.rows) if self.share else 0
        self.step = BEFORE

    def begin(self, step: int) -> None:
        self.step = step

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        changed = [self.varied.row(self.rows[row], self.names[row], self.step) for row in rows]
        return MicroBatch(tokens=collate(changed, self.share), rows=tuple(self.names[row] for row in rows))

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        with self.varied.embeddings(policy, batch, self.step):
            return super().terms(policy, batch)


def sft(project: Project, config: SFT) -> Artifact:
    """Make the model `config` asks for, or give the one that was made from just that.

    Raises:
        DataError: if the data holds no instructions; ModelError, PreflightError, TrainingError, ResumeError.
    """
    source = resolve(config.model, project)
    data = load_dataset(resolve_dataset(project, config.data))
    if data.kind != "instruction":
        raise DataError(f"sft trains on instructions; {config.data} holds records of kind {data.kind}.")
    data, annotators = chosen(data, config.annotators, config.data)
    tokenizer = load_tokenizer(source.path)
    template = chat_template(config.template, source.path, tokenizer)
    manifest = Manifest(kind="model", name=config.name, stage="sft", parents={**source.parents("model"), **data.parents},
                        sources={**source.sources("model"), **data.sources}, template=template.sha256,
                        config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    rows, truncation = render_rows(data, template, config)
    train, heldout = _split(data, rows, config)
    if config.augmentation.templates:
        train = _reworded(data, train, template, config)
    console.print(f"sft: {sentence(annotators)}; {truncation} (at most {config.max_length} tokens)"
                  f"{f'; {len(heldout)} kept out' if heldout else ''}; precision {precision}")
    preflight.labels(rows)
    preflight.end_of_turn(rows, template, truncation.cut)
    preflight.one_bos(rows, tokenizer.bos_token_id)

    policy = load_policy(source.path, precision, adapter=config.adapter if config.adapter.rank else None)
    if policy.has_adapter:
        _check_adapter(policy, source.path, precision, collate(list(rows.values())[:2]))
    freeze_layers(policy, config.optimizer.frozen_layers)
    if config.checkpointing:
        policy.checkpoint_blocks()
    watched = HeldOut(Conversations(heldout, policy.ragged), config, every=config.evaluate_every,
                      patience=config.patience) if heldout else None
    task = Conversations(train, policy.ragged, Varied.of(config, tokenizer))
    task.row_weights = weights_of(data, train, config.data) if config.balanced else None
    learned = fit("sft", policy, task, config, run, watched)
    facts = {**run.circumstances, "rows": len(train), "annotators": annotators, "truncation": str(truncation), **learned}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        template.save(draft.path)
        if data.artifact is not None:
            write_used(draft.path, {data.artifact.ref: used(data, rows)})
        first = next(iter(rows.values()))
        preflight.reload(policy, draft.path, collate([first], share=False), precision)
        preflight.train_is_serve(template, draft.path, data.records[0].messages)
    run.finish()
    return draft.artifact


def chat_template(declared: Template, path: Any, tokenizer: Any) -> ChatTemplate:
    """The template the project declares, else the one saved with the model, else the tokenizer's own."""
    if not declared.declared:
        return ChatTemplate.load(path, tokenizer)
    return ChatTemplate.declared(tokenizer, TaggedTemplate(**to_plain(declared)))


def _check_adapter(policy: Policy, path: Path, precision: str, probe: TokenBatch) -> None:
    """A fresh adapter is checked; one that came with the model is part of what training starts from."""
    start = load_policy(path, precision)
    if not start.has_adapter:
        preflight.adapter_off(policy, start.evaluate_logprobs(probe), probe)


def render_rows(data: Dataset, template: ChatTemplate, config: SFT) -> tuple[dict[str, Rendered], Truncation]:
    """Rendered rows by record id, within `max_length`; what did not fit is counted. Equal rows are told apart by place."""
    rows = {name: template.render(record.messages, config.trained, record.tools) for name, record in named(data).items()}
    return fit_all(rows, config.max_length, config.too_long)


def _reworded(data: Dataset, rows: Mapping[str, Rendered], template: ChatTemplate, config: SFT) -> dict[str, Rendered]:
    """Rows with a template around their first prompt; one that would not fit any more stays as it is."""
    paraphrase, records = Paraphrase(config.augmentation.templates), named(data)
    changed = {}
    for name in rows:
        record = records[name]
        messages = paraphrase.messages(record.messages, stream(config.seed, "sft", "templates", name))
        row = template.render(messages, config.trained, record.tools)
        changed[name] = row if len(row.ids) <= config.max_length else rows[name]
    return changed


def named(data: Dataset) -> dict[str, Instruction]:
    """Records by their id; equal ones are told apart by place."""
    records: dict[str, Instruction] = {}
    for place, record in enumerate(data.records):
        assert isinstance(record, Instruction)
        records[record.id if record.id not in records else f"{record.id}#{place}"] = record
    return records


def _split(data: Dataset, rows: Mapping[str, Rendered], config: SFT) -> tuple[dict[str, Rendered], dict[str, Rendered]]:
    """Rows to train on, and those that are kept out, by clusters of their prompts."""
    if config.heldout_fraction == 0:
        return dict(rows), {}
    records = named(data)
    apart = kept_out([prompt_key(records[name]) for name in rows], config.heldout_fraction, config.seed)
    sides: tuple[dict[str, Rendered], dict[str, Rendered]] = ({}, {})
    for place, (name, row) in enumerate(rows.items()):
        sides[place in apart][name] = row
    return sides


def weights_of(data: Dataset, rows: Mapping[str, Rendered], name: str) -> list[float]:
    """Of `rows`, as `data clean --balance` wrote them.

    Raises:
        DataError: if the data set has none.
    """
    path = data.artifact.path / WEIGHTS if data.artifact is not None else None
    if path is None or not path.is_file():
        raise DataError(f"balanced training draws rows by weight, and {name} has no {WEIGHTS}. Make one that has: "
                        f"tutelage data clean {name} --name NEW --balance FIELD.")
    weights = {line["id"]: float(line["weight"]) for line in map(json.loads, path.read_text(encoding="utf-8").splitlines())}
    return [weights[row.rpartition("#")[0] or row] for row in rows]


def used(data: Dataset, rows: Mapping[str, Rendered]) -> list[str]:
    """Ids of the records that `rows` were rendered from: those that were dropped taught nothing."""
    kept = {*rows, *(name.rpartition("#")[0] for name in rows)}
    return [record.id for record in data.records if record.id in kept]
