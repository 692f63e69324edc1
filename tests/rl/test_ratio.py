"""The ratio to the sampling policy is told as percentiles: a mean near 1 hides a tail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer


def test_percentiles_are_those_of_every_token_of_an_update(trainer: Any, draw: Any, scores: Any) -> None:
    """trl#6789: 7.5 % of the ratios were outside [0.9, 1.1] where the mean said nothing."""
    fast: PolicyTrainer = trainer(replace(PRESETS["ppo"], epochs=2), micro_tokens=80)
    samples = draw(fast.policy)
    packs = fast._pack(samples)
    assert len(packs) > 1
    old = fast._rollout(samples, scores(samples), packs).old_logprobs
    once = trainer(PRESETS["ppo"], micro_tokens=80)      # the same weights after the first of the two updates
    first = once.step(samples, scores(samples))
    assert (first["train/ratio_p01"], first["train/ratio_p99"]) == (1.0, 1.0)
    rollout = once._rollout(samples, scores(samples), packs)
    ratios = (rollout.old_logprobs - old)[rollout.response_mask].exp().numpy()
    low, high = np.percentile(ratios, [1, 99])
    both = fast.step(samples, scores(samples))           # means over two updates, the first of which is 1
    assert both["train/ratio_p01"] == pytest.approx((1 + low) / 2, abs=1e-5) and low < 0.999
    assert both["train/ratio_p99"] == pytest.approx((1 + high) / 2, abs=1e-5) and high > 1.001


def test_a_loss_without_a_ratio_has_no_percentiles(trainer: Any, draw: Any, scores: Any) -> None:
    fast = trainer(PRESETS["rloo"])
    samples = draw(fast.policy)
    assert not any("ratio" in name for name in fast.step(samples, scores(samples)))
