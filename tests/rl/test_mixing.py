"""Text mixed into RL's updates (PPO-ptx)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_formulas import Plain, assert_same

from tutelage.data.chat import ChatTemplate
from tutelage.data.datasets import Dataset
from tutelage.errors import DataError
from tutelage.messages import Message
from tutelage.records import Document, Instruction
from tutelage.rl.mixing import Mixture, rendered
from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.loop import MicroBatch

Build = Callable[..., PolicyTrainer]


def data(kind: str, records: list[Any]) -> Dataset:
    return Dataset(records=records, kind=kind, split="train", artifact=None, sources={})


def instruction(prompt: str, response: str) -> Instruction:
    return Instruction(id=prompt, messages=(Message.of("user", prompt), Message.of("assistant", response)))


@pytest.fixture
def text() -> Dataset:
    return data("instruction", [instruction("ask", "answer"), instruction("b", "cc" * 9), instruction("c", "a longer answer")])


def mixture(rows: Any, tokens: int = 1000, micro_tokens: int = 1000) -> Mixture:
    return Mixture(rows, tokens, micro_tokens, lanes=1, share=True, seed=3)


@pytest.mark.parametrize("micro_tokens", [30, 1000])
def test_an_update_has_the_gradient_of_both_losses(trainer: Build, draw: Any, scores: Any, gradient: Any, template: ChatTemplate,
                                                   text: Dataset, micro_tokens: int) -> None:
    """InstructGPT's objective: that of RL, plus ptx_coef times the mean log-likelihood of the text's labels."""
    rows, _ = rendered(text, template, 100)
    a = replace(PRESETS["ppo"], ptx_coef=0.7)
    both, alone = trainer(a, mixture=mixture(rows, micro_tokens=micro_tokens)), trainer(replace(a, ptx_coef=0.0))
    samples = draw(both.policy)
    model = Plain(both.policy)
    losses = []
    for row in rows.values():
        logprobs = model.model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
        losses += [-logprobs[at - 1, row.ids[at]] for at in range(len(row.ids)) if row.response_mask[at]]
    (0.7 * torch.stack(losses).mean()).backward()
    told = both.step(samples, scores(samples))
    alone.step(samples, scores(samples))
    one, other = gradient(both), gradient(alone)
    assert_same({name: one[name] - other[name] for name in one if "value_head" not in name}, model.gradients())
    assert told["train/ptx_loss"] == pytest.approx(float(torch.stack(losses).detach().mean()), rel=1e-4)


def test_where_no_scores_differ_the_text_is_learned(trainer: Build, draw: Any, template: ChatTemplate, text: Dataset) -> None:
    fast = trainer(replace(PRESETS["rloo"], kl_coef=0.0, ptx_coef=0.5), mixture=mixture(rendered(text, template, 100)[0]))
    samples = draw(fast.policy)
    told = [fast.step(samples, [0.0] * len(samples))["train/ptx_loss"] for _ in range(6)]
    assert fast.masters.steps_done == 6 and told[-1] < told[0]


class Asked(Mixture):
    """Remembers which updates' text was asked for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.updates: list[int] = []

    def batches(self, update: int) -> list[MicroBatch]:
        self.updates.append(update)
        return super().batches(update)


def test_each_update_has_the_text_of_its_number(trainer: Build, draw: Any, scores: Any, template: ChatTemplate,
                                                text: Dataset) -> None:
    asked = Asked(rendered(text, template, 100)[0], 60, 1000, lanes=1, share=True, seed=3)
    fast = trainer(replace(PRESETS["ppo"], ptx_coef=0.7, epochs=2), mixture=asked)
    for _ in range(2):
        samples = draw(fast.policy)
        fast.step(samples, scores(samples))
    assert asked.updates == list(range(fast.masters.steps_done)) and fast.masters.steps_done >= 4


def test_the_text_of_an_update_is_a_pure_function_of_its_number(template: ChatTemplate, text: Dataset) -> None:
    rows, _ = rendered(text, template, 100)
    one, other = mixture(rows, tokens=60), mixture(rows, tokens=60)
    names = [[name for batch in one.batches(update) for name in batch.rows] for update in range(12)]
    assert [[name for batch in other.batches(update) for name in batch.rows] for update in (7, 0, 11)] == [
        names[7], names[0], names[11]]
    passes = [name for update in names for name in update]
    for start in (0, 3, 6):
        assert sorted(passes[start:start + 3]) == sorted(rows)      # each row once a pass
    assert len({tuple(passes[start:start + 3]) for start in (0, 3, 6, 9)}) > 1
    assert one.largest().tokens.num_tokens == max(batch.tokens.num_tokens for update in range(3) for batch in one.batches(update))


def test_documents_are_mixed_in_as_pretraining_reads_them(template: ChatTemplate) -> None:
    rows, _ = rendered(data("document", [Document(id="d", text="abcdefgh" * 4)]), template, 12)
    assert len(rows) == 3 and all(row.response_mask == (False, *[True] * (len(row.ids) - 1)) for row in rows.values())


def test_a_row_that_is_too_long_is_left_out_and_counted(template: ChatTemplate, text: Dataset) -> None:
    longest = max(len(row.ids) for row in rendered(text, template, 100)[0].values())
    rows, truncation = rendered(text, template, longest - 1)
    assert truncation.dropped == len(text.records) - len(rows) == 1
    with pytest.raises(DataError, match="no row of at most 5 tokens"):
        rendered(text, template, 5)
    with pytest.raises(DataError, match="instructions or documents"):
        rendered(data("prompt", []), template, 50)


def test_names_are_of_rows_not_of_paths(template: ChatTemplate, text: Dataset, tmp_path: Path) -> None:
    assert set(rendered(text, template, 100)[0]) == {"ask#0", "b#1", "c#2"}
