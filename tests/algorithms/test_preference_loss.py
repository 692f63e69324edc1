"""The losses of the DPO family, of KTO, and ORPO's odds."""

import math

import pytest
import torch

from tutelage.algorithms import PAIR_LOSSES, bradley_terry_loss, kto_loss, log_odds, pair_loss
from tutelage.errors import ShapeError

KINDS = sorted(PAIR_LOSSES)


def gaps(seed: int = 0) -> torch.Tensor:
    return 3 * torch.randn(6, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("kind", "gap", "by_hand"), [
    ("logistic", 2.0, math.log(1 + math.exp(-1.0))), ("logistic", -2.0, math.log(1 + math.exp(1.0))),
    ("hinge", 1.0, 0.5), ("hinge", 3.0, 0.0), ("hinge", -2.0, 2.0),
    ("squared", 3.0, 4.0), ("squared", 0.0, 1.0)])                                # 1 / (2 beta) = 1
def test_each_loss_by_hand_at_beta_one_half(kind: str, gap: float, by_hand: float) -> None:
    loss = pair_loss(torch.tensor([gap]), kind, 0.5)
    assert loss.sum.item() == pytest.approx(by_hand, abs=1e-6) and loss.count.item() == 1
    assert loss.stats["margin"].item() == pytest.approx(0.5 * gap)


@pytest.mark.parametrize("kind", KINDS)
def test_all_switches_equal_a_slow_loop(kind: str) -> None:
    gap, label = gaps(), torch.tensor([1.0, 0.0, 0.5, 0.8, 0.3, 1.0])
    weight = torch.tensor([1.0, 2.0, 0.5, 3.0, 1.0, 0.0])
    plain = {"logistic": lambda x: math.log1p(math.exp(-x)), "hinge": lambda x: max(0.0, 1 - x)}
    wanted = 0.0
    for g, q, w in zip(gap.tolist(), label.tolist(), weight.tolist(), strict=True):
        p = q * 0.9 + (1 - q) * 0.1
        one, other = ((each - 1 / 0.4 - 0.3) ** 2 if kind == "squared" else plain[kind](0.2 * each - 0.3) for each in (g, -g))
        wanted += w * (p * one + (1 - p) * other)
    loss = pair_loss(gap, kind, 0.2, target=0.3, label=label, smoothing=0.1, weight=weight)
    assert loss.sum.item() == pytest.approx(wanted, rel=1e-5) and loss.count.item() == pytest.approx(7.5)


@pytest.mark.parametrize("kind", KINDS)
def test_swapping_every_pair_and_its_label_changes_nothing(kind: str) -> None:
    label = torch.rand(6, generator=torch.Generator().manual_seed(1))
    one = pair_loss(gaps(), kind, 0.3, label=label, smoothing=0.2)
    other = pair_loss(-gaps(), kind, 0.3, label=1 - label, smoothing=0.2)
    assert one.sum.item() == pytest.approx(other.sum.item(), rel=1e-6)
    assert one.stats["correct"] == other.stats["correct"] and one.stats["decided"] == other.stats["decided"]


def test_dpo_is_bradley_terry_on_implicit_rewards() -> None:
    """Rafailov et al., section 4: the policy's log-ratios, times beta, are the reward model."""
    chosen, rejected = gaps(), gaps(1)
    label = torch.rand(6, generator=torch.Generator().manual_seed(2))
    reward = bradley_terry_loss(0.1 * chosen, 0.1 * rejected, label=label)
    assert pair_loss(chosen - rejected, "logistic", 0.1, label=label).sum.item() == pytest.approx(reward.sum.item(), rel=1e-6)


def test_the_squared_loss_is_least_where_the_gap_is_one_over_two_beta() -> None:
    gap = torch.tensor([1 / (2 * 0.25)], requires_grad=True)
    pair_loss(gap, "squared", 0.25).sum.backward()
    assert gap.grad is not None and gap.grad.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_unbiased_loss_averages_to_the_clean_one_when_that_share_of_labels_is_flipped(kind: str) -> None:
    gap, error = gaps(), 0.2
    kept = pair_loss(gap, kind, 0.4, smoothing=error, unbiased=True).sum
    flipped = pair_loss(gap, kind, 0.4, label=torch.zeros(6), smoothing=error, unbiased=True).sum
    clean = pair_loss(gap, kind, 0.4).sum
    assert ((1 - error) * kept + error * flipped).item() == pytest.approx(clean.item(), rel=1e-5)


def test_smoothing_has_its_least_loss_at_the_log_odds_of_the_share() -> None:
    gap = torch.tensor([math.log(0.9 / 0.1) / 0.5], requires_grad=True)
    pair_loss(gap, "logistic", 0.5, smoothing=0.1).sum.backward()
    assert gap.grad is not None and gap.grad.item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("beta", "smoothing"), [(0.0, 0.0), (-1.0, 0.0), (0.1, 0.5), (0.1, -0.1)])
def test_what_no_loss_is_made_of_is_refused(beta: float, smoothing: float) -> None:
    with pytest.raises(ValueError, match="wanted beta > 0"):
        pair_loss(gaps(), "logistic", beta, smoothing=smoothing)


def test_a_label_of_another_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match="label has shape"):
        pair_loss(gaps(), "logistic", 0.1, label=torch.ones(1))


def test_log_odds_by_hand_and_near_certainty() -> None:
    assert log_odds(torch.tensor(math.log(0.8))).item() == pytest.approx(math.log(4.0), abs=1e-6)
    near = torch.tensor(-1e-7)            # 1 - exp gives 1.19e-7 or 0 in fp32
    assert log_odds(near).item() == pytest.approx(-math.log(1e-7), rel=1e-5)


def test_kto_by_hand() -> None:
    """z = 1, beta 0.5: liked at r = 3 costs 1 - sigma(1); disliked at r = -1 costs 1 - sigma(1), at r = 1 one half."""
    loss = kto_loss(torch.tensor([3.0, -1.0, 1.0]), torch.tensor([True, False, False]), torch.tensor(1.0), 0.5,
                    up_weight=2.0)
    low = 1 / (1 + math.exp(1.0))
    assert loss.sum.item() == pytest.approx(2 * low + low + 0.5, abs=1e-6) and loss.count.item() == 3
    assert {name: value.item() for name, value in loss.stats.items()} == {
        "up_reward": 1.5, "up_count": 1.0, "down_reward": 0.0, "down_count": 2.0}


def test_kto_pulls_liked_up_and_disliked_down_and_no_gradient_reaches_the_baseline() -> None:
    ratio, baseline = torch.zeros(2, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    kto_loss(ratio, torch.tensor([True, False]), baseline, 0.1).sum.backward()
    assert ratio.grad is not None and ratio.grad[0] < 0 < ratio.grad[1] and baseline.grad is None


def test_kto_weights_rows_by_their_judgments() -> None:
    ratio, up = torch.tensor([1.0, -2.0]), torch.tensor([True, False])
    alone = [kto_loss(ratio[i:i + 1], up[i:i + 1], torch.tensor(0.5), 0.2).sum for i in range(2)]
    loss = kto_loss(ratio, up, torch.tensor(0.5), 0.2, weight=torch.tensor([3.0, 0.5]))
    assert loss.sum.item() == pytest.approx((3 * alone[0] + 0.5 * alone[1]).item(), rel=1e-6) and loss.count.item() == 3.5
