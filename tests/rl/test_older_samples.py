"""Samples of the weights before the last update, and what is measured of who sampled and who trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from rl_formulas import assert_same

from tutelage.errors import PreflightError
from tutelage.generation.engine import Engine
from tutelage.records import Sample, Sampling
from tutelage.rl import trainer as module
from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer

Build = Callable[..., PolicyTrainer]


def moved(fast: PolicyTrainer, draw: Any, scores: Any) -> list[Sample]:
    """Samples of the policy before its first update, which is made on others."""
    older = draw(fast.policy, seed=9)
    fast.step(samples := draw(fast.policy, seed=1), scores(samples))
    return older


def test_each_token_counts_by_how_likely_it_has_become_up_to_a_limit(trainer: Build, draw: Any, scores: Any,
                                                                     gradient: Any) -> None:
    """With a linear loss the gradient is that of advantages times min(pi / mu, C), mu as the engine said it."""
    a = replace(PRESETS["rloo"], kl_coef=0.0)
    weighed, by_hand = trainer(replace(a, importance_limit=1.1), lr=1e-2), trainer(a, lr=1e-2)
    older = moved(weighed, draw, scores)
    by_hand.load_state(weighed.state())
    with torch.no_grad():
        rollout = by_hand._rollout(older, scores(older), by_hand._pack(older))
    ratio = (rollout.old_logprobs - rollout.extras["engine_logprobs"]).exp()
    weights = ratio.clamp(max=1.1)
    assert 0.05 < float((ratio > 1.1)[rollout.response_mask].float().mean()) < 0.95
    credit = by_hand.credit
    by_hand.credit = lambda *given: (weights * credit(*given)[0], credit(*given)[1])
    by_hand.credit.kept = credit.kept
    told = weighed.step(older, scores(older))
    by_hand.step(older, scores(older))
    assert_same(gradient(weighed), gradient(by_hand))
    assert told["rollout/importance_truncated_fraction"] == pytest.approx(
        float((ratio > 1.1)[rollout.response_mask].float().mean()), abs=1e-6)


def test_ratios_at_first_use_are_one_to_the_bit_also_for_older_samples(trainer: Build, draw: Any, scores: Any,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The ratio is to the trainer's own forward before the update; that of older weights is in the importance weights."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    fast = trainer(replace(PRESETS["ppo"], importance_limit=2.0), lr=1e-2, micro_tokens=80)
    older = moved(fast, draw, scores)
    real = module.Surrogate
    monkeypatch.setattr(module, "Surrogate", lambda a, temperature, check_ratio, kept: real(a, temperature, check_ratio=True))
    monkeypatch.setattr(module.preflight, "first_ratio", lambda new, old: seen.append((new, old)))
    told = fast.step(older, scores(older))
    assert seen and all(torch.equal(new, old) for new, old in seen)
    assert told["train/ratio_p01"] == told["train/ratio_p99"] == 1.0
    assert told["rollout/engine_mismatch_p50"] > 1e-3      # and it is measured


def test_fresh_samples_count_one_and_their_mismatch_is_told_by_percentiles(trainer: Build, draw: Any, scores: Any) -> None:
    fast = trainer(replace(PRESETS["ppo"], importance_limit=2.0))
    told = fast.step(samples := draw(fast.policy), scores(samples))
    assert told["rollout/importance_mean"] == pytest.approx(1.0, abs=1e-4)
    percentiles = [told[f"rollout/engine_mismatch_{name}"] for name in ("p50", "p90", "p99", "max")]
    assert percentiles == sorted(percentiles) and 0.0 < percentiles[-1] < 1e-4


def test_ratios_of_later_passes_are_told_by_percentiles(trainer: Build, draw: Any, scores: Any) -> None:
    fast = trainer(replace(PRESETS["ppo"], epochs=3), lr=1e-2)
    told = fast.step(samples := draw(fast.policy), scores(samples))
    assert told["train/ratio_p01"] < 0.98 and told["train/ratio_p99"] > 1.02


@pytest.mark.parametrize("changes", [{"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.9}], ids=str)
def test_samples_of_another_distribution_than_the_loss_knows_are_refused(trainer: Build, template: Any, prompts: Any, scores: Any,
                                                                         changes: dict[str, Any]) -> None:
    """trl#4159, prime-rl#2601, NeMo-RL#2053: temperature, top-k and top-p that the trainer does not replay."""
    fast = trainer(PRESETS["ppo"])
    samples = Engine(fast.policy, template).generate(prompts, Sampling(max_new_tokens=6, **changes), 3)
    with pytest.raises(PreflightError, match="replay"):
        fast.step(samples, scores(samples))
    assert fast.masters.steps_done == 0
