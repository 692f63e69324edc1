"""The best of a prompt's samples, pairs of them, and what best-of-n would score."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from tutelage.algorithms import best_in_group, best_of_kl, expected_best, pair_weights
from tutelage.algorithms.preference_loss import pair_loss


def test_the_best_of_each_prompt_is_one_the_first_of_equals() -> None:
    scores = torch.tensor([1.0, 3.0, 3.0, -2.0, -1.0, -5.0, 4.0])
    groups = torch.tensor([7, 7, 7, 2, 2, 2, 9])
    assert best_in_group(scores, groups).tolist() == [False, True, False, False, True, False, True]
    assert best_in_group(scores[:6], 3).tolist() == [False, True, False, False, True, False]
    shuffled = torch.randperm(7, generator=torch.Generator().manual_seed(0))
    distinct = scores + torch.arange(7) / 100
    assert best_in_group(distinct[shuffled], groups[shuffled]).tolist() == best_in_group(distinct, groups)[shuffled].tolist()


def test_pair_weights_by_hand() -> None:
    """beta 0.5, best is 1 nat towards, worst 1 nat away: gap 2, sigma(-1) = 0.268941, times beta 0.134471."""
    weights = pair_weights(torch.tensor([1.0, 0.3, -1.0]), torch.tensor([2.0, 1.0, 0.0]), 3, beta=0.5)
    assert weights.tolist() == pytest.approx([0.134471, 0.0, -0.134471], abs=1e-6)


def test_pair_weights_are_the_gradient_of_dpos_loss() -> None:
    """Of the logistic loss that `tutelage dpo` minimises, with respect to each response's log pi."""
    generator = torch.Generator().manual_seed(0)
    away = torch.randn(12, generator=generator, dtype=torch.double).requires_grad_()
    scores = torch.randn(12, generator=generator)
    best, worst = best_in_group(scores, 4), best_in_group(-scores, 4)
    gap = away[best] - away[worst]      # one a group, in order
    wanted = torch.autograd.grad(pair_loss(gap, "logistic", 0.3).sum, away)[0]
    assert torch.allclose(-pair_weights(away.detach(), scores, 4, 0.3), wanted, atol=1e-12)
    assert int((wanted != 0).sum()) == 6


def test_equal_scores_make_no_pair() -> None:
    weights = pair_weights(torch.randn(4), torch.tensor([1.0, 1.0, 0.0, 5.0]), torch.tensor([0, 0, 1, 2]), 1.0)
    assert weights.tolist() == [0.0] * 4
    with pytest.raises(ValueError, match="beta is 0"):
        pair_weights(torch.zeros(2), torch.zeros(2), 2, 0.0)


def test_the_expected_best_is_the_mean_over_all_ways_to_take_n() -> None:
    scores = [0.3, -1.0, 2.0, 0.3, 5.0, 1.5]
    for n in range(1, 7):
        ways = [max(taken) for taken in itertools.combinations(scores, n)]
        assert expected_best(scores, n) == pytest.approx(sum(ways) / len(ways), abs=1e-12)
    for n in (0, 7):
        with pytest.raises(ValueError, match="wanted 1 to 6"):
            expected_best(scores, n)


def test_best_of_n_is_that_far_from_its_policy() -> None:
    """For scores without ties the bound is met: the best of n has density n F^(n-1), whose KL is log n - (n - 1) / n."""
    assert best_of_kl(1) == 0.0
    n, steps = 4, 200_000
    quantiles = (torch.arange(steps, dtype=torch.double) + 0.5) / steps
    density = n * quantiles ** (n - 1)
    assert float((density * density.log()).mean()) == pytest.approx(best_of_kl(n), abs=1e-4)
    assert best_of_kl(4) == pytest.approx(math.log(4) - 0.75)
