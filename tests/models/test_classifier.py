"""Classifiers: texts laid end to end give what transformers' own classifiers give for each alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForSequenceClassification

from tutelage.batch import TokenBatch
from tutelage.errors import ModelError
from tutelage.models.attention import TwoSided
from tutelage.models.classifier import ENCODERS, Classifier, is_supported, load_classifier, save_classifier
from tutelage.models.config import Adapter
from tutelage.models.footprint import measure_activations
from tutelage.models.load import save_policy
from tutelage.models.policy import TESTED, Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer

LENGTHS = (13, 7, 1, 20, 9)
LOGITS = 5e-6                    # fp32 rounding, over two layers
PAD = 1                          # as RoBERTa has it; our rows do not hold it, for transformers would not count its place

DECODERS = ("llama", "mistral", "gemma2", "gpt2", "gpt_neox", "qwen2", "qwen3", "phi3", "olmo2")
EVERY = (*sorted(ENCODERS), *DECODERS)


def model(architecture: str) -> Any:
    more: dict[str, Any] = {"sliding_window": 5} if architecture == "mistral" else {}
    if architecture in ENCODERS:
        more = {"num_key_value_heads": None, "pad_token_id": PAD}
    if architecture == "distilbert":
        more |= {"n_layers": 2, "n_heads": 4, "dim": 32, "hidden_dim": 64}
        more.pop("num_key_value_heads")
    return tiny_model(architecture, noise=0.2, classes=3, **more)


def rows(seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, 256, (length,), generator=generator).tolist() for length in LENGTHS]


def pack(sequences: list[list[int]]) -> TokenBatch:
    return TokenBatch.pack(sequences, [[False] * len(ids) for ids in sequences])


def own(theirs: Any, sequences: list[list[int]]) -> Tensor:
    """transformers' own forward, one text at a time, eager attention."""
    theirs.set_attn_implementation("eager")
    return torch.cat([theirs(torch.tensor([ids])).logits for ids in sequences])


@pytest.mark.parametrize("architecture", EVERY)
def test_packed_equals_each_alone_equals_transformers_in_logits_and_gradients(architecture: str) -> None:
    """The position a RoBERTa begins to count from, its pooling and that of its cousins are in what this compares."""
    ours, theirs, sequences = Classifier(model(architecture)), model(architecture), rows()
    assert ours.ragged and not ours.training
    packed = ours(pack(sequences)).scores
    alone = torch.cat([ours(pack([ids])).scores for ids in sequences])
    wanted = own(theirs, sequences)
    assert packed.shape == (5, 3) and packed.dtype == torch.float32
    torch.testing.assert_close(packed, wanted, atol=LOGITS, rtol=1e-5)
    torch.testing.assert_close(packed, alone, atol=LOGITS, rtol=1e-5)
    weights = torch.linspace(-1, 1, 15).reshape(5, 3)
    (packed * weights).sum().backward()
    (wanted * weights).sum().backward()
    gradients = [value.grad for value in theirs.parameters()]
    assert all(gradient is not None for gradient in gradients)
    largest = max(float(gradient.abs().max()) for gradient in gradients)      # a key's bias has none but for rounding
    for (name, value), gradient in zip(ours.model.named_parameters(), gradients, strict=True):
        torch.testing.assert_close(value.grad, gradient, atol=2e-6 * largest, rtol=1e-4, msg=name)


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "llama"])
def test_the_ragged_path_is_taken(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each layer asks the plan once, of all texts: nothing is padded and no N x N mask is made."""
    from tutelage.models import attention

    seen: list[tuple[int, ...]] = []
    plan = TwoSided if architecture in ENCODERS else attention.Segments
    attend = plan.attend

    def watch(self: Any, layer: int, q: Tensor, *rest: Any) -> Tensor:
        seen.append(tuple(q.shape))
        return attend(self, layer, q, *rest)

    monkeypatch.setattr(plan, "attend", watch)
    Classifier(model(architecture))(pack(rows()))
    assert seen == [(1, 4, sum(LENGTHS), 8)] * 2


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert"])
def test_an_encoder_reads_both_ways_within_a_text_and_never_beyond(architecture: str) -> None:
    ours, sequences = Classifier(model(architecture)), rows()
    before = ours(pack(sequences)).scores
    sequences[1] = [*sequences[1][:-1], (sequences[1][-1] + 1) % 200 + 2]      # its last token, and the answer is at the first
    after = ours(pack(sequences)).scores
    same = torch.tensor([True, False, True, True, True])
    assert torch.equal(before[same], after[same])
    assert not torch.equal(before[1], after[1])


def test_every_tested_decoder_with_a_classifier_of_transformers_is_taken_and_others_are_refused() -> None:
    lacking = {kind for kind in TESTED if not is_supported(tiny_model(kind).config)}
    assert lacking == {"cohere", "cohere2", "granite"}
    with pytest.raises(ModelError, match="the architecture bloom cannot be made a classifier"):
        Classifier(tiny_model("bloom", classes=2))
    with pytest.raises(ModelError, match="the architecture bert cannot"):
        Classifier(tiny_model("bert", classes=2, is_decoder=True))


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "llama"])
def test_a_new_head_finds_all_classes_equally_likely_and_a_saved_one_is_kept(architecture: str, tmp_path: Path) -> None:
    trunk = AutoModel.from_config(model(architecture).config)
    trunk.save_pretrained(tmp_path / "trunk")
    made = load_classifier(tmp_path / "trunk", "fp32", ("a", "b", "c"))
    assert not made(pack(rows())).scores.any() and made.classes == ("a", "b", "c") and not made.multi_label
    again = load_classifier(tmp_path / "trunk", "fp32", ("a", "b", "c"))
    assert all(torch.equal(one, other) for one, other in zip(made.parameters(), again.parameters(), strict=True))
    generator = torch.Generator().manual_seed(0)
    for value in made.head_parameters():
        value.data = torch.randn(value.shape, generator=generator)
    save_classifier(made, tiny_tokenizer(), tmp_path / "made")
    scores = made(pack(rows())).scores
    assert torch.equal(load_classifier(tmp_path / "made", "fp32")(pack(rows())).scores, scores)
    assert torch.equal(load_classifier(tmp_path / "made", "fp32", ("a", "b", "c"))(pack(rows())).scores, scores)
    assert not load_classifier(tmp_path / "made", "fp32", ("c", "b", "a"))(pack(rows())).scores.any()
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "made")
    torch.testing.assert_close(own(theirs, rows()), scores, atol=1e-4, rtol=1e-5)
    assert theirs.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize("architecture", ["bert", "roberta", "distilbert", "llama"])
def test_an_adapter_is_on_the_trunk_alone_and_merges_into_it(architecture: str, tmp_path: Path) -> None:
    model(architecture).save_pretrained(tmp_path)
    made = load_classifier(tmp_path, "fp32", ("a", "b"), adapter=Adapter(rank=2))
    trained = {name for name, value in made.named_parameters() if value.requires_grad}
    head = {name for name in trained if "lora" not in name}
    assert head and len(head) == len(made.head_parameters()) and len(trained) > len(head)
    generator = torch.Generator().manual_seed(0)
    for name, value in made.named_parameters():
        if value.requires_grad:
            assert not ("lora" in name and ("classifier" in name or "score" in name or "pooler" in name))
            value.data = 0.1 * torch.randn(value.shape, generator=generator)
    before = made(pack(rows())).scores
    made.merge_adapter()
    assert not made.has_adapter
    torch.testing.assert_close(made(pack(rows())).scores, before, atol=1e-5, rtol=1e-5)


def test_a_language_model_with_an_adapter_gives_its_adapted_trunk(tmp_path: Path) -> None:
    from tutelage.models.adapters import add_adapter

    policy = Policy(tiny_model(noise=0.1))
    add_adapter(policy, Adapter(rank=2))
    for name, value in policy.named_parameters():
        if "lora_B" in name:
            value.data = torch.full_like(value, 0.02)
    save_policy(policy, tiny_tokenizer(), tmp_path)
    made = load_classifier(tmp_path, "fp32", ("a", "b"))
    torch.testing.assert_close(made._trunk(pack(rows())), policy._trunk(pack(rows())), atol=1e-5, rtol=1e-5)
    with policy.reference():
        assert not torch.allclose(made._trunk(pack(rows())), policy._trunk(pack(rows())), atol=1e-2)
    assert not made.has_adapter


def test_what_cannot_be_read_is_refused(tmp_path: Path, tiny_directory: Path) -> None:
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_classifier(tmp_path, "fp32")
    with pytest.raises(ModelError, match="is no classifier but a llama model"):
        load_classifier(tiny_directory, "fp32")
    broken = model("bert")
    state = {name: value for name, value in broken.state_dict().items() if "layer.1.attention.self.query" not in name}
    broken.save_pretrained(tmp_path / "broken", state_dict=state)
    with pytest.raises(ModelError, match=r"lacks 2 of the weights of a bert model \(first: bert\.encoder\.layer\.1"):
        load_classifier(tmp_path / "broken", "fp32")


def test_its_memory_is_measured_and_its_positions_are_counted() -> None:
    roberta = Classifier(model("roberta"))
    assert roberta.max_tokens == 512 - PAD - 1
    batch = pack(rows())
    assert measure_activations(roberta).of(batch) > 0
    ids = [[5] * roberta.max_tokens]
    assert roberta(pack(ids)).scores.isfinite().all()
