"""Classification on tiny encoders and decoders: from labelled texts to an artifact that predicts."""

from __future__ import annotations

import json
import math
import random
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tokenizers.processors import TemplateProcessing
from transformers import AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

import tutelage
from tutelage import cli
from tutelage.data.loader import Schedule
from tutelage.errors import ConfigError, DataError, ModelError
from tutelage.models.classifier import load_classifier
from tutelage.models.config import Adapter
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Label
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.tuning.classify import REPORT, Labelled, classify, load_report
from tutelage.tuning.config import Classify
from tutelage.tuning.labels import class_weights, classes_of, encode_rows, split_rows
from tutelage.tuning.prediction import Predictor

SIZES: dict[str, dict[str, Any]] = {
    "bert": {"num_key_value_heads": None}, "roberta": {"num_key_value_heads": None, "pad_token_id": 1},
    "distilbert": {"n_layers": 2, "n_heads": 4, "dim": 32, "hidden_dim": 64}, "llama": {}}
Rows = Sequence[tuple[str, Sequence[str]]]


def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte between a first and a last special token, as BERT's has it."""
    tokenizer = tiny_tokenizer()
    first, last = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", first), ("<|im_end|>", last)])
    return tokenizer


@pytest.fixture(scope="session")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pre-trained models as they are published: a trunk, for a decoder with its head over the vocabulary."""
    found = {}
    for architecture, sizes in SIZES.items():
        directory = tmp_path_factory.mktemp("classify") / architecture
        model = tiny_model(architecture, classes=2, initializer_range=0.2, **sizes) if architecture != "llama" else tiny_model()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            trunk = AutoModel.from_config(model.config) if architecture != "llama" else model
        trunk.save_pretrained(directory)
        (encoder_tokenizer() if architecture != "llama" else tiny_tokenizer()).save_pretrained(directory)
        found[architecture] = str(directory)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Callable[..., str]:
    def write(rows: Rows, name: str = "labels.jsonl", **more: Any) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps({"text": text, "labels": list(labels), **more}) + "\n" for text, labels in rows),
                        encoding="utf-8")
        return str(path)
    return write


@pytest.fixture
def config(directories: dict[str, str]) -> Callable[..., Classify]:
    def build(architecture: str = "bert", **changes: Any) -> Classify:
        return Classify(**{"model": directories[architecture], "precision": "fp32", "batch_tokens": 256, "max_length": 64,
                           "optimizer": Optimizer(lr=3e-3, head_lr=3e-3), **changes})
    return build


def letters(count: int, seed: int = 0, marks: str = "xyz") -> list[tuple[str, list[str]]]:
    """Six letters each, one of which is a mark: it names the class."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        text, mark = [draw.choice("abcdefgh") for _ in range(6)], draw.choice(marks)
        text[draw.randrange(6)] = mark
        rows.append(("".join(text), [mark]))
    return rows


def records(rows: Rows) -> list[Label]:
    return [Label(id=f"r{i}", text=text, labels=tuple(labels)) for i, (text, labels) in enumerate(rows)]


def task_of(rows: Rows, config: Classify) -> Labelled:
    classes = classes_of(records(rows), config)
    encoded, _ = encode_rows(records(rows), classes, encoder_tokenizer(), config.max_length)
    return Labelled(encoded, classes, class_weights(encoded, classes, config.class_weights))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "llama"])
def test_a_plain_rule_is_learned_and_holds_for_unseen_texts(architecture: str, project: Project, data: Callable[..., str],
                                                            config: Callable[..., Classify]) -> None:
    made = classify(project, config(architecture, data=data(letters(400)), epochs=6, heldout_fraction=0.25))
    facts, report = made.manifest.facts, load_report(made)
    assert facts["first_loss"] == pytest.approx(math.log(3), abs=1e-4)      # a new head finds all classes equally likely
    assert facts["heldout_rows"] > 80 and facts["heldout_accuracy"] >= 0.95
    assert report["heldout"]["accuracy"] == facts["heldout_accuracy"] and report["classes"] == ["x", "y", "z"]
    assert sum(sum(row) for row in report["heldout"]["confusion"]) == facts["heldout_rows"]
    new = letters(50, seed=9)
    said = Predictor.load(made.path).predict([text for text, _ in new])
    assert sum(list(each.labels) == labels for each, (_, labels) in zip(said, new, strict=True)) >= 45


def test_labels_at_random_do_not_hold_for_unseen_texts(project: Project, data: Callable[..., str],
                                                       config: Callable[..., Classify]) -> None:
    draw = random.Random(1)
    rows = [(text, [draw.choice("xyz")]) for text, _ in letters(300)]
    made = classify(project, config(data=data(rows), epochs=3, heldout_fraction=0.3))
    assert 0.18 < made.manifest.facts["heldout_accuracy"] < 0.48


@pytest.mark.parametrize("architecture", ["distilbert", "llama"])
def test_several_labels_a_text_are_found_in_the_data_and_learned(architecture: str, project: Project, data: Callable[..., str],
                                                                 config: Callable[..., Classify]) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choice("abcxy") for _ in range(5)) for _ in range(500)]
    rows = [(text, [mark for mark in "xy" if mark in text]) for text in texts]
    made = classify(project, config(architecture, data=data(rows), epochs=8, heldout_fraction=0.25))
    heldout = load_report(made)["heldout"]
    assert made.manifest.facts["multi_label"] and heldout["accuracy"] >= 0.95
    assert made.manifest.facts["first_loss"] == pytest.approx(math.log(2), abs=1e-4)
    none, both = Predictor.load(made.path).predict(["aabba", "ayxbb"])
    assert none.labels == () and both.labels == ("x", "y")
    assert all(0 <= chance <= 1 for each in (none, both) for chance in each.probabilities.values())


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("way", ["none", "balanced"])
@pytest.mark.parametrize("micro_tokens", [1, 30, 512])
def test_loss_and_gradient_are_torchs_however_the_step_is_cut(
        multi: bool, way: str, micro_tokens: int, directories: dict[str, str], config: Callable[..., Classify]) -> None:
    """Against transformers' own forward of one text at a time and torch's weighted means."""
    rows: Rows = [("ab", ["p"]), ("cdefg", ["q"]), ("a", ["p"]), ("hgfedcba", ["r"]), ("bb", ["p"])]
    if multi:
        rows = [("ab", ["p"]), ("cdefg", []), ("a", ["p", "q"]), ("hgfedcba", ["r"]), ("bb", ["q", "p"])]
    asked = config(class_weights=way)
    task = task_of(rows, asked)
    classifier = load_classifier(Path(directories["bert"]), "fp32", task.classes.names, multi)
    generator = torch.Generator().manual_seed(0)
    for value in classifier.head_parameters():
        value.data = torch.randn(value.shape, generator=generator)
    classifier.model.set_attn_implementation("eager")
    logits = torch.cat([classifier.model(torch.tensor([row.ids])).logits for row in task.rows])
    classifier._choose(True)
    if multi:
        target = torch.tensor([[float(name in labels) for name in "pqr"] for _, labels in rows])
        weights = None if way == "none" else torch.tensor([2 / 3, 3 / 2, 4 / 1])      # noes a yes
        wanted = F.binary_cross_entropy_with_logits(logits, target, pos_weight=weights)
    else:
        weights = None if way == "none" else torch.tensor([5 / 9, 5 / 3, 5 / 3])        # n / (K n_k)
        wanted = F.cross_entropy(logits, torch.tensor([0, 1, 0, 2, 0]), weight=weights)
    gradient = torch.autograd.grad(wanted, list(classifier.parameters()))
    norm = math.sqrt(sum(float(each.double().square().sum()) for each in gradient))
    masters = Masters(classifier, Optimizer(lr=1e-9, warmup_fraction=0.0, max_grad_norm=0.0), 1)
    parts = Schedule(task.lengths, 0, 1, 512, micro_tokens).micro(0)
    seen = update(masters, task.batches(masters.lanes, parts), task)
    assert seen["loss"] == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert seen["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_what_is_saved_is_transformers_own_classifier(project: Project, data: Callable[..., str],
                                                      config: Callable[..., Classify]) -> None:
    for architecture in ("bert", "llama"):
        made = classify(project, config(architecture, name=architecture, data=data(letters(80)), epochs=1))
        theirs = AutoModelForSequenceClassification.from_pretrained(made.path)
        texts = [text for text, _ in letters(5, seed=3)]
        said = Predictor.load(made.path).predict(texts)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(made.path)
        padded = tokenizer([*texts, "a"], return_tensors="pt", padding=True, padding_side="right")
        chances = theirs(**{name: padded[name] for name in ("input_ids", "attention_mask")}).logits.softmax(-1)
        for ours, row in zip(said, chances, strict=False):
            assert list(ours.probabilities.values()) == pytest.approx(row.tolist(), abs=1e-4), architecture
        assert theirs.config.id2label == {0: "x", 1: "y", 2: "z"}


def test_with_an_adapter_the_artifact_is_one_plain_model(project: Project, data: Callable[..., str],
                                                         config: Callable[..., Classify]) -> None:
    made = classify(project, config("llama", data=data(letters(300)), epochs=6, adapter=Adapter(rank=8, dropout=0.05),
                                    heldout_fraction=0.2, optimizer=Optimizer(lr=1e-2)))
    assert not (made.path / "adapter").exists() and made.manifest.facts["heldout_accuracy"] > 0.8
    theirs = AutoModelForSequenceClassification.from_pretrained(made.path)
    text = letters(1, seed=5)[0][0]
    ids = torch.tensor([tiny_tokenizer()(text)["input_ids"]])
    ours = Predictor.load(made.path).predict([text])[0]
    assert list(ours.probabilities.values()) == pytest.approx(theirs(ids).logits.softmax(-1)[0].tolist(), abs=1e-4)


def test_bf16_reloads_to_the_same_logits_and_predicts_in_bf16(project: Project, data: Callable[..., str],
                                                              config: Callable[..., Classify]) -> None:
    made = classify(project, config(data=data(letters(60)), epochs=1, precision="bf16"))
    assert Predictor.load(made.path).classifier.dtype == torch.bfloat16


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path: Path, data: Callable[..., str], config: Callable[..., Classify],
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    asked = config("roberta", data=data(letters(60)), batch_tokens=64, epochs=2)
    whole = classify(Project.init(tmp_path / "whole"), asked)
    project, steps = Project.init(tmp_path / "cut"), 0
    real = fitting.update

    def stops(*arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(fitting, "update", stops)
    with pytest.raises(KeyboardInterrupt):
        classify(project, asked)
    monkeypatch.undo()
    assert not project.artifacts("classifier")
    again = classify(project, asked)
    assert again.manifest.files == whole.manifest.files
    assert classify(project, asked).ref == again.ref, "asked again, it is the same artifact"


def test_equal_texts_are_never_on_both_sides_and_the_split_ignores_order(config: Callable[..., Classify]) -> None:
    rows = [*letters(200), *letters(200)]
    classes = classes_of(records(rows), config())
    encoded, _ = encode_rows(records(rows), classes, encoder_tokenizer(), 64)
    train, heldout = split_rows(encoded, classes, 0.3, 0)
    assert not {row.text for row in train} & {row.text for row in heldout} and len(train) + len(heldout) == 400
    assert 60 < len(heldout) < 180
    assert {row.text for row in split_rows(encoded[::-1], classes, 0.3, 0)[1]} == {row.text for row in heldout}


def test_long_texts_are_dropped_and_counted(project: Project, data: Callable[..., str], config: Callable[..., Classify]) -> None:
    rows = [*letters(40), ("x" * 63, ["x"]), ("y" * 62, ["y"])]      # 65 and 64 tokens with the two around them
    made = classify(project, config(data=data(rows), epochs=1))
    assert made.manifest.facts["dropped_too_long"] == 1
    assert made.manifest.facts["rows"] + made.manifest.facts["heldout_rows"] == 41
    limit = Predictor.load(made.path).classifier.max_tokens
    with pytest.raises(DataError, match=rf"text 1 has {limit + 1} tokens; wanted 1 to {limit}"):
        Predictor.load(made.path).predict(["a", "a" * (limit - 1)])


@pytest.mark.parametrize(("rows", "changes", "complaint"), [
    ([("a", ["x"]), ("b", ["x"])], {}, r"all 2 rows have the same labels \(x\)"),
    ([("a", []), ("b", [])], {}, r"all 2 rows have the same labels \(none\)"),
    ([("a", ["x"]), ("b", ["y"])], {"labels": ("x", "z")}, "y is none of the labels that are listed"),
    ([("a", ["x"]), ("b", ["x", "y"])], {"task": "single"}, r"1 of 2 rows are not in exactly one class \(first: row .* in 2\)"),
    ([("a", ["x"]), ("b", ["y"])], {"labels": ("x", "y", "z")}, "none of these is labelled z"),
    ([("a", ["x"]), ("b", ["y"])], {"heldout_fraction": 0.999}, "0 are left to train on"),
    ([("aaaa", ["x"]), ("bbbbbb", ["y"])], {"max_length": 5}, "longer than 5 tokens .the shortest has 6"),
])
def test_data_that_cannot_be_learned_is_refused(rows: Rows, changes: dict[str, Any], complaint: str, project: Project,
                                                data: Callable[..., str], config: Callable[..., Classify]) -> None:
    with pytest.raises(DataError, match=complaint):
        classify(project, config(data=data(rows), **{"heldout_fraction": 0.0, **changes}))
    assert not project.artifacts("classifier")


def test_other_records_and_settings_that_contradict_are_refused(
        project: Project, config: Callable[..., Classify], instructions: Callable[..., str], data: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="holds records of kind instruction"):
        classify(project, config(data=instructions([("a", "b")])))
    path = Path(data([("a", ["x"])], annotator="model"))
    path.write_text(path.read_text() + json.dumps({"text": "b", "labels": ["y"]}) + "\n")
    with pytest.raises(DataError, match="mixes labels given by different kinds of annotators"):
        classify(project, config(data=str(path)))
    for changes in ({"epochs": 0}, {"max_length": 600}, {"heldout_fraction": 1.0}, {"labels": ("a", "a")}):
        with pytest.raises(ConfigError):
            config(**changes)


def test_from_the_command_line_with_a_plan_and_in_python(tmp_path: Path, data: Callable[..., str], directories: dict[str, str],
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    Project.init(tmp_path / "p")
    words = ["classify", "--project", str(tmp_path / "p"), "--model", directories["bert"], "--data", data(letters(60)),
             "--epochs", "1", "--precision", "fp32", "--json"]
    assert cli.main([*words, "--plan"]) == 0
    plan = json.loads(capsys.readouterr().out.splitlines()[-1])["plan"]
    assert "head over the vocabulary" not in plan["memory"] and plan["memory"]
    assert not (tmp_path / "p" / "artifacts" / "classifier").exists()
    assert cli.main(words) == 0
    out = capsys.readouterr()
    told = json.loads(out.out.splitlines()[-1])
    assert told["artifact"] == "classifier/classifier@1" and (Path(told["path"]) / REPORT).is_file()
    assert "mean, weighted" in out.err
    said = tutelage.predict(tmp_path / "p", model="classifier", texts=["abcx", string.ascii_lowercase])
    assert [each.labels[0] in "xyz" for each in said] == [True, True]
    assert sum(said[0].probabilities.values()) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ModelError, match="is no classifier but a bert model"):
        tutelage.predict(tmp_path / "p", model=directories["bert"], texts=["a"])
