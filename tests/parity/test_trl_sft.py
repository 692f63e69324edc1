"""Supervised fine-tuning against TRL's SFTTrainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from one_step import UNUSED, Step, assert_same, distance, model, our_step, settings, texts, their_step, tokenizer
from trl import SFTConfig, SFTTrainer

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_tokenizer
from tutelage.tuning.sft import Conversations

ROWS = [("a?", "one"), ("which number comes then?", "two"), ("c?", "three, and it is a longer one"), ("d?", "4"), ("e?", "five")]


@pytest.fixture
def rows(template: ChatTemplate) -> dict[str, Rendered]:
    return {prompt: template.render((Message.of("user", prompt), Message.of("assistant", response))) for prompt, response in ROWS}


def theirs(path: Path, rows: int, accumulate: int = 1, pad: int = UNUSED, **changes: Any) -> Step:
    data = Dataset.from_list(texts(ROWS, ("prompt", "completion")))
    config = SFTConfig(**settings(path, rows, accumulate, **{"loss_type": "nll", "max_length": None, **changes}))
    words = tokenizer() if pad == UNUSED else tiny_tokenizer()
    return their_step(SFTTrainer(model(pad=pad), config, train_dataset=data, processing_class=words))


def test_their_rows_are_our_rows(tmp_path: Path, rows: dict[str, Rendered]) -> None:
    """Same tokens, same labels: what follows compares losses, not renderings."""
    data = Dataset.from_list(texts(ROWS, ("prompt", "completion")))
    trainer = SFTTrainer(model(), SFTConfig(**settings(tmp_path, 5)), train_dataset=data, processing_class=tokenizer())
    for row, our in zip(trainer.train_dataset, rows.values(), strict=True):
        assert our.ids[:len(row["input_ids"])] == tuple(row["input_ids"])
        wanted = [token if trained else -100 for token, trained in zip(our.ids, our.response_mask, strict=True)]
        assert row["labels"] == wanted[:len(row["labels"])] and set(wanted[len(row["labels"]):]) <= {-100}


@pytest.mark.parametrize(("size", "accumulate"), [(5, 1), (2, 3), (1, 5)], ids=["whole", "ragged last micro-batch", "row by row"])
@pytest.mark.parametrize("micro_tokens", [10**6, 60])
def test_loss_and_gradients_are_theirs_however_either_step_is_cut(
        tmp_path: Path, rows: dict[str, Rendered], size: int, accumulate: int, micro_tokens: int) -> None:
    """Right-padded batches with `num_items_in_batch` there, packed rows with global counts here (transformers#34191, trl#2604,
    ms-swift#10084: the last window of an accumulation is a partial one)."""
    ours = our_step(Policy(model()), Conversations(rows, share=True), micro_tokens)
    assert_same(ours, theirs(tmp_path, size, accumulate))


def test_where_pad_is_the_end_of_turn_theirs_loses_its_gradient_as_an_input(tmp_path: Path, rows: dict[str, Rendered]) -> None:
    """The one difference, and it is in one row of the embedding: `nn.Embedding(padding_idx=…)` drops what the end-of-turn token
    contributes where it is read, in the middle of every prompt (trl#6357 and its kin; DESIGN D6). Ours keeps it.
    """
    end = tokenizer().convert_tokens_to_ids("<|im_end|>")
    ours = our_step(Policy(model(pad=end)), Conversations(rows, share=True))
    with_pad = theirs(tmp_path, 5, pad=end)
    name = "model.embed_tokens.weight"
    assert ours.loss == pytest.approx(with_pad.loss, rel=1e-6)
    assert distance(ours.gradients[name][end], with_pad.gradients[name][end]) > 0.1
    for step in (ours, with_pad):
        step.gradients[name][end] = ours.gradients[name][end]
    assert_same(ours, with_pad)
