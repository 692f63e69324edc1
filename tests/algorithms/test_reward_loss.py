"""The Bradley–Terry loss with margins, soft labels and centring."""

import math

import pytest
import torch

from tutelage.algorithms import bradley_terry_loss
from tutelage.errors import ShapeError


def parts() -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(0)
    chosen, rejected = torch.randn(2, 5, generator=g)
    return chosen, rejected, torch.rand(5, generator=g), torch.tensor([1.0, 0.0, 0.5, 0.8, 0.3])


def slowly(chosen, rejected, margin, label, centring):
    total = 0.0
    for c, r, m, p in zip(*(x.tolist() for x in (chosen, rejected, margin, label)), strict=True):
        win, lose = 1 / (1 + math.exp(-(c - r - m))), 1 / (1 + math.exp(-(r - c - m)))
        total += -p * math.log(win) - (1 - p) * math.log(lose) + centring * (c + r) ** 2
    return total


def test_two_pairs_by_hand():
    # d = 2 and -1: log(1 + e^-2) + log(1 + e^1) = .126928 + 1.313262
    loss = bradley_terry_loss(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert loss.sum.item() == pytest.approx(1.440190, abs=1e-6)
    assert loss.count.item() == 2
    assert {k: v.item() for k, v in loss.stats.items()} == {"correct": 1.0, "decided": 2.0, "margin": 1.0}


def test_an_equal_pair_costs_log_two_whatever_the_label():
    zero = torch.zeros(1)
    for label in (None, torch.tensor([0.5]), torch.tensor([0.2])):
        assert bradley_terry_loss(zero, zero, label=label).sum.item() == pytest.approx(math.log(2), abs=1e-6)


def test_the_gradient_pulls_the_pair_apart_by_how_surprising_it_was():
    chosen, rejected = torch.tensor([1.0], requires_grad=True), torch.tensor([1.0], requires_grad=True)
    bradley_terry_loss(chosen, rejected).sum.backward()
    assert chosen.grad.item() == pytest.approx(-0.5, abs=1e-6)
    assert rejected.grad.item() == pytest.approx(0.5, abs=1e-6)


def test_margin_label_and_centring_by_hand():
    # d = 2, margin 2: log 2. label .25 at d = 0: log 2. centring .01 * (3 + 1)^2 = .16 beside log(1 + e^-2)
    two, zero = torch.tensor([2.0]), torch.tensor([0.0])
    assert bradley_terry_loss(two, zero, margin=two).sum.item() == pytest.approx(math.log(2), abs=1e-6)
    # label .75, d = 2: .75 * .126928 + .25 * 2.126928
    soft = bradley_terry_loss(two, zero, label=torch.tensor([0.75]))
    assert soft.sum.item() == pytest.approx(0.626928, abs=1e-6)
    centred = bradley_terry_loss(torch.tensor([3.0]), torch.tensor([1.0]), centring=0.01).sum.item()
    assert centred == pytest.approx(0.16 + 0.126928, abs=1e-6)


@pytest.mark.parametrize("centring", [0.0, 0.01])
def test_all_terms_equal_the_slow_loop(centring):
    chosen, rejected, margin, label = parts()
    expected = slowly(chosen, rejected, margin, label, centring)
    loss = bradley_terry_loss(chosen, rejected, margin, label, centring)
    assert loss.sum.item() == pytest.approx(expected, abs=1e-5)


def test_a_label_of_one_and_a_margin_of_zero_are_the_plain_loss():
    chosen, rejected, *_ = parts()
    plain = bradley_terry_loss(chosen, rejected)
    full = bradley_terry_loss(chosen, rejected, torch.zeros(5), torch.ones(5))
    torch.testing.assert_close((full.sum, dict(full.stats)), (plain.sum, dict(plain.stats)), atol=1e-6,
                               rtol=0)


def test_the_best_gap_for_a_soft_label_is_its_log_odds():
    gap = torch.tensor([math.log(0.8 / 0.2)], requires_grad=True)
    bradley_terry_loss(gap, torch.zeros(1), label=torch.tensor([0.8])).sum.backward()
    assert gap.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_swapping_pair_and_label_changes_nothing_but_the_sign_of_the_margin():
    chosen, rejected, margin, label = parts()
    there = bradley_terry_loss(chosen, rejected, margin, label, 0.01)
    back = bradley_terry_loss(rejected, chosen, margin, 1 - label, 0.01)
    torch.testing.assert_close(there.sum, back.sum, atol=1e-6, rtol=0)
    assert there.stats["correct"] == back.stats["correct"]
    assert there.stats["decided"] == back.stats["decided"] == 4
    torch.testing.assert_close(there.stats["margin"], -back.stats["margin"])


def test_the_level_is_free_without_centring_and_settled_with_it():
    chosen, rejected, *_ = parts()
    torch.testing.assert_close(bradley_terry_loss(chosen + 7, rejected + 7).sum,
                               bradley_terry_loss(chosen, rejected).sum,
                               atol=1e-5, rtol=0)
    assert bradley_terry_loss(chosen + 7, rejected + 7,
                              centring=0.01).sum > bradley_terry_loss(chosen, rejected).sum + 1


def test_correct_counts_ties_half_and_leaves_undecided_labels_out():
    chosen, rejected = torch.tensor([1.0, 0.0, 0.0, 5.0]), torch.tensor([0.0, 0.0, 1.0, 0.0])
    # right; equal scores: half; right, as the label says rejected won; label .5: not counted
    loss = bradley_terry_loss(chosen, rejected, label=torch.tensor([1.0, 1.0, 0.1, 0.5]))
    assert loss.stats["correct"].item() == 2.5 and loss.stats["decided"].item() == 3.0


def test_pair_order_and_micro_batches_do_not_matter():
    case = parts()
    whole = bradley_terry_loss(*case, 0.01)
    shuffled = bradley_terry_loss(*(x[[4, 2, 0, 1, 3]] for x in case), 0.01)
    first, last = (bradley_terry_loss(*(x[part] for x in case), 0.01) for part in (slice(3), slice(3, None)))
    total = first + last
    for other in (shuffled, total):
        torch.testing.assert_close((other.sum, other.count, dict(other.stats)),
                                   (whole.sum, whole.count, dict(whole.stats)), atol=1e-5, rtol=1e-6)


def test_a_weight_is_that_many_pairs_and_a_weight_of_one_is_none():
    chosen, rejected, margin, label = parts()
    weight = torch.tensor([2.0, 0.0, 1.0, 1.0, 3.0])
    weighted = bradley_terry_loss(chosen, rejected, margin, label, 0.01, weight)
    repeated = bradley_terry_loss(*(x.repeat_interleave(weight.long())
                                    for x in (chosen, rejected, margin, label)), 0.01)
    torch.testing.assert_close((weighted.sum, weighted.count), (repeated.sum, repeated.count), atol=1e-5,
                               rtol=1e-6)
    ones, none = (bradley_terry_loss(chosen, rejected, weight=w) for w in (torch.ones(5), None))
    torch.testing.assert_close((ones.sum, ones.count), (none.sum, none.count), atol=1e-6, rtol=0)


def test_far_apart_scores_stay_finite():
    loss = bradley_terry_loss(torch.tensor([-1e4]), torch.tensor([1e4]))
    assert loss.sum.item() == pytest.approx(2e4)


def test_a_margin_for_another_batch_is_refused():
    with pytest.raises(ShapeError, match="margin"):
        bradley_terry_loss(torch.zeros(2), torch.zeros(2), torch.zeros(1))
