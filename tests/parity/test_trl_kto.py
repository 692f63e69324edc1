"""Single responses against TRL's KTOTrainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from one_step import END, PROMPT, Step, assert_same, model, our_step, remember, settings, their_step, tokenizer
from trl import KTOConfig, KTOTrainer

from tutelage.data.chat import ChatTemplate
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.records import Thumb
from tutelage.tuning.config import Preferences
from tutelage.tuning.singles import Singles

ROWS = [("a?", "one", True), ("which number comes then?", "deux", False), ("c?", "a longer one", True), ("d?", "4", True),
        ("and the next, please?", "six", False)]
CONFIG = Preferences(loss="kto", beta=0.5, up_weight=1.5, down_weight=0.5)


def ours(template: ChatTemplate, policy: int, reference: int, micro_tokens: int = 10**6) -> Step:
    thumbs = [Thumb(id=prompt, prompt=(Message.of("user", prompt),), response=(Message.of("assistant", response),), up=up)
              for prompt, response, up in ROWS]
    task = Singles(thumbs, template, CONFIG)
    remember(task, Policy(model(reference)))
    return our_step(Policy(model(policy)), task, micro_tokens)


def theirs(path: Path, rows: Sequence[Any], policy: int, reference: int, size: int = 5, accumulate: int = 1) -> Step:
    """TRL gives each prompt the response of the row before it; ours that of the row after: so the rows go in backwards."""
    data = Dataset.from_list([{"prompt": PROMPT.format(prompt), "completion": response + END, "label": up}
                              for prompt, response, up in reversed(rows)])
    config = KTOConfig(**settings(path, size, accumulate, beta=0.5, desirable_weight=1.5, undesirable_weight=0.5,
                                  max_length=None))
    return their_step(KTOTrainer(model(policy), model(reference), config, train_dataset=data, processing_class=tokenizer()))


@pytest.mark.parametrize("micro_tokens", [10**6, 60], ids=["whole", "cut"])
@pytest.mark.parametrize(("policy", "reference"), [(0, 1), (1, 0)], ids=["baseline at 0", "baseline above 0"])
def test_loss_and_gradients_are_theirs_of_one_batch(tmp_path: Path, template: ChatTemplate, policy: int, reference: int,
                                                    micro_tokens: int) -> None:
    assert_same(ours(template, policy, reference, micro_tokens), theirs(tmp_path, ROWS, policy, reference))


def test_their_baseline_depends_on_the_cut_and_ours_does_not(tmp_path: Path, template: ChatTemplate) -> None:
    """The paper's z0 is one estimate over the batch (Ethayarajh et al. 2024, section 4.1); under accumulation TRL makes one of
    each micro-batch, rotating the responses within it, and clamps each at 0.
    """
    whole, cut = theirs(tmp_path / "whole", ROWS, 1, 0), theirs(tmp_path / "cut", ROWS, 1, 0, 3, 2)
    for micro_tokens in (10**6, 60):
        assert_same(ours(template, 1, 0, micro_tokens), whole)
    assert abs(cut.loss - whole.loss) > 1e-3 * whole.loss
