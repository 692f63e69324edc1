"""The loss of a per-token reward, by hand, at its limits and however it is cut."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.algorithms import marked_token_loss, token_rewards_of
from tutelage.errors import ShapeError


def test_marked_tokens_by_hand() -> None:
    """z = ln 3 is a probability of 3/4: good costs ln(4/3), bad ln 4, nobody's word half of each."""
    z = torch.tensor([math.log(3)] * 3, dtype=torch.float64)
    found = marked_token_loss(z, torch.tensor([1.0, 0.0, 0.5]).double(), torch.tensor([1.0, 2.0, 0.5]).double())
    wanted = math.log(4 / 3) + 2 * math.log(4) + 0.5 * (math.log(4 / 3) + math.log(4)) / 2
    assert float(found.sum) == pytest.approx(wanted, abs=1e-12) and float(found.count) == 3.5
    assert {name: float(value) for name, value in found.stats.items()} == {"marked": 3.0, "marked_right": 1.0}


def test_a_token_that_nobody_marked_is_drawn_to_nothing_and_a_marked_one_away_from_it() -> None:
    z = torch.tensor([2.0, -2.0, 0.0, 0.0, 0.0], requires_grad=True)
    marked_token_loss(z, torch.tensor([0.5, 0.5, 0.5, 1.0, 0.0]), torch.ones(5)).sum.backward()
    assert z.grad is not None
    # the derivative is sigma(z) - y
    assert z.grad.tolist() == pytest.approx([0.380797, -0.380797, 0.0, -0.5, 0.5], abs=1e-6)


def test_zero_is_half_right_and_costs_log_two() -> None:
    found = marked_token_loss(torch.zeros(2), torch.tensor([1.0, 0.0]), torch.ones(2))
    assert float(found.sum) == pytest.approx(2 * math.log(2)) and float(found.stats["marked_right"]) == 1.0


def test_a_batch_is_the_sum_of_its_parts() -> None:
    generator = torch.Generator().manual_seed(0)
    z, weight = torch.randn(7, generator=generator), torch.rand(7, generator=generator)
    label = torch.tensor([1.0, 0.0, 0.5, 1.0, 0.5, 0.0, 1.0])
    whole = marked_token_loss(z, label, weight)
    parts = marked_token_loss(z[:3], label[:3], weight[:3]) + marked_token_loss(z[3:], label[3:], weight[3:])
    for one, other in ((whole.sum, parts.sum), (whole.count, parts.count),
                       *((whole.stats[name], parts.stats[name]) for name in whole.stats)):
        assert float(one) == pytest.approx(float(other), rel=1e-6)
    with pytest.raises(ShapeError):
        marked_token_loss(z, label[:3], weight)


def test_what_a_token_earns_is_bounded_and_nothing_where_nothing_is_known() -> None:
    """P(good) - P(bad): at z = ln 3 it is 3/4 - 1/4."""
    earned = token_rewards_of(torch.tensor([0.0, math.log(3), -math.log(3), 100.0]), 0.2)
    assert earned.tolist() == pytest.approx([0.0, 0.1, -0.1, 0.2], abs=1e-6)
