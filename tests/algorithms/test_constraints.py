"""Scores under a constraint, and its multiplier."""

from __future__ import annotations

import math

import pytest
import torch

from tutelage.algorithms import lagrangian_scores, leave_one_out, next_log_multiplier
from tutelage.errors import ShapeError


def test_scores_pay_for_costs_by_hand() -> None:
    scores, costs = torch.tensor([1.0, 2.0]), torch.tensor([[0.0, 1.0], [3.0, -1.0]])
    # (1 - 0.5 * 0 - 2 * 1) / 3.5, (2 - 0.5 * 3 + 2 * 1) / 3.5
    got = lagrangian_scores(scores, costs, torch.tensor([0.5, 2.0]))
    assert got.tolist() == pytest.approx([-1.0 / 3.5, 2.5 / 3.5])
    assert torch.equal(lagrangian_scores(scores, costs, torch.zeros(2)), scores)


def test_credit_of_combined_scores_is_the_combination_of_two_credits() -> None:
    """Safe-RLHF (arXiv:2310.12773) combines advantages: (A_R - lambda A_C) / (1 + lambda)."""
    generator = torch.Generator().manual_seed(0)
    scores, costs = torch.randn(12, generator=generator), torch.randn(12, generator=generator)
    multiplier = 1.7
    got = leave_one_out(lagrangian_scores(scores, costs[:, None], torch.tensor([multiplier])), 4)
    wanted = (leave_one_out(scores, 4) - multiplier * leave_one_out(costs, 4)) / (1 + multiplier)
    assert torch.allclose(got, wanted, atol=1e-6)


def test_the_multiplier_climbs_while_the_cost_is_over_its_limit_and_falls_below_it() -> None:
    start = math.log(2.0)
    assert next_log_multiplier(start, 0.5, 0.3, 0.1, 100.0) == pytest.approx(start + 0.1 * 2.0 * 0.2)
    assert next_log_multiplier(start, 0.1, 0.3, 0.1, 100.0) == pytest.approx(start - 0.1 * 2.0 * 0.2)
    assert next_log_multiplier(start, 0.3, 0.3, 0.1, 100.0) == start


def test_the_multiplier_keeps_within_bounds_from_which_it_comes_back() -> None:
    assert next_log_multiplier(math.log(90.0), 1e9, 0.0, 1.0, 100.0) == math.log(100.0)
    assert next_log_multiplier(math.log(1e-4), -1e9, 0.0, 1.0, 100.0) == math.log(1e-4)
    assert next_log_multiplier(0.0, 1e9, 0.0, 1.0, 100.0) == 1.0      # one step is not a jump


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError):
        lagrangian_scores(torch.zeros(3), torch.zeros(2, 1), torch.zeros(1))
    with pytest.raises(ShapeError):
        lagrangian_scores(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2))
