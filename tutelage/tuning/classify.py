"""Train a classifier on labelled texts: of an encoder or of a decoder, one class a text or any number.

B texts of a batch · K classes
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tutelage.algorithms import sigmoid_cross_entropy, softmax_cross_entropy
from tutelage.class_metrics import measure
from tutelage.config import to_plain
from tutelage.console import console
from tutelage.data.datasets import Dataset, load_dataset, resolve_dataset
from tutelage.data.usage import write_used
from tutelage.errors import DataError, PreflightError
from tutelage.lineage import Manifest
from tutelage.models.circumstances import begin_run, give_memory_back
from tutelage.models.classifier import Classifier, load_classifier, save_classifier
from tutelage.models.load import load_tokenizer, resolve
from tutelage.models.policy import Policy
from tutelage.project import Artifact, Project
from tutelage.training import preflight
from tutelage.training.fit import Task, fit
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.optimizer import freeze_layers
from tutelage.tuning.annotators import chosen, sentence
from tutelage.tuning.config import Classify
from tutelage.tuning.labels import Classes, Row, class_weights, classes_of, counted, encode_rows, split_rows
from tutelage.tuning.prediction import chosen_classes, class_logits, pack

REPORT = "report.json"


class Labelled(Task):
    """Labelled rows; one term. It counts texts by their weight, class weights included, and with several labels a text the
    answers, K a text.
    """

    label = "Classifier"
    shown = ("loss", "correct")
    scores_only = True

    def __init__(self, rows: Sequence[Row], classes: Classes, weights: Sequence[float] | None) -> None:
        self.rows, self.classes = rows, classes
        self.weights = None if weights is None else torch.tensor(weights)        # (K,)
        self.lengths = [len(row.ids) for row in rows]

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        taken = [self.rows[row] for row in rows]
        weight = torch.tensor([row.weight for row in taken])
        if self.classes.multi:
            target = torch.zeros(len(taken), len(self.classes.names))
            for place, row in enumerate(taken):
                target[place, list(row.classes)] = 1.0
        else:
            target = torch.tensor([row.classes[0] for row in taken])
            weight = weight if self.weights is None else weight * self.weights[target]
        return MicroBatch(tokens=pack([row.ids for row in taken]), rows=tuple(row.name for row in taken),
                          fields={"target": target, "weight": weight})

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        answers = len(self.classes.names) if self.classes.multi else 1
        return {"cross_entropy": answers * float(batch.fields["weight"].sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        logits = policy(batch.tokens).scores
        assert logits is not None
        target, weight = batch.fields["target"], batch.fields["weight"]
        if self.classes.multi:
            return [Term("cross_entropy", sigmoid_cross_entropy(logits, target, weight, self.weights))]
        return [Term("cross_entropy", softmax_cross_entropy(logits, target, weight))]


def classify(project: Project, config: Classify) -> Artifact:
    """Make the classifier `config` asks for, or give the one that was made from just that.

    Raises:
        DataError: if the data holds no labelled texts, or none that can be learned; ModelError, PreflightError,
            TrainingError, ResumeError.
    """
    source = resolve(config.model, project)
    data, annotators = _labelled(project, config)
    manifest = Manifest(kind="classifier", name=config.name, stage="classify",
                        parents={**source.parents("model"), **data.parents},
                        sources={**source.sources("model"), **data.sources}, config=to_plain(config),
                        seeds={"seed": config.seed})
    if (done := project.made_from(manifest.key)) is not None:
        return done
    run = begin_run(project, manifest, config.precision)
    precision = run.circumstances["precision"]
    tokenizer = load_tokenizer(source.path)
    classes = classes_of(data.records, config)
    classifier = load_classifier(source.path, precision, classes.names, classes.multi,
                                 config.adapter if config.adapter.rank else None, config.seed)
    freeze_layers(classifier, config.optimizer.frozen_layers)
    rows, dropped = encode_rows(data.records, classes, tokenizer, min(config.max_length, classifier.max_tokens))
    train, heldout = split_rows(rows, classes, config.heldout_fraction, config.seed)
    console.print(f"classify: {sentence(annotators, 'labelled')}; {'any of' if classes.multi else 'one of'} "
                  f"{len(classes.names)} classes; {len(train)} texts to train on, {len(heldout)} kept out, {dropped} too long; "
                  f"precision {precision}")
    task = Labelled(train, classes, class_weights(train, classes, config.class_weights))
    learned = fit("classify", classifier, task, config, run)
    classifier.merge_adapter()
    _check_padding(classifier, train, precision)
    report = {"classes": list(classes.names), "multi_label": classes.multi, "rows": counted(train, classes),
              "heldout": _measure(classifier, heldout, classes), "train": _measure(classifier, train, classes)}
    facts = {**run.circumstances, **learned, **_facts(report), "rows": len(train), "dropped_too_long": dropped,
             "annotators": annotators}
    with project.writing(replace(manifest, facts=facts)) as draft:
        save_classifier(classifier, tokenizer, draft.path)
        (draft / REPORT).write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        if data.artifact is not None:
            write_used(draft.path, {data.artifact.ref: [row.name for row in rows]})
        _check_reload(classifier, draft.path, task.collate([0]), precision)
    run.finish()
    return draft.artifact


def _labelled(project: Project, config: Classify) -> tuple[Dataset, dict[str, int]]:
    data = load_dataset(resolve_dataset(project, config.data))
    if data.kind != "label":
        raise DataError(f"classify trains on labelled texts; {config.data} holds records of kind {data.kind}. Give rows with "
                        "text and label, or labels.")
    return chosen(data, config.annotators, config.data, "labels given")


def _measure(classifier: Classifier, rows: Sequence[Row], classes: Classes) -> dict[str, Any] | None:
    if not rows:
        return None
    given = chosen_classes(class_logits(classifier, [row.ids for row in rows]), classes.multi)
    return measure(classes.names, [row.classes for row in rows], given, classes.multi)


def _facts(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that a manifest tells; the rest is in the report."""
    heldout = report["heldout"]
    return {"classes": report["classes"], "multi_label": report["multi_label"], "train_accuracy": report["train"]["accuracy"],
            "heldout_rows": heldout["rows"] if heldout else 0, "heldout_accuracy": heldout["accuracy"] if heldout else None,
            "heldout_macro_f1": heldout["macro"]["f1"] if heldout else None}


def load_report(artifact: Artifact) -> dict[str, Any]:
    """What was measured when the classifier was made: `heldout` and `train`, as `class_metrics.measure` gives them."""
    report: dict[str, Any] = json.loads((artifact.path / REPORT).read_text(encoding="utf-8"))
    return report


def _check_padding(classifier: Classifier, rows: Sequence[Row], precision: str) -> None:
    """A text's logits do not depend on which others are in its batch."""
    sequences = [row.ids for row in rows[:8]]
    together = class_logits(classifier, sequences)
    alone = torch.cat([class_logits(classifier, [ids]) for ids in sequences])
    preflight.padding(alone, together, "a logit", _rounding(alone, precision))


def _rounding(logits: torch.Tensor, precision: str) -> float:
    """How far rounding may move a logit."""
    scale = float(logits.abs().max())
    return 1e-3 * (1 + scale) if precision == "fp32" else 0.3 + 0.1 * scale


def _check_reload(classifier: Classifier, directory: Path, batch: MicroBatch, precision: str) -> None:
    """What was saved reloads to the same weights, bit for bit, head included, the same classes and the same logits."""
    give_memory_back()
    again = load_classifier(directory, precision)
    weights = again.state_dict()
    other = [name for name, value in classifier.state_dict().items() if not torch.equal(value, weights[name])]
    if other or again.classes != classifier.classes or again.multi_label != classifier.multi_label:
        raise PreflightError(f"reload: {len(other)} weights of the saved classifier are others than those that were trained "
                             f"(first: {(other or ['none, but its classes are'])[0]}).")
    with torch.no_grad():
        wanted, got = classifier(batch.tokens).scores, again(batch.tokens).scores
    assert wanted is not None and got is not None
    if (worst := float((wanted - got).abs().max())) > _rounding(wanted, precision):
        raise PreflightError(f"reload: logits of the saved classifier differ by up to {worst:.3g} from those of the trained one. "
                             f"{directory} would not be what was trained.")
