"""Supervised fine-tuning on a tiny model, from a file to an artifact."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce
from transformers import AutoModelForCausalLM

from tutelage.data.chat import ChatTemplate
from tutelage.data.cleaning import Cleaning, clean
from tutelage.data.datasets import write_dataset
from tutelage.data.loader import collate, drawn
from tutelage.data.sources import read_file
from tutelage.errors import DataError, PreflightError
from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.project import Artifact, Project
from tutelage.records import Prompt, Sampling
from tutelage.runs.metrics import read_metrics
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT, Template
from tutelage.tuning.sft import sft

ROWS = [("a?", "one"), ("b?", "two"), ("c?", "three"), ("d?", "four")]
Ask = Callable[..., SFT]


@pytest.fixture
def ask(tiny_directory: Path, instructions: Callable[..., str]) -> Ask:
    def build(rows: Any = ROWS, **changes: Any) -> SFT:
        return SFT(**{"model": str(tiny_directory), "data": instructions(rows), "precision": "fp32", "epochs": 2,
                      "optimizer": Optimizer(lr=1e-2), **changes})
    return build


def ask_model(artifact: Artifact, prompt: str) -> tuple[str, bool]:
    """The most likely response, and whether it ended its turn."""
    template = ChatTemplate.load(artifact.path, load_tokenizer(artifact.path))
    engine = Engine(load_policy(artifact.path, "fp32"), template)
    sample, = engine.generate([Prompt(id="p", messages=(Message.of("user", prompt),))],
                              Sampling(temperature=0.0, max_new_tokens=16))
    return sample.text, sample.ended


def test_the_loss_falls_and_the_response_with_its_end_is_learned(project: Project, ask: Ask) -> None:
    """trl#6357, trl#3091, unsloth#416, DeepSeek-Coder#163: pad equals eos here, and a model trained with the end of turn
    masked never stops.
    """
    made = sft(project, ask([("a?", "one"), ("b?", "two")], epochs=90, optimizer=Optimizer(lr=2e-2)))
    assert made.manifest.facts["last_loss"] < 0.3 < 4 < made.manifest.facts["first_loss"]
    assert ask_model(made, "a?") == ("one", True) and ask_model(made, "b?") == ("two", True)


def test_the_loss_is_the_plain_cross_entropy_of_transformers(project: Project, ask: Ask, tiny_directory: Path) -> None:
    """One step over all rows against transformers' own padded loss, response labels only; L labels in all."""
    made = sft(project, ask(epochs=1, optimizer=Optimizer(lr=1e-6)))
    template = ChatTemplate.of(load_tokenizer(tiny_directory))
    rows = [template.render((Message.of("user", prompt), Message.of("assistant", response))) for prompt, response in ROWS]
    width = max(len(row.ids) for row in rows)
    ids, labels = torch.zeros(4, width, dtype=torch.long), torch.full((4, width), -100)
    keep = torch.zeros(4, width, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, :len(row.ids)], keep[i, :len(row.ids)] = torch.tensor(row.ids), 1
        labels[i, :len(row.ids)] = torch.where(torch.tensor(row.response_mask), torch.tensor(row.ids), -100)
    assert int((labels == template.end_of_turn_id).sum()) == 4      # each end of turn is a label
    model = AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32)
    with torch.no_grad():
        wanted = model(input_ids=ids, attention_mask=keep, labels=labels).loss
    assert made.manifest.facts["steps"] == 1
    assert made.manifest.facts["first_loss"] == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("adapter", [Adapter(), Adapter(rank=4, dropout=0.2)], ids=["full", "lora"])
def test_the_same_seed_gives_the_same_files_to_the_bit(project: Project, tmp_path: Path, ask: Ask, adapter: Adapter) -> None:
    """trl#1810, verl#5180: seeds that are not honoured. Dropout's random numbers included."""
    config = ask(adapter=adapter, batch_tokens=32, max_length=32)
    first = sft(project, config)
    torch.rand(7)                                       # nothing depends on the global stream
    second = sft(Project.init(tmp_path / "other"), config)
    third = sft(project, replace(config, seed=1))
    weights = "adapter/adapter_model.safetensors" if adapter.rank else "model.safetensors"
    assert first.manifest.files == second.manifest.files
    assert first.manifest.files[weights] != third.manifest.files[weights]


def test_asking_again_returns_the_artifact_without_training(project: Project, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sft(project, ask())
    monkeypatch.setattr("tutelage.tuning.sft.load_policy", None)
    assert sft(project, ask()) == first


def test_a_run_leaves_its_metrics_and_nothing_it_only_needed_to_go_on(project: Project, ask: Ask) -> None:
    made = sft(project, ask())
    run, = project.runs.iterdir()
    assert len(read_metrics(run / "metrics.jsonl")) == made.manifest.facts["steps"] == 2
    assert sorted(path.name for path in run.iterdir()) == ["config.toml", "metrics.jsonl", "run.json", "speed.jsonl"]
    assert made.verify() == []


@pytest.mark.parametrize(("policy", "counted"), [("drop", "3 of 4 rows whole, 0 cut, 1 dropped"),
                                                 ("cut", "3 of 4 rows whole, 1 cut, 0 dropped")])
def test_rows_that_are_too_long_are_counted(project: Project, ask: Ask, policy: Any, counted: str) -> None:
    """trl#5826, unsloth#2904: a default that cuts silently."""
    rows = [*ROWS[:3], ("d?", "four" * 30)]
    made = sft(project, ask(rows, max_length=64, too_long=policy))
    assert made.manifest.facts["truncation"] == counted
    assert made.manifest.facts["rows"] == (3 if policy == "drop" else 4)


def test_nothing_left_after_truncation_is_an_error(project: Project, ask: Ask) -> None:
    """trl#6668: loss 0, and a message of success."""
    with pytest.raises(PreflightError, match="labels: 0 of 0 rows"):
        sft(project, ask(max_length=4))
    assert project.artifacts() == []


def test_equal_rows_are_all_trained_on(project: Project, ask: Ask) -> None:
    assert sft(project, ask([ROWS[0]] * 3)).manifest.facts["rows"] == 3


def test_other_records_are_refused(project: Project, ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with pytest.raises(DataError, match="records of kind preference"):
        sft(project, replace(ask(), data=str(path)))


def test_declared_tags_are_saved_with_the_model_and_used_again(project: Project, ask: Ask) -> None:
    """LLaMA-Factory#2509, #5232: what is served is what was trained, here tags in Chinese."""
    tags = Template(user_open="<指令>", user_close="</指令>", assistant_open="<输出>", assistant_close="</输出>")
    made = sft(project, ask([("问", "答")], template=tags, epochs=40, optimizer=Optimizer(lr=2e-2)))
    template = ChatTemplate.load(made.path, load_tokenizer(made.path))
    row = template.render((Message.of("user", "问"), Message.of("assistant", "答")))
    assert row.text == "<指令>问</指令><输出>答</输出><|im_end|>"
    assert made.manifest.template == template.sha256
    assert ask_model(made, "问") == ("答", True)
    second = sft(project, replace(ask([("问", "答")]), model=made.ref, name="second"))      # a stage that declares none
    assert second.manifest.template == template.sha256


def test_an_adapter_trains_alone_and_its_artifact_stands_alone(project: Project, ask: Ask, tiny_directory: Path) -> None:
    made = sft(project, ask(adapter=Adapter(rank=4)))
    base, tuned = load_policy(tiny_directory, "fp32"), load_policy(made.path, "fp32")
    assert tuned.has_adapter
    template = ChatTemplate.of(load_tokenizer(tiny_directory))
    batch = collate([template.render((Message.of("user", "a?"), Message.of("assistant", "one")))])
    assert not torch.equal(tuned.evaluate_logprobs(batch), base.evaluate_logprobs(batch))
    with tuned.reference():
        assert torch.equal(tuned.evaluate_logprobs(batch), base.evaluate_logprobs(batch))


def test_training_goes_on_from_an_adapter_that_came_with_the_model(project: Project, ask: Ask) -> None:
    first = sft(project, ask(adapter=Adapter(rank=4)))
    second = sft(project, replace(ask(), model=first.ref, name="second"))
    assert second.manifest.facts["first_loss"] == pytest.approx(first.manifest.facts["last_loss"], abs=1.0)
    assert load_policy(second.path, "fp32").has_adapter


def test_dropout_of_an_adapter_is_on_in_training_only(project: Project, ask: Ask) -> None:
    """A setting that is read: the same run with and without it differs, and what was saved reloads to the same outputs."""
    without = sft(project, ask(adapter=Adapter(rank=4)))
    with_dropout = sft(project, ask(adapter=Adapter(rank=4, dropout=0.5), name="dropped"))
    weights = "adapter/adapter_model.safetensors"
    assert without.manifest.files[weights] != with_dropout.manifest.files[weights]


def test_frozen_layers_stay_as_they_were(project: Project, ask: Ask, tiny_directory: Path) -> None:
    made = sft(project, ask(optimizer=Optimizer(lr=1e-2, frozen_layers=1)))
    before = dict(load_policy(tiny_directory, "fp32").named_parameters())
    changed = {name for name, value in load_policy(made.path, "fp32").named_parameters() if not torch.equal(value, before[name])}
    assert changed and all("layers.1." in name or name == "model.model.norm.weight" for name in changed)


def test_an_interrupted_run_goes_on_to_the_same_model(project: Project, tmp_path: Path, ask: Ask,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """trl#1643, LF#8715, open-instruct#1823: resume that does something, and nothing else."""
    config = ask(epochs=4, batch_tokens=64, max_length=64, precision="bf16")
    undisturbed = sft(Project.init(tmp_path / "other"), config)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    update = InterruptedOnce(fitting.update, after=5)
    monkeypatch.setattr(fitting, "update", update)
    with pytest.raises(InterruptedError):
        sft(project, config)
    assert project.artifacts() == []
    made = sft(project, config)
    assert update.calls == made.manifest.facts["steps"]
    assert made.manifest.files == undisturbed.manifest.files and made.manifest.facts == undisturbed.manifest.facts


def test_balanced_training_draws_rows_by_the_weights_of_the_data_set(project: Project, ask: Ask) -> None:
    file = project.root / "topics.jsonl"
    file.write_text("".join(json.dumps({"instruction": f"{letter}?", "output": letter * 3, "topic": str(letter == "a")}) + "\n"
                            for letter in "abcdef"))
    plain = write_dataset(project, "topics", [read_file(file)])
    with pytest.raises(DataError, match=r"topics has no weights.jsonl. Make one that has: tutelage data clean topics"):
        sft(project, replace(ask(), data="topics", balanced=True))
    clean(project, plain, "even", Cleaning(balance="topic"))
    once = replace(ask(), data="even", epochs=4, batch_tokens=32, max_length=32)
    steps, drawn_steps = (sft(project, each).manifest.facts["steps"] for each in (once, replace(once, balanced=True)))
    weights = [3.0, 0.6, 0.6, 0.6, 0.6, 0.6]      # the rare row three times a pass, each other one three times in five
    assert steps == 24 and drawn_steps == sum(len(drawn(weights, 0, epoch)) for epoch in range(4)) != 24
