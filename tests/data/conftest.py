"""Tokenizers the data tests are done with: made in milliseconds, none fetched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tutelage.messages import Message, Messages
from tutelage.models.tiny import tiny_tokenizer

TEXT = ["The quick brown fox jumps over the lazy dog, and the dog sleeps on.", "system user assistant hello hi there",
        "问：天空为什么是蓝色的？答：因为空气散射蓝光。", "One, two, three.\n\nFour five six\nseven.",
        "It is what it is! a < b | c_d > e"] * 4

# As SmolLM2's: a system message of its own where the conversation has none.
CHATML = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
          "{{ '<|im_start|>system\nYou are a fox.<|im_end|>\n' }}{% endif %}"
          "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
          "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


@pytest.fixture
def tiny() -> PreTrainedTokenizerFast:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def merging() -> PreTrainedTokenizerFast:
    """A byte-level BPE that merges, whose own encoding adds a BOS; pad == eos == the end of turn."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|bos|>", "<|im_start|>", "<|im_end|>"]
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=special,
        show_progress=False))
    tokenizer.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|bos|>", eos_token="<|im_end|>",
                                   pad_token="<|im_end|>", clean_up_tokenization_spaces=False)
    fast.chat_template = CHATML
    return fast


@pytest.fixture(scope="session")
def spaced() -> PreTrainedTokenizerFast:
    """Like SentencePiece: a blank before a text's beginning, none in its middle; the end of turn is not special."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>"],
                                                            show_progress=False))
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in ("<|im_start|>", "<|im_end|>", "<think>")])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>",
                                   unk_token="<unk>", clean_up_tokenization_spaces=False)
    fast.chat_template = CHATML
    return fast


@pytest.fixture
def talk() -> Callable[..., Messages]:
    """A conversation of texts: the user's, the assistant's, in turn; `system` before them."""
    def make(*texts: str, system: str = "") -> Messages:
        spoken = tuple(Message.of("user" if at % 2 == 0 else "assistant", text) for at, text in enumerate(texts))
        return (Message.of("system", system), *spoken) if system else spoken
    return make


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A file of rows: objects as JSON lines, or as one array, or raw text or bytes."""
    def make(rows: Iterable[Any] | str | bytes, name: str = "rows.jsonl", array: bool = False) -> Path:
        path = tmp_path / name
        if isinstance(rows, bytes):
            path.write_bytes(rows)
        elif isinstance(rows, str):
            path.write_bytes(rows.encode())
        elif array:
            path.write_text(json.dumps(list(rows), ensure_ascii=False), encoding="utf-8")
        else:
            path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        return path
    return make
