"""What is steered towards a target, and what older samples count."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.algorithms import next_ent_coef, truncated_weights
from tutelage.errors import ShapeError


def test_the_entropy_bonus_rises_where_entropy_is_below_its_target() -> None:
    assert next_ent_coef(0.01, 1.5, 2.0, 0.1) == pytest.approx(0.01 * math.exp(0.05))
    assert next_ent_coef(0.01, 2.5, 2.0, 0.1) == pytest.approx(0.01 * math.exp(-0.05))
    assert next_ent_coef(0.01, 2.0, 2.0, 0.1) == 0.01
    assert next_ent_coef(0.01, 90.0, 2.0, 0.1) == pytest.approx(0.01 * math.exp(-0.1))      # at most a nat is answered to
    for bad in ((0.0, 0.1), (0.1, 0.0)):
        with pytest.raises(ValueError, match="above 0"):
            next_ent_coef(bad[0], 1.0, 1.0, bad[1])


def test_truncated_weights_by_hand() -> None:
    """pi / mu = e^0.5, e^-1, e^3 cut at 2; nothing outside the mask."""
    now, then = torch.tensor([[0.5, -1.0, 3.0, 9.0]]), torch.zeros(1, 4)
    mask = torch.tensor([[True, True, True, False]])
    weights = truncated_weights(now, then, mask, 2.0)
    assert weights[0].tolist() == pytest.approx([math.exp(0.5), math.exp(-1.0), 2.0, 0.0])
    assert truncated_weights(now, now, mask, 2.0)[0].tolist() == [1.0, 1.0, 1.0, 0.0]
    padding = torch.tensor([[0.5, -1.0, 3.0, float("nan")]])
    assert bool(truncated_weights(padding, then, mask, 2.0).isfinite().all())


def test_without_truncation_weights_make_another_policys_samples_unbiased() -> None:
    """E_mu[w f] = E_pi[f], exactly, over four tokens; with a limit the estimate is below it where f is positive."""
    pi, mu, value = torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([0.4, 0.3, 0.2, 0.1]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    mask = torch.ones(1, 4, dtype=torch.bool)

    def estimate(limit: float) -> float:
        return float((mu * truncated_weights(pi.log()[None], mu.log()[None], mask, limit)[0] * value).sum())

    assert estimate(100.0) == pytest.approx(float((pi * value).sum()), abs=1e-6)
    assert estimate(2.0) == pytest.approx(0.1 + 0.4 + 0.9 + 0.1 * 2 * 4, abs=1e-6)


def test_a_limit_below_zero_and_other_shapes_are_refused() -> None:
    mask = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ValueError, match="limit is 0"):
        truncated_weights(torch.zeros(1, 2), torch.zeros(1, 2), mask, 0.0)
    with pytest.raises(ShapeError):
        truncated_weights(torch.zeros(1, 2), torch.zeros(1, 3), mask, 1.0)
