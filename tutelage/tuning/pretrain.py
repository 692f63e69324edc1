"""Pre-training: raw text in, a model artifact out; on from a model that is there, or from nothing.

L labels of all windows · the loss is the mean of -log p(token) over all labels of a step
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.chat import TEMPLATE_FILE, ChatTemplate
from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.data.documents import Windows, windows
from tutelage.data.fingerprints import prompt_key
from tutelage.data.loader import collate
from tutelage.data.usage import write_used
from tutelage.errors import DataError
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run
from tutelage.models.load import ModelSource, load_policy, load_tokenizer, resolve, save_policy
from tutelage.models.policy import Policy
from tutelage.models.scratch import fresh_model, train_tokenizer
from tutelage.project import Artifact, Project
from tutelage.records import Document
from tutelage.runs.plan import only_planning
from tutelage.seeds import stream_seed
from tutelage.training import preflight
from tutelage.training.fit import fit
from tutelage.training.heldout import HeldOut, kept_out
from tutelage.training.optimizer import freeze_layers
from tutelage.tuning.augmentation import Varied
from tutelage.tuning.config import SCRATCH, Pretrain
from tutelage.tuning.sft import Conversations


class Texts(Conversations):
    """Windows of documents; every token is a label."""

    label = "Pretrain"


@dataclass(frozen=True, slots=True)
class Start:
    """What training starts from: a model that was found, or an architecture to begin with nothing."""

    source: ModelSource | None
    architecture: str = ""

    @classmethod
    def of(cls, model: str, project: Project) -> Start:
        if model.startswith(SCRATCH):
            return cls(None, model.removeprefix(SCRATCH))
        return cls(resolve(model, project))

    def named(self) -> dict[str, dict[str, str]]:
        """For the manifest; what begins with nothing is all in the configuration."""
        if self.source is None:
            return {"parents": {}, "sources": {}}
        return {"parents": self.source.parents("model"), "sources": self.source.sources("model")}

    def tokenizer(self, documents: Sequence[Document], config: Pretrain) -> Any:
        if self.source is not None:
            return load_tokenizer(self.source.path)
        return train_tokenizer((document.text for document in documents), config.scratch.vocab_size)

    def template(self, tokenizer: Any) -> ChatTemplate | None:
        """That of the model; a base model has none."""
        if self.source is None or not ((self.source.path / TEMPLATE_FILE).is_file() or tokenizer.chat_template):
            return None
        return ChatTemplate.load(self.source.path, tokenizer)

    def policy(self, tokenizer: Any, config: Pretrain, precision: str) -> Policy:
        if self.source is not None:
            return load_policy(self.source.path, precision, adapter=config.adapter if config.adapter.rank else None)
        return Policy(fresh_model(self.architecture, config.scratch, tokenizer, config.max_length,
                                  stream_seed(config.seed, "pretrain", "weights"), precision))


def pretrain(project: Project, config: Pretrain) -> Artifact:
    """Make the model `config` asks for, or give the one that was made from just that.

    Raises:
        DataError: if the data holds no documents, or too few; ModelError, PreflightError, TrainingError, ResumeError.
    """
    start = Start.of(config.model, project)
    data = load_dataset(resolve_dataset(project, config.data))
    if data.kind != "document":
        raise DataError(f"pretrain trains on documents; {config.data} holds records of kind {data.kind}.")
    documents, apart = _split(data, config)
    tokenizer = start.tokenizer(documents, config)
    template = start.template(tokenizer)
    named = start.named()
    manifest = Manifest(kind="model", name=config.name, stage="pretrain", parents={**named["parents"], **data.parents},
                        sources={**named["sources"], **data.sources}, template=template.sha256 if template else "",
                        config=to_plain(config), seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    train, heldout = windows(documents, tokenizer, config.max_length), windows(apart, tokenizer, config.max_length)
    console.print(f"pretrain: {len(train.documents)} documents, {train.num_labels:,} tokens to predict in {len(train.rows)} "
                  f"windows (at most {config.max_length} tokens); {len(heldout.documents)} documents kept out, "
                  f"{train.empty + heldout.empty} empty; precision {precision}")
    preflight.labels(train.rows)
    policy = start.policy(tokenizer, config, precision)
    freeze_layers(policy, config.optimizer.frozen_layers)
    if config.checkpointing:
        policy.checkpoint_blocks()
    watched = HeldOut(Texts(heldout.rows, policy.ragged), config, every=config.evaluate_every,
                      patience=config.patience) if heldout.rows else None
    before = watched.measure(policy)["loss"] if watched is not None and not only_planning() else None
    learned = fit("pretrain", policy, Texts(train.rows, policy.ragged, Varied.of(config, tokenizer)), config, run, watched)
    facts = {**run.circumstances, "documents": len(train.documents), "empty_documents": train.empty + heldout.empty,
             "windows": len(train.rows), "labels": train.num_labels, "vocabulary": len(tokenizer), **learned,
             **_quality("before", before, heldout), **_quality("after", learned.get("heldout_loss"), heldout)}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_policy(policy, tokenizer, draft.path)
        if template is not None:
            template.save(draft.path)
        _write_used(draft.path, data, train, heldout)
        preflight.reload(policy, draft.path, collate([next(iter(train.rows.values()))], share=False), precision)
    run.finish()
    return draft.artifact


def _split(data: Dataset, config: Pretrain) -> tuple[list[Document], list[Document]]:
    """Documents to train on, and those that are kept out, by clusters of nearly equal ones."""
    apart = kept_out([prompt_key(record) for record in data.records], config.heldout_fraction, config.seed) \
        if config.heldout_fraction else set()
    sides: tuple[list[Document], list[Document]] = ([], [])
    for place, record in enumerate(data.records):
        sides[place in apart].append(record)
    return sides


def _quality(when: str, loss: float | None, heldout: Windows) -> dict[str, float]:
    """Of the held-out documents: perplexity of a token, and bits for a byte, which tokenizers do not change."""
    if loss is None:
        return {}
    return {f"perplexity_{when}": math.exp(min(loss, 700.0)),
            f"bits_per_byte_{when}": loss * heldout.num_labels / heldout.num_bytes / math.log(2)}


def _write_used(path: Path, data: Dataset, *used: Windows) -> None:
    if data.artifact is None:
        return
    rows: Mapping[str, list[str]] = {data.artifact.ref: [name for each in used for name in each.documents]}
    write_used(path, rows)
