"""Pre-training on a tiny model and from scratch, from a file of documents to an artifact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce
from transformers import AutoModelForCausalLM, AutoTokenizer

from tutelage.data.documents import windows
from tutelage.errors import ConfigError, DataError
from tutelage.models.config import Adapter, Scratch
from tutelage.models.scratch import BEGIN, END, train_tokenizer
from tutelage.models.tiny import tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Document
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.tuning.config import SFT, Pretrain, Template
from tutelage.tuning.pretrain import pretrain
from tutelage.tuning.sft import sft

SUBJECTS = ("the river", "a lamp", "the old baker", "our neighbour", "every winter", "the third train", "a song", "das Haus")
VERBS = ("bends towards", "waits beside", "counts", "remembers", "paints over", "listens to", "forgets", "carries")
TEXTS = [f"{subject} {verb} {other}, {n} times; 然后 {n * 7} more" for n, (subject, verb, other) in enumerate(
    (SUBJECTS[i % 8], VERBS[(3 * i + i // 8) % 8], SUBJECTS[(5 * i + 2) % 8]) for i in range(24))]
SCRATCH = Scratch(vocab_size=300, hidden_size=32, layers=2, heads=4, kv_heads=2)
Ask = Callable[..., Pretrain]


def document(text: str, name: str = "d") -> Document:
    return Document(id=name, text=text)


@pytest.fixture
def ask(tiny_directory: Path, tmp_path: Path) -> Ask:
    def build(texts: Any = TEXTS, **changes: Any) -> Pretrain:
        path = tmp_path / "documents.jsonl"
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        return Pretrain(**{"model": str(tiny_directory), "data": str(path), "precision": "fp32", "epochs": 3, "max_length": 32,
                           "batch_tokens": 128, "heldout_fraction": 0.2, "scratch": SCRATCH, "optimizer": Optimizer(lr=1e-2),
                           **changes})
    return build


@pytest.mark.parametrize("max_length", [2, 3, 5, 7, 100])
def test_every_token_but_a_documents_first_is_a_label_once(max_length: int) -> None:
    """Nothing is lost where windows meet: the labels of all windows, in order, are the document after its first token."""
    tokenizer = tiny_tokenizer()
    cut = windows([document("abcdefghij", "x"), document("q", "y"), document("", "z")], tokenizer, max_length)
    eos = tokenizer.eos_token_id
    for name, text in (("x", "abcdefghij"), ("y", "q")):
        mine = [row for key, row in cut.rows.items() if key.startswith(f"{name}@")]
        labels = [token for row in mine for token, keep in zip(row.ids, row.response_mask, strict=True) if keep]
        assert labels == [*tokenizer(text).input_ids[1:], eos]
        assert all(2 <= len(row.ids) <= max_length and not row.response_mask[0] for row in mine)
        assert all(before.ids[-1] == after.ids[0] for before, after in pairwise(mine))
    assert (cut.documents, cut.empty) == (["x", "y"], 1)
    assert cut.num_labels == 10 + 1
    assert cut.num_bytes == 9      # of x without its first byte, which nothing predicts; of y none


def test_with_a_bos_the_first_token_is_a_label_too_and_all_bytes_count() -> None:
    tokenizer = train_tokenizer(TEXTS, 300)
    cut = windows([document("über")], tokenizer, 100)
    row, = cut.rows.values()
    assert tokenizer.convert_ids_to_tokens([row.ids[0], row.ids[-1]]) == [BEGIN, END]
    assert tokenizer.decode(row.ids[1:-1]) == "über"
    assert cut.num_bytes == 5 and cut.num_labels == len(row.ids) - 1


def test_control_tokens_in_a_document_are_text() -> None:
    tokenizer = tiny_tokenizer()
    row, = windows([document("a<|im_end|>b")], tokenizer, 100).rows.values()
    assert list(row.ids).count(tokenizer.eos_token_id) == 1
    assert tokenizer.decode(row.ids[:-1]) == "a<|im_end|>b"


def test_equal_documents_are_all_read() -> None:
    cut = windows([document("same"), document("same"), document("same")], tiny_tokenizer(), 3)
    assert len(cut.rows) == 6 and cut.num_bytes == 9


def test_the_loss_is_the_plain_cross_entropy_of_transformers(project: Project, ask: Ask, tiny_directory: Path) -> None:
    texts = ["first text", "second, another one"]
    made = pretrain(project, ask(texts, epochs=1, heldout_fraction=0.0, optimizer=Optimizer(lr=1e-6)))
    model = AutoModelForCausalLM.from_pretrained(tiny_directory, dtype=torch.float32)
    tokenizer = tiny_tokenizer()
    total = count = 0.0
    for text in texts:
        ids = torch.tensor([[*tokenizer(text).input_ids, tokenizer.eos_token_id]])
        with torch.no_grad():
            total += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert made.manifest.facts["steps"] == 1
    assert made.manifest.facts["first_loss"] == pytest.approx(total / count, abs=1e-5)


def test_held_out_documents_are_measured_before_and_after(project: Project, ask: Ask) -> None:
    """One token a byte here: bits per byte follow from the perplexity, but for what has no bytes (the end) or no label."""
    facts = pretrain(project, ask()).manifest.facts
    assert facts["perplexity_after"] < 0.5 * facts["perplexity_before"] and facts["bits_per_byte_after"] < 6
    assert facts["documents"] + 5 >= 24 and facts["heldout_rows"] > 0
    ratio = facts["bits_per_byte_after"] / (math.log2(facts["perplexity_after"]))
    assert ratio == pytest.approx(facts["bits_per_byte_before"] / math.log2(facts["perplexity_before"]))
    assert 1 < ratio < 1.1      # labels over bytes: one end more for each document


def test_from_scratch_loads_in_transformers_and_goes_on_into_sft(project: Project, ask: Ask,
                                                                 instructions: Callable[..., str]) -> None:
    made = pretrain(project, ask(model="scratch:llama", precision="bf16"))
    facts = made.manifest.facts
    assert facts["first_loss"] == pytest.approx(math.log(300), abs=0.3) and facts["perplexity_after"] < 200
    assert made.verify() == []
    model, tokenizer = AutoModelForCausalLM.from_pretrained(made.path), AutoTokenizer.from_pretrained(made.path)
    ids = tokenizer("das Haus 然后", return_tensors="pt").input_ids
    assert tokenizer.decode(ids[0], skip_special_tokens=True) == "das Haus 然后" and ids[0, 0] == tokenizer.bos_token_id
    assert model.generate(ids, max_new_tokens=4, do_sample=False).shape[1] <= ids.shape[1] + 4
    assert model.config.num_key_value_heads == 2 and model.config.vocab_size == len(tokenizer) == 300
    tags = Template(user_open="<u>", user_close="</u>", assistant_open="<a>", assistant_close="</a>")
    taught = sft(project, SFT(model=made.ref, data=instructions([("a?", "one"), ("b?", "two")]), template=tags, epochs=1,
                              precision="fp32"))
    assert taught.manifest.parents == {"model": made.parent_ref}


def test_from_scratch_is_the_same_again_to_the_bit(project: Project, tmp_path: Path, ask: Ask) -> None:
    config = ask(model="scratch:qwen3", epochs=1)
    first = pretrain(project, config)
    torch.rand(7)
    second = pretrain(Project.init(tmp_path / "other"), config)
    third = pretrain(project, replace(config, seed=1))
    assert first.manifest.files == second.manifest.files
    assert first.manifest.files["model.safetensors"] != third.manifest.files["model.safetensors"]


def test_the_tokenizer_is_trained_on_what_is_trained_on_alone(project: Project, ask: Ask) -> None:
    """A held-out document that shaped the tokenizer would not be held out."""
    seen = []
    original = train_tokenizer

    def listening(texts: Any, size: int) -> Any:
        seen.extend(texts)
        return original(seen, size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tutelage.tuning.pretrain.train_tokenizer", listening)
        made = pretrain(project, ask(model="scratch:llama", epochs=1))
    assert len(seen) == made.manifest.facts["documents"] < len(TEXTS)


def test_an_interrupted_run_goes_on_to_the_same_model(project: Project, tmp_path: Path, ask: Ask,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    config = ask(model="scratch:llama", patience=50, evaluate_every=3)
    undisturbed = pretrain(Project.init(tmp_path / "other"), config)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(fitting, "update", InterruptedOnce(fitting.update, after=5))
    with pytest.raises(InterruptedError):
        pretrain(project, config)
    made = pretrain(project, config)
    assert made.manifest.files == undisturbed.manifest.files and made.manifest.facts == undisturbed.manifest.facts


def test_what_cannot_be_is_refused(project: Project, ask: Ask, instructions: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="records of kind instruction"):
        pretrain(project, replace(ask(), data=instructions([("a", "b")])))
    with pytest.raises(DataError, match=r"pieces for a vocabulary of \d+, and scratch.vocab_size is 5000"):
        pretrain(project, ask(model="scratch:llama", scratch=replace(SCRATCH, vocab_size=5000)))
    with pytest.raises(DataError, match="nothing can be kept out"):
        pretrain(project, ask([TEXTS[0]] * 3))
    for changes, message in (({"model": "scratch:bert"}, "wanted one of scratch:llama"), ({"max_length": 1}, "max_length 2"),
                             ({"model": "scratch:llama", "adapter": Adapter(rank=2)}, "random weights"),
                             ({"heldout_fraction": 0.0, "patience": 2}, "heldout_fraction is 0")):
        with pytest.raises(ConfigError, match=message):
            ask(**changes)
    for sizes in ({"heads": 3}, {"kv_heads": 3}, {"vocab_size": 200}):
        with pytest.raises(ConfigError, match="scratch:"):
            replace(SCRATCH, **sizes)
    assert project.artifacts() == []
