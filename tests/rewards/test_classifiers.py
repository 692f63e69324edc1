"""Sequence classifiers as rewards: transformers' own numbers, from text, by their own tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerFast

from tutelage.errors import ConfigError, ModelError, RewardError
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Sample
from tutelage.rewards.classifiers import load_classifier_reward
from tutelage.rewards.words import Called

Say = Callable[..., Sample]
NAMES = {0: "bad", 1: "fine", 2: "good"}


def encoder_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte between a first and a last special token, as BERT's has it."""
    tokenizer = tiny_tokenizer()
    first, last = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A <|im_end|>", pair="<|im_start|> $A <|im_end|> $B:1 <|im_end|>:1",
        special_tokens=[("<|im_start|>", first), ("<|im_end|>", last)])
    return tokenizer


def tiny(kind: str) -> Any:
    if kind == "bert":
        return tiny_model("bert", noise=0.2, classes=3, num_key_value_heads=None)
    if kind == "llama":
        return tiny_model("llama", noise=0.2, classes=3)
    sizes = {"vocab_size": 300, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
             "max_position_embeddings": 128, "num_labels": 3, "initializer_range": 0.3}
    special = {"embedding_size": 16} if kind == "albert" else {"ffn_dim": 64, "word_embed_proj_dim": 32}
    torch.manual_seed(0)
    return AutoModelForSequenceClassification.from_config(AutoConfig.for_model(kind, **sizes, **special, pad_token_id=257))


@pytest.fixture(scope="module", params=["bert", "llama", "albert", "opt"])
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As people publish them: two of the ragged path, an encoder and a decoder that are read by transformers' own forward."""
    directory = tmp_path_factory.mktemp("classifiers") / request.param
    model = tiny(request.param)
    model.config.id2label, model.config.label2id = NAMES, {name: i for i, name in NAMES.items()}
    model.config.pad_token_id = model.config.pad_token_id or 0
    model.save_pretrained(directory)
    tokenizer = encoder_tokenizer() if request.param in ("bert", "albert") else tiny_tokenizer()
    tokenizer.save_pretrained(directory)
    return directory


def theirs(directory: Path, text: str, pair: str | None = None) -> torch.Tensor:
    """transformers' logits (K,) of one text, alone, its last token read for what it is."""
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    if hasattr(model, "score"):
        model.config.pad_token_id = None
    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoded = tokenizer(text, pair, return_tensors="pt", return_token_type_ids=model.config.model_type in ("bert", "albert"))
    with torch.no_grad():
        return model(**encoded).logits[0].float()


def test_scores_are_transformers_own_whatever_else_is_in_the_batch(published: Path, sample: Say) -> None:
    """RLHFlow#16 and others: a score must be read where the text ends, and not at padding."""
    texts = ["I like it", "no", "it is a long story, and it has an end<|im_end|>", "好"]
    samples = [sample("What?", text, f"s{i}") for i, text in enumerate(texts)]
    logits = torch.stack([theirs(published, text) for text in texts])
    for label, index in (("good", 2), ("0", 0)):
        got = load_classifier_reward(published, Called("c", label)).score(samples).total
        assert got == pytest.approx(logits[:, index].tolist(), abs=2e-5)
    assert len({round(value, 3) for value in got}) > 2
    shares = load_classifier_reward(published, Called("c", "good", named={"as": "probability"})).score(samples).total
    assert shares == pytest.approx(logits.softmax(1)[:, 2].tolist(), abs=2e-5)


def test_it_reads_what_it_is_asked_to(published: Path, sample: Say) -> None:
    said = [sample("What is it?", "a cat")]

    def score(reads: str) -> float:
        return load_classifier_reward(published, Called("c", "good", named={"reads": reads})).score(said).total[0]
    assert score("dialogue") == pytest.approx(float(theirs(published, "What is it?\na cat")[2]), abs=2e-5)
    assert score("pair") == pytest.approx(float(theirs(published, "What is it?", "a cat")[2]), abs=2e-5)
    if published.name != "bert":
        return
    template = AutoTokenizer.from_pretrained(published)
    turns = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "a cat"}]
    model = AutoModelForSequenceClassification.from_pretrained(published).eval()
    with torch.no_grad():
        wanted = model(**template.apply_chat_template(turns, tokenize=True, return_dict=True, return_tensors="pt")).logits[0, 2]
    assert score("chat") == pytest.approx(float(wanted), abs=2e-5)


@pytest.mark.parametrize("published", ["bert"], indirect=True)
def test_a_text_that_is_too_long_is_told_and_never_cut(published: Path, sample: Say) -> None:
    limit = load_classifier_reward(published, Called("c", "good")).longest
    assert limit
    samples = [sample("p", "x", "short"), sample("p", "x" * (limit + 1), "long")]
    with pytest.raises(RewardError, match=rf"got a text of \d+ tokens and reads 1 to {limit} for 1 of 2 samples \(first: long\)"):
        load_classifier_reward(published, Called("c", "good")).score(samples)
    scores = load_classifier_reward(published, Called("c", "good"), "skip").score(samples)
    assert set(scores.skipped) == {1} and scores.total[0] == scores.total[0]


@pytest.mark.parametrize("published", ["bert"], indirect=True)
def test_what_it_cannot_do_is_refused_with_what_it_can(published: Path, tiny_directory: Path) -> None:
    for called, said in ((Called("c"), r"tells apart bad, fine, good; got no label. Say which: c\[good\]"),
                         (Called("c", "great"), "got great"), (Called("c", "3"), "got 3"),
                         (Called("c", "good", named={"as": "odds"}), "wanted one of logit, probability"),
                         (Called("c", "good", named={"prompt": "yes"}), "does not take prompt=")):
        with pytest.raises(ConfigError, match=said):
            load_classifier_reward(published, called)
    with pytest.raises(ModelError, match="is no sequence classifier but a llama model"):
        load_classifier_reward(tiny_directory, Called("c", "good"))
