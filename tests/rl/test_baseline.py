"""What the policy scored as it started: the scale of rewards, and best-of-n."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tutelage.data.chat import ChatTemplate
from tutelage.errors import RewardError
from tutelage.generation.engine import Engine
from tutelage.models.policy import Policy
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rewards.callables import CallableReward
from tutelage.rl.baseline import Baseline, best_of_n


def test_scores_are_in_standard_deviations_of_the_reference_samples() -> None:
    """InstructGPT's bias and the N+ details: mean 0, deviation 1 on what the SFT policy says."""
    scores = [3.0, 5.0, 5.0, 7.0, 4.0, 6.0, 5.0, 5.0]
    baseline = Baseline(standardise=True)
    assert not baseline.measured
    baseline.measure(scores, 4)
    scaled = [baseline.scaled(score) for score in scores]
    assert statistics.fmean(scaled) == pytest.approx(0.0) and statistics.stdev(scaled) == pytest.approx(1.0)
    plain = Baseline(standardise=False)
    plain.measure(scores, 4)
    assert [plain.scaled(score) for score in scores] == scores


def test_best_of_n_is_told_with_its_distance() -> None:
    baseline = Baseline(standardise=False)
    baseline.measure([0.0, 1.0, 2.0, 3.0, 4.0, 4.0, 4.0, 4.0], 4)
    told = baseline.facts()["start_best_of"]
    assert {n: each["score"] for n, each in told.items()} == pytest.approx({"1": 2.75, "2": (14 / 6 + 4) / 2, "4": 3.5})
    assert told["4"]["kl"] == pytest.approx(math.log(4) - 0.75) and told["1"]["kl"] == 0.0


def test_its_state_goes_with_the_run() -> None:
    one, other = Baseline(True), Baseline(True)
    one.measure([1.0, 2.0, 4.0, 9.0], 2)
    other.load_state(one.state())
    assert other.measured and other.scaled(3.3) == one.scaled(3.3) and other.facts() == one.facts()


def test_scores_that_do_not_differ_are_no_scale() -> None:
    with pytest.raises(RewardError, match="no scale to standardise by"):
        Baseline(True).measure([2.0] * 8, 4)
    Baseline(False).measure([2.0] * 8, 4)


def test_the_best_of_n_samples_of_each_prompt(policy: Callable[..., Policy], template: ChatTemplate,
                                              prompts: list[Prompt]) -> None:
    def ids(samples: Sequence[Sample]) -> list[float]:
        return [float(sum(sample.response_ids)) for sample in samples]

    engine: Any = Engine(policy(value_head=False), template)
    sampling = Sampling(max_new_tokens=4, seed=3)
    best = best_of_n(engine, CallableReward(ids), prompts, sampling, 5)
    drawn = engine.generate(prompts, sampling, 5)
    assert [sample.prompt.id for sample in best] == [prompt.id for prompt in prompts]
    assert ids(best) == [max(ids(drawn[start:start + 5])) for start in range(0, 20, 5)]
