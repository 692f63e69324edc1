"""PPO's losses: hand cases for each branch, their limits, and what must not matter."""

import math

import pytest
import torch

from tutelage.algorithms import (
    approx_kl,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    policy_gradient_loss,
)
from tutelage.errors import ShapeError

MASK = torch.tensor([[True, True, True], [True, False, False], [True, True, False]])


def random_case() -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    logprobs = -torch.rand(3, 3, generator=g)
    return [logprobs, logprobs + 0.4 * torch.randn(3, 3, generator=g), torch.randn(3, 3, generator=g)]


def clipped_slowly(logprobs, old, advantages, mask, below, above, dual_clip):
    """Eq. 7 token by token, minimised instead of maximised."""
    total = 0.0
    for lp, o, a, kept in zip(*(x.flatten().tolist() for x in (logprobs, old, advantages, mask)),
                              strict=True):
        if kept:
            ratio = math.exp(lp - o)
            objective = min(ratio * a, min(max(ratio, 1 - below), 1 + above) * a)
            if dual_clip is not None and a < 0:
                objective = max(objective, dual_clip * a)
            total -= objective
    return total


def test_policy_gradient_by_hand():
    # -(2 * -1 + -3 * -.5) = .5; the masked token's -1000 is not read
    logprobs, advantages = torch.tensor([-1.0, -0.5, -10.0]), torch.tensor([2.0, -3.0, 100.0])
    loss = policy_gradient_loss(logprobs, advantages, torch.tensor([True, True, False]))
    assert loss.sum.item() == pytest.approx(0.5, abs=1e-6) and loss.count.item() == 2


def test_policy_gradient_raises_the_probability_of_good_tokens():
    logits = torch.zeros(3, requires_grad=True)
    policy_gradient_loss(logits.log_softmax(0)[:1], torch.tensor([1.0])).sum.backward()
    assert logits.grad[0] < 0 < logits.grad[1]          # descent adds to the logit of the rewarded token
    torch.testing.assert_close(logits.grad, torch.tensor([-2 / 3, 1 / 3, 1 / 3]), atol=1e-6, rtol=0)


# ratio, advantage -> loss, d loss / d logprob = -A * ratio where not clipped, else 0   (eps = .2)
BRANCHES = [
    (1.0, 2.0, -2.0, -2.0),
    (1.1, 2.0, -2.2, -2.2),
    (1.5, 2.0, -2.4, 0.0),        # already likelier: no more gain
    (0.5, 2.0, -1.0, -1.0),       # moved the wrong way: still pulled back
    (0.5, -2.0, 1.6, 0.0),        # already less likely: no more gain
    (1.5, -2.0, 3.0, 3.0),        # moved the wrong way: pulled back
]


@pytest.mark.parametrize(("ratio", "advantage", "loss", "gradient"), BRANCHES)
def test_each_branch_of_the_clip_by_hand(ratio, advantage, loss, gradient):
    logprobs = torch.tensor([math.log(ratio) - 1.0], requires_grad=True)
    result = clipped_policy_loss(logprobs, torch.tensor([-1.0]), torch.tensor([advantage]), clip_range=0.2)
    result.sum.backward()
    assert result.sum.item() == pytest.approx(loss, abs=1e-6)
    assert logprobs.grad.item() == pytest.approx(gradient, abs=1e-6)
    assert result.stats["clipped"].item() == float(abs(ratio - 1) > 0.2)
    assert result.stats["ratio"].item() == pytest.approx(ratio, abs=1e-6)
    assert result.stats["approx_kl"].item() == pytest.approx(ratio - 1 - math.log(ratio), abs=1e-6)


def test_dual_clip_bounds_a_bad_token_that_became_likely():
    # ratio 10, A = -2: 20 without, 3 * 2 = 6 with c = 3, and then no gradient; positive A is untouched
    def loss(advantage, dual_clip):
        logprobs = torch.tensor([math.log(10.0)], requires_grad=True)
        result = clipped_policy_loss(logprobs, torch.zeros(1), torch.tensor([advantage]),
                                     dual_clip=dual_clip).sum
        result.backward()
        return result.item(), logprobs.grad.item()
    assert loss(-2.0, None) == pytest.approx((20.0, 20.0), abs=1e-4)
    assert loss(-2.0, 3.0) == pytest.approx((6.0, 0.0), abs=1e-6)
    assert loss(2.0, 3.0) == pytest.approx((-2.4, 0.0), abs=1e-6)
    with pytest.raises(ValueError, match="above 1"):
        loss(-2.0, 0.5)


@pytest.mark.parametrize("clip_range", [0.2, (0.2, 0.28), (0.9, 0.01)])
@pytest.mark.parametrize("dual_clip", [None, 1.2])
def test_clipped_loss_equals_the_slow_loop(clip_range, dual_clip):
    logprobs, old, advantages = random_case()
    below, above = clip_range if isinstance(clip_range, tuple) else (clip_range, clip_range)
    expected = clipped_slowly(logprobs, old, advantages, MASK, below, above, dual_clip)
    loss = clipped_policy_loss(logprobs, old, advantages, MASK, clip_range, dual_clip)
    assert loss.sum.item() == pytest.approx(expected, abs=1e-5) and loss.count.item() == 6


def test_at_ratio_one_the_gradient_is_that_of_the_policy_gradient():
    logprobs, _, advantages = random_case()
    ppo, a2c = logprobs.clone().requires_grad_(), logprobs.clone().requires_grad_()
    result = clipped_policy_loss(ppo, ppo.detach(), advantages, MASK)
    result.sum.backward()
    policy_gradient_loss(a2c, advantages, MASK).sum.backward()
    torch.testing.assert_close(ppo.grad, a2c.grad, atol=0, rtol=0)
    assert result.stats["clipped"].item() == 0 and result.stats["approx_kl"].item() == 0
    assert result.stats["ratio"].item() == result.count.item()


def test_a_clip_range_without_end_is_importance_sampling():
    logprobs, old, advantages = random_case()
    loss = clipped_policy_loss(logprobs, old, advantages, MASK, clip_range=1e9)
    expected = -torch.where(MASK, (logprobs - old).exp() * advantages, 0.0).sum()
    torch.testing.assert_close(loss.sum, expected, atol=1e-5, rtol=1e-6)


def test_absurd_log_ratios_stay_finite():
    logprobs = torch.tensor([-1.0, -2.0], requires_grad=True)
    loss = clipped_policy_loss(logprobs, torch.tensor([-500.0, 500.0]), torch.tensor([-1.0, -1.0]))
    loss.sum.backward()
    assert loss.sum.isfinite() and logprobs.grad.isfinite().all() and loss.stats["approx_kl"].isfinite()


def test_old_logprobs_and_advantages_get_no_gradient():
    inputs = [x.requires_grad_() for x in random_case()]
    clipped_policy_loss(*inputs, MASK).sum.backward()
    assert inputs[0].grad is not None and inputs[1].grad is None and inputs[2].grad is None
    policy_gradient_loss(inputs[0], inputs[2], MASK).sum.backward()
    assert inputs[2].grad is None


def losses_of_all_kinds(a, b, c, mask):
    return [policy_gradient_loss(a, c, mask), clipped_policy_loss(a, b, c, mask, dual_clip=1.5),
            clipped_value_loss(a, b, c, mask)]


def test_junk_outside_the_mask_touches_neither_loss_nor_gradient_nor_stats():
    """TRL's PPO averaged approx_kl over padding as well; trlX whitened over it."""
    for junk in (float("nan"), float("inf"), -1e30, 1000.0):
        clean = [x.requires_grad_() for x in random_case()]
        spoiled = [torch.where(MASK, x, junk).detach().requires_grad_() for x in clean]
        for a, b in zip(losses_of_all_kinds(*clean, MASK), losses_of_all_kinds(*spoiled, MASK), strict=True):
            clean_grad, = torch.autograd.grad(a.sum, clean[0])
            spoiled_grad, = torch.autograd.grad(b.sum, spoiled[0])
            torch.testing.assert_close(spoiled_grad, clean_grad, atol=0, rtol=0)
            torch.testing.assert_close((b.sum, b.count, dict(b.stats)), (a.sum, a.count, dict(a.stats)),
                                       atol=0, rtol=0)


def test_padding_side_row_order_and_flattening_do_not_matter():
    case = random_case()
    for whole, *others in zip(
        losses_of_all_kinds(*case, MASK),
        losses_of_all_kinds(*(x.flip(0, 1) for x in case), MASK.flip(0, 1)),
        losses_of_all_kinds(*(x[MASK] for x in case), None),
        strict=True,
    ):
        for other in others:
            torch.testing.assert_close((other.sum, other.count, dict(other.stats)),
                                       (whole.sum, whole.count, dict(whole.stats)), atol=1e-6, rtol=1e-6)


def test_micro_batches_add_up_to_the_whole_including_the_ragged_last():
    case = random_case()
    for which in range(3):
        whole = losses_of_all_kinds(*case, MASK)[which]
        first = losses_of_all_kinds(*(x[:2] for x in case), MASK[:2])[which]
        last = losses_of_all_kinds(*(x[2:] for x in case), MASK[2:])[which]
        total = first + last
        torch.testing.assert_close((total.sum, total.count, dict(total.stats)),
                                   (whole.sum, whole.count, dict(whole.stats)), atol=1e-6, rtol=1e-6)


def test_value_loss_by_hand():
    # eps .2. token 1: V = 1, old = 0 -> clipped to .2; target 2: max(1, 3.24)/2 = 1.62, and no gradient
    # token 2: V = .1, old = 0, target 1: (.9)^2/2 = .405, gradient -.9
    # token 3: V = 1, old = 0, target 0: max(1, .04)/2 = .5, gradient 1
    values = torch.tensor([1.0, 0.1, 1.0], requires_grad=True)
    loss = clipped_value_loss(values, torch.zeros(3), torch.tensor([2.0, 1.0, 0.0]), clip_range=0.2)
    loss.sum.backward()
    assert loss.sum.item() == pytest.approx(1.62 + 0.405 + 0.5, abs=1e-6)
    torch.testing.assert_close(values.grad, torch.tensor([0.0, -0.9, 1.0]), atol=1e-6, rtol=0)
    assert loss.stats["clipped"].item() == 2 and loss.count.item() == 3
    assert loss.stats["squared_error"].item() == pytest.approx(1 + 0.81 + 1, abs=1e-6)


def test_without_clipping_the_value_loss_is_half_the_squared_error():
    values, old, returns = random_case()
    for loss in (clipped_value_loss(values, old, returns, MASK, None),
                 clipped_value_loss(values, values, returns, MASK)):
        expected = torch.where(MASK, (values - returns) ** 2, 0.0).sum() / 2
        torch.testing.assert_close(loss.sum, expected, atol=1e-6, rtol=1e-6)
        assert loss.stats["clipped"].item() == 0


def test_clipping_the_value_never_lowers_the_loss():
    values, old, returns = random_case()
    plain, clipped = (clipped_value_loss(values, old, returns, MASK, eps).sum for eps in (None, 0.05))
    assert clipped > plain


def test_old_values_and_returns_get_no_gradient():
    inputs = [x.requires_grad_() for x in random_case()]
    clipped_value_loss(*inputs, MASK).sum.backward()
    assert inputs[0].grad is not None and inputs[1].grad is None and inputs[2].grad is None


def test_approx_kl_and_clip_fraction_by_hand():
    # ratios 1.5 and 1: ((.5 - log 1.5) + 0) / 2 = .047267; one of two outside .2
    logprobs, old = torch.tensor([math.log(1.5), 0.0, 50.0]), torch.zeros(3)
    mask = torch.tensor([True, True, False])
    assert approx_kl(logprobs, old, mask).item() == pytest.approx(0.0472674, abs=1e-6)
    assert clip_fraction(logprobs, old, mask).item() == pytest.approx(0.5, abs=1e-6)
    assert clip_fraction(logprobs, old, mask, (0.2, 0.6)).item() == 0.0


def test_approx_kl_is_the_kl_of_old_from_current_in_expectation_and_zero_at_no_change():
    old, new = torch.tensor([0.5, 0.3, 0.2]).log(), torch.tensor([0.2, 0.3, 0.5]).log()
    # each old token once, weighted by its probability
    expected = sum(old.exp()[v] * approx_kl(new[v:v + 1], old[v:v + 1]) for v in range(3))
    assert expected.item() == pytest.approx((old.exp() * (old - new)).sum().item(), abs=1e-6)
    assert approx_kl(old, old).item() == 0.0 and clip_fraction(old, old).item() == 0.0


def test_the_reports_agree_with_the_stats_of_the_loss():
    logprobs, old, advantages = random_case()
    loss = clipped_policy_loss(logprobs, old, advantages, MASK)
    torch.testing.assert_close(approx_kl(logprobs, old, MASK), loss.stats["approx_kl"] / loss.count)
    torch.testing.assert_close(clip_fraction(logprobs, old, MASK), loss.stats["clipped"] / loss.count)


def test_explained_variance_by_hand_and_at_its_limits():
    returns, mask = torch.tensor([0.0, 2.0, 4.0, 99.0]), torch.tensor([True, True, True, False])
    # errors 0, 1, 2 around mean 1: variance 1; returns' variance 4: 1 - 1/4
    assert explained_variance(torch.tensor([0.0, 1.0, 2.0, -9.0]), returns,
                              mask).item() == pytest.approx(0.75, abs=1e-6)
    assert explained_variance(returns, returns, mask).item() == 1.0
    assert explained_variance(torch.ones(4), returns, mask).item() == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(returns, torch.ones(4), mask).isnan()


def test_reports_do_not_depend_on_padding_or_order():
    a, b, _ = random_case()
    junk = [torch.where(MASK, x, float("nan")) for x in (a, b)]
    for report in (approx_kl, clip_fraction, explained_variance):
        torch.testing.assert_close(report(*junk, MASK), report(a, b, MASK), atol=0, rtol=0)
        torch.testing.assert_close(report(a.flip(0, 1), b.flip(0, 1), MASK.flip(0, 1)), report(a, b, MASK))
        torch.testing.assert_close(report(a[MASK], b[MASK]), report(a, b, MASK))


def test_shapes_that_would_broadcast_are_refused():
    a, b, c = random_case()
    with pytest.raises(ShapeError, match="advantages"):
        clipped_policy_loss(a, b, c[:, :1], MASK)
    with pytest.raises(ShapeError, match="mask"):
        clipped_value_loss(a, b, c, MASK[0])
