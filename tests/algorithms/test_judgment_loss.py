"""One likelihood for all kinds of judgment: probabilities that sum to 1, special cases, and hand-worked numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations, product

import pytest
import torch
from torch import Tensor

from tutelage.algorithms import (
    bradley_terry_loss,
    comparison_nll,
    judgment_loss,
    ordinal_nll,
    ranking_nll,
    rising,
    score_nll,
    steps_of,
    strength_nll,
)
from tutelage.errors import ShapeError

TIE = torch.tensor(-0.7)


def tensor(*values: float) -> Tensor:
    return torch.tensor(values)


def parts() -> tuple[Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 6, generator=g)
    return first, second, torch.rand(6, generator=g), tensor(1, 0, 0.5, 0.8, 0.3, 1)


@pytest.mark.parametrize("centring", [0.0, 0.01])
def test_without_ties_and_with_equal_judges_it_is_the_bradley_terry_loss(centring: float) -> None:
    first, second, margin, label = parts()
    weight = tensor(1, 2, 0.5, 1, 3, 0)
    wanted = bradley_terry_loss(first, second, margin, label, centring, weight)
    for reliability in (None, torch.ones(6)):
        nll = comparison_nll(first, second, label, margin=margin, reliability=reliability)
        ours = judgment_loss(nll, weight, (first + second) / 2, centring)
        torch.testing.assert_close((ours.sum, ours.count), (wanted.sum, wanted.count), atol=1e-6, rtol=0)


def test_a_comparison_by_hand() -> None:
    # eta = 2 (1.5 - 1) = 1: e^.5 = 1.648721, e^-.5 = .606531, e^-.7 = .496585, together 2.751837
    first, second, two = tensor(1.5, 1.5, 1.5), tensor(1.0, 1.0, 1.0), torch.full((3,), 2.0)
    nll = comparison_nll(first, second, tensor(1, 0, 0.5), reliability=two, tie=TIE)
    assert nll.tolist() == pytest.approx([-math.log(p / 2.751837) for p in (1.648721, 0.606531, 0.496585)], abs=1e-6)


@pytest.mark.parametrize("reliability", [1.0, 2.5, -0.6, 0.0])
def test_the_three_answers_to_a_comparison_are_all_there_are(reliability: float) -> None:
    shares = comparison_nll(tensor(0.3, 0.3, 0.3), tensor(1.4, 1.4, 1.4), tensor(1, 0, 0.5), tie=TIE,
                            reliability=torch.full((3,), reliability)).neg().exp()
    assert shares.sum().item() == pytest.approx(1, abs=1e-6)
    assert reliability != 0 or shares[0] == shares[1]


def rankings_of(count: int, most_tied: int) -> Iterator[tuple[int, ...]]:
    """Every way of putting so many in order, with at most so many on one place."""
    for ranks in product(range(1, count + 1), repeat=count):
        dense = set(ranks) == set(range(1, max(ranks) + 1))
        if dense and all(ranks.count(place) <= most_tied for place in ranks):
            yield ranks


def test_a_winners_strength_by_hand() -> None:
    # eta = 2 (1.5 - 1) = 1, cuts 1 and 3: sigma(1) = .731059, sigma(0) = .5, sigma(-2) = .119203
    nll = strength_nll(torch.full((3,), 0.5), torch.arange(3), tensor(1.0, 3.0), reliability=torch.full((3,), 2.0))
    assert nll.neg().exp().tolist() == pytest.approx([0.231059 / 0.731059, 0.380797 / 0.731059, 0.119203 / 0.731059], abs=1e-6)


@pytest.mark.parametrize("reliability", [1.0, 2.5, -0.6, 0.0])
def test_a_winner_with_its_strength_is_a_level_on_a_scale_with_two_like_ends(reliability: float) -> None:
    """b far, b clearly, b, a, a clearly, a far: cumulative logits with cuts at -3, -1, 0, 1, 3."""
    judge, cuts = torch.full((6,), reliability), tensor(1.0, 3.0)
    first, second, label = torch.full((6,), 0.8), torch.full((6,), 0.2), tensor(0, 0, 0, 1, 1, 1)
    ahead = (first - second) * (2 * label - 1)
    nll = comparison_nll(first, second, label, reliability=judge)
    nll = nll + strength_nll(ahead, torch.tensor([2, 1, 0, 0, 1, 2]), cuts, reliability=judge)
    scale = tensor(-3.0, -1.0, 0.0, 1.0, 3.0).expand(6, 5)
    torch.testing.assert_close(nll, ordinal_nll(first - second, torch.arange(6), scale, reliability=judge), atol=1e-6, rtol=0)
    assert nll.neg().exp().sum().item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("count, most_tied, number", [(3, 1, 6), (3, 2, 12), (3, 3, 13), (4, 1, 24), (4, 4, 75)])
def test_the_rankings_of_a_few_are_all_there_are(count: int, most_tied: int, number: int) -> None:
    every = torch.tensor(list(rankings_of(count, most_tied)))
    assert len(every) == number                                        # Fubini's numbers where all may tie: 13, 75
    scores = torch.tensor([0.4, -1.1, 2.0, 0.0])[:count].expand(number, count)
    nll = ranking_nll(scores, every, tie=TIE if most_tied > 1 else None, most_tied=most_tied,
                      reliability=torch.full((number,), 1.3))
    assert nll.neg().exp().sum().item() == pytest.approx(1, abs=1e-5)


def slowly(scores: list[float], ranks: list[int], tie: float, most_tied: int) -> float:
    """Straight from the paper: every set of those that are left, one by one."""
    total, left = 0.0, [at for at, rank in enumerate(ranks) if rank]
    worth = [math.exp(score) for score in scores]

    def f(some: tuple[int, ...]) -> float:
        return math.exp((len(some) - 1) * tie) * math.prod(worth[at] for at in some) ** (1 / len(some))

    for place in sorted({rank for rank in ranks if rank}):
        best = tuple(at for at in left if ranks[at] == place)
        every = [some for n in range(1, most_tied + 1) for some in combinations(left, n)]
        total -= math.log(f(best) / math.fsum(map(f, every)))
        left = [at for at in left if at not in best]
    return total


def test_rankings_of_unequal_length_equal_the_slow_loop() -> None:
    g = torch.Generator().manual_seed(1)
    scores, reliability = torch.randn(4, 5, generator=g), tensor(1, 0.5, 2, -1)
    ranks = torch.tensor([[1, 2, 3, 4, 5], [2, 1, 1, 0, 0], [1, 1, 1, 2, 2], [0, 2, 1, 3, 3]])
    wanted = [slowly([a * s for s in row], places, -0.7, 3)
              for row, places, a in zip(scores.tolist(), ranks.tolist(), reliability.tolist(), strict=True)]
    nll = ranking_nll(scores, ranks, reliability=reliability, tie=TIE, most_tied=3)
    assert nll.tolist() == pytest.approx(wanted, abs=1e-5)


def test_a_ranking_of_two_is_a_comparison() -> None:
    first, second, *_ = parts()
    scores, places = torch.stack([first, second], 1), torch.tensor([[1, 2], [2, 1], [1, 1], [1, 2], [1, 1], [2, 1]])
    label = tensor(1, 0, 0.5, 1, 0.5, 0)
    reliability = tensor(1, 2, 0.3, -1, 1, 0)
    torch.testing.assert_close(ranking_nll(scores, places, reliability=reliability, tie=TIE, most_tied=2),
                               comparison_nll(first, second, label, reliability=reliability, tie=TIE), atol=1e-6, rtol=1e-6)


def test_who_is_not_ranked_has_no_part_in_it() -> None:
    scores, ranks = torch.tensor([[0.5, 9e9, -1.0]], requires_grad=True), torch.tensor([[1, 0, 2]])
    nll = ranking_nll(scores, ranks)
    nll.sum().backward()
    assert nll.item() == pytest.approx(math.log1p(math.exp(-1.5)), abs=1e-6)
    assert scores.grad is not None and scores.grad.isfinite().all() and scores.grad[0, 1] == 0


def test_more_on_one_place_than_there_may_be_are_refused() -> None:
    for options in ({}, {"tie": TIE, "most_tied": 2}):
        with pytest.raises(ShapeError, match="share a place"):
            ranking_nll(torch.zeros(1, 3), torch.tensor([[1, 1, 1]]), **options)


def test_levels_by_hand_and_all_of_them_together() -> None:
    # thresholds -1 and 2, a s = .5: sigma(-1.5) = .182426, sigma(1.5) = .817574
    thresholds = tensor(-1.0, 2.0).expand(3, 2)
    nll = ordinal_nll(torch.full((3,), 0.25), torch.arange(3), thresholds, reliability=torch.full((3,), 2.0))
    assert nll.neg().exp().tolist() == pytest.approx([0.182426, 0.635149, 0.182426], abs=1e-6)


def test_a_thumb_is_a_logistic_regression_with_the_judges_own_threshold() -> None:
    scores, own = tensor(0.3, -2.0, 1.5), tensor(1.0, -0.5, 0.2)
    up = torch.tensor([1, 0, 0])
    wanted = torch.nn.functional.binary_cross_entropy_with_logits(scores - own, up.float(), reduction="none")
    torch.testing.assert_close(ordinal_nll(scores, up, own[:, None]), wanted, atol=1e-6, rtol=0)


def test_scales_of_unequal_length_share_a_batch() -> None:
    padded = torch.tensor([[-1.0, 0.0, 1.0], [0.5, torch.inf, torch.inf]], requires_grad=True)
    nll = ordinal_nll(tensor(0.2, 0.2), torch.tensor([3, 1]), padded)
    nll.sum().backward()
    assert nll.neg().exp().tolist() == pytest.approx([1 / (1 + math.exp(0.8)), 1 / (1 + math.exp(0.3))], abs=1e-6)
    assert padded.grad is not None and padded.grad[:, 0].isfinite().all()
    with pytest.raises(ShapeError, match="levels"):
        ordinal_nll(tensor(0.0), torch.tensor([4]), padded[:1])


def test_scores_far_off_the_scale_cost_much_and_not_infinitely_much() -> None:
    thresholds = tensor(0.0, 1e-4).expand(2, 2).clone().requires_grad_()
    scores = tensor(60.0, -60.0).requires_grad_()
    nll = ordinal_nll(scores, torch.ones(2, dtype=torch.long), thresholds)
    nll.sum().backward()
    assert nll.tolist() == pytest.approx([69.21, 69.21], abs=0.01)            # 60 - log 1e-4
    assert scores.grad is not None and scores.grad.tolist() == pytest.approx([1.0, -1.0], abs=1e-3)


def test_thresholds_rise_whatever_the_steps_and_come_back() -> None:
    thresholds = rising(tensor(3.0, -20.0, 0.0, 5.0))
    assert (thresholds.diff() > 5e-4).all()
    known = tensor(-2.0, -1.5, 4.0)
    torch.testing.assert_close(rising(steps_of(known)), known, atol=1e-6, rtol=0)


def test_numbers_are_plain_regression() -> None:
    assert score_nll(tensor(1.0, 2.0), tensor(3.0, 2.0)).tolist() == [2.0, 0.0]
    assert score_nll(tensor(1.0), tensor(3.0), reliability=tensor(2.0)).tolist() == [0.5]


def every_kind(scores: Tensor, reliability: Tensor, tie: Tensor, steps: Tensor) -> Tensor:
    """A judgment of each kind about five responses, in one number."""
    pair = comparison_nll(scores[:1], scores[1:2], scores.new_tensor([0.5]), reliability=reliability[:1], tie=tie)
    won = comparison_nll(scores[3:4], scores[1:2], scores.new_tensor([0.9]), margin=scores.new_tensor([0.4]),
                         reliability=reliability[1:], tie=tie)
    places = torch.tensor([[1, 3, 2, 2, 4]])
    ranked = ranking_nll(scores[None], places, reliability=reliability[1:], tie=tie, most_tied=2)
    rated = ordinal_nll(scores[2:4], torch.tensor([1, 3]), rising(steps).expand(2, 3), reliability=reliability)
    surer = strength_nll(scores[2:3] - scores[0:1], torch.tensor([1]), steps.exp().cumsum(0), reliability=reliability[:1])
    return torch.cat([pair, won, ranked, rated, surer, score_nll(scores[4:], scores.new_tensor([1.0]))]).sum()


def test_gradients_of_scores_and_of_every_parameter_are_the_finite_differences() -> None:
    g = torch.Generator().manual_seed(2)
    given = (torch.randn(5, generator=g).double(), torch.tensor([0.7, -1.2]).double(), torch.tensor(-0.4).double(),
             torch.randn(3, generator=g).double())
    assert torch.autograd.gradcheck(every_kind, tuple(each.requires_grad_() for each in given), eps=1e-6, atol=1e-7)


def test_a_weight_is_that_many_judgments_and_parts_add_up() -> None:
    nll, weight = tensor(0.5, 2.0, 1.0), tensor(2.0, 0.0, 1.0)
    whole = judgment_loss(nll, weight, tensor(1.0, 1.0, -0.5), centring=0.1)
    # 2 (.5 + .1 x 4) + 0 + (1 + .1 x 1)
    assert whole.sum.item() == pytest.approx(2.9, abs=1e-6) and whole.count.item() == 3
    first, last = (judgment_loss(nll[part], weight[part], tensor(1.0, 1.0, -0.5)[part], 0.1) for part in (slice(1), slice(1, 3)))
    torch.testing.assert_close(((first + last).sum, (first + last).count), (whole.sum, whole.count))


def test_columns_of_another_batch_are_refused() -> None:
    for wrong in (lambda: comparison_nll(torch.zeros(2), torch.zeros(2), torch.zeros(1)),
                  lambda: ranking_nll(torch.zeros(2, 3), torch.ones(2, 2, dtype=torch.long)),
                  lambda: ordinal_nll(torch.zeros(2), torch.zeros(2, dtype=torch.long), torch.zeros(1, 2)),
                  lambda: strength_nll(torch.zeros(2), torch.zeros(3, dtype=torch.long), torch.ones(2)),
                  lambda: strength_nll(torch.zeros(1), torch.tensor([-1]), torch.ones(2)),
                  lambda: strength_nll(torch.zeros(1), torch.tensor([3]), torch.ones(2)),
                  lambda: judgment_loss(torch.zeros(2), torch.ones(3))):
        with pytest.raises(ShapeError):
            wrong()
