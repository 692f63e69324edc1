"""Compositions that learn from some of a prompt's samples: online DPO and expert iteration are their papers' formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from rl_formulas import Plain, assert_same
from torch import Tensor

from tutelage.errors import ConfigError
from tutelage.records import Sample
from tutelage.rl.presets import PRESETS, algorithm
from tutelage.rl.trainer import PolicyTrainer

Build = Callable[..., PolicyTrainer]


def by_prompt(samples: Sequence[Sample]) -> list[list[int]]:
    ids = list(dict.fromkeys(sample.prompt.id for sample in samples))
    return [[row for row, sample in enumerate(samples) if sample.prompt.id == each] for each in ids]


def nll_of_the_best(model: Plain, samples: Sequence[Sample], scores: Sequence[float]) -> Tensor:
    """Dong et al. 2023 (arXiv:2304.06767, algorithm 1, step 3): the SFT loss over each prompt's best sample."""
    terms = [-model.read(samples[max(rows, key=lambda row: scores[row])])[0] for rows in by_prompt(samples)
             if len({scores[row] for row in rows}) > 1]
    return torch.cat(terms).mean()


def dpo_of_best_and_worst(model: Plain, reference: Plain, samples: Sequence[Sample], scores: Sequence[float],
                          beta: float) -> Tensor:
    """Rafailov et al. 2023 (arXiv:2305.18290, eq. 7) on the pairs of Guo et al. 2024 (arXiv:2402.04792), mean over pairs."""
    losses = []
    for rows in by_prompt(samples):
        best, worst = max(rows, key=lambda row: scores[row]), min(rows, key=lambda row: scores[row])
        if scores[best] > scores[worst]:
            away = [(model.read(samples[row])[0] - reference.read(samples[row])[0].detach()).sum() for row in (best, worst)]
            losses.append(-torch.nn.functional.logsigmoid(beta * (away[0] - away[1])))
    return torch.stack(losses).mean()


def distinct(samples: Sequence[Sample]) -> list[float]:
    """Different scores, but for the first prompt, whose samples all score the same."""
    first = samples[0].prompt.id
    return [0.5 if sample.prompt.id == first else (row * 7 % 11) / 3 for row, sample in enumerate(samples)]


@pytest.mark.parametrize("micro_tokens", [30, 2048])
def test_expert_iteration_is_fine_tuning_on_the_best(trainer: Build, draw: Any, gradient: Any, micro_tokens: int) -> None:
    fast = trainer(PRESETS["expert_iteration"], micro_tokens=micro_tokens)
    samples = draw(fast.policy)
    scores = distinct(samples)
    model = Plain(fast.policy)
    model.value_head.requires_grad_(False)
    nll_of_the_best(model, samples, scores).backward()
    fast.step(samples, scores)
    assert_same(gradient(fast), model.gradients())


@pytest.mark.parametrize("micro_tokens", [30, 2048])
def test_online_dpo_is_dpos_loss_on_the_best_and_the_worst(trainer: Build, draw: Any, gradient: Any, micro_tokens: int) -> None:
    """Half of it: it is divided by responses, of which a pair has two. The packs of 30 tokens hold no pair."""
    a = replace(PRESETS["online_dpo"], kl_coef=0.3)
    fast = trainer(a, micro_tokens=micro_tokens)
    samples = draw(fast.policy)
    scores = distinct(samples)
    model = Plain(fast.policy)
    model.value_head.requires_grad_(False)
    (dpo_of_best_and_worst(model, Plain(fast.reference), samples, scores, 0.3) / 2).backward()
    fast.step(samples, scores)
    assert_same(gradient(fast), model.gradients())


@pytest.mark.parametrize("name", ["expert_iteration", "online_dpo"])
def test_where_no_scores_differ_nothing_is_learned(trainer: Build, draw: Any, name: str) -> None:
    fast = trainer(PRESETS[name])
    samples = draw(fast.policy)
    fast.step(samples, [1.0] * len(samples))
    assert fast.masters.steps_done == 0


@pytest.mark.parametrize("changes", [{"kl_coef": 0.0}, {"kl_in": "loss", "kl_estimator": "k3"}, {"clip_range": 0.2},
                                     {"epochs": 2}, {"whiten": True}], ids=str)
def test_what_would_not_be_dpo_any_more_is_refused(changes: dict[str, Any]) -> None:
    """After the first update the weights of a pair are those of a gap that is no longer there."""
    with pytest.raises(ConfigError):
        algorithm("online_dpo", changes)
