"""KL estimators against the exact divergence, and the controller against its paper."""

import math

import pytest
import torch

from tutelage.algorithms import KL_ESTIMATORS, exact_kl, k1, k2, k3, next_kl_coef

# three tokens: policy (.5, .3, .2), reference (.2, .3, .5)
POLICY = torch.tensor([0.5, 0.3, 0.2], dtype=torch.double)
REFERENCE = torch.tensor([0.2, 0.3, 0.5], dtype=torch.double)


def test_one_token_by_hand():
    # pi = .5, ref = .2: log(.5/.2) = .916291; half its square .419794; r = .4, r - 1 - log r = -.6 + .916291
    logprobs, ref = torch.tensor([math.log(0.5)]), torch.tensor([math.log(0.2)])
    assert k1(logprobs, ref).item() == pytest.approx(0.916291, abs=1e-6)
    assert k2(logprobs, ref).item() == pytest.approx(0.419794, abs=1e-6)
    assert k3(logprobs, ref).item() == pytest.approx(0.316291, abs=1e-6)


def test_exact_kl_by_hand():
    # .5 log 2.5 + 0 + .2 log .4 = .3 log 2.5 = .274887
    assert exact_kl(POLICY.log(), REFERENCE.log()).item() == pytest.approx(0.274887, abs=1e-6)


def test_k1_and_k3_are_unbiased_for_kl_of_policy_from_reference():
    exact = exact_kl(POLICY.log(), REFERENCE.log())
    for estimator in (k1, k3):
        expected = (POLICY * estimator(POLICY.log(), REFERENCE.log())).sum()
        assert expected.item() == pytest.approx(exact.item(), abs=1e-12)
    # the other direction would be the same number here by symmetry, so check one that is not symmetric
    skew = torch.tensor([0.01, 0.09, 0.9], dtype=torch.double)
    there, back = exact_kl(POLICY.log(), skew.log()).item(), exact_kl(skew.log(), POLICY.log()).item()
    assert abs(there - back) > 0.1
    for estimator in (k1, k3):
        assert (POLICY * estimator(POLICY.log(), skew.log())).sum().item() == pytest.approx(there, abs=1e-12)


def test_k2_is_close_when_the_policies_are():
    near = torch.softmax(POLICY.log() + torch.tensor([0.01, -0.02, 0.01], dtype=torch.double), 0)
    exact = exact_kl(POLICY.log(), near.log()).item()
    assert (POLICY * k2(POLICY.log(), near.log())).sum().item() == pytest.approx(exact, rel=0.02)


def expected_gradient(estimator) -> torch.Tensor:
    """E over the policy's tokens of the gradient of the estimator with respect to the policy's logits."""
    logits = POLICY.log().requires_grad_()
    (POLICY * estimator(logits.log_softmax(0), REFERENCE.log())).sum().backward()
    return logits.grad


def test_in_a_loss_k1_pulls_nowhere_k2_along_kl_of_policy_and_k3_along_kl_of_reference():
    logits = POLICY.log().requires_grad_()
    forward, = torch.autograd.grad(exact_kl(logits, REFERENCE.log()), logits)
    reverse, = torch.autograd.grad(exact_kl(REFERENCE.log(), logits), logits)
    torch.testing.assert_close(expected_gradient(k1), torch.zeros(3, dtype=torch.double), atol=1e-12, rtol=0)
    torch.testing.assert_close(expected_gradient(k2), forward, atol=1e-12, rtol=0)
    torch.testing.assert_close(expected_gradient(k3), reverse, atol=1e-12, rtol=0)
    assert (forward - reverse).abs().max() > 1e-3


def test_equal_policies_are_at_distance_zero():
    logprobs = torch.tensor([[-1.0, -2.0]])
    for estimator in KL_ESTIMATORS.values():
        assert estimator(logprobs, logprobs.clone()).abs().max().item() == 0.0
    assert exact_kl(POLICY.log(), POLICY.log()).item() == 0.0


def test_k2_and_k3_are_never_negative_and_k3_keeps_small_digits():
    difference = torch.linspace(-3, 3, 61)
    zeros = torch.zeros_like(difference)
    assert (k2(difference, zeros) >= 0).all() and (k3(difference, zeros) >= 0).all()
    assert k1(difference, zeros).min() < 0
    # x = 1e-3: exp(-x) - 1 + x = x^2/2 - x^3/6 = 4.99833e-7
    assert k3(torch.tensor(1e-3), torch.tensor(0.0)).item() == pytest.approx(4.99833e-7, rel=2e-4)


def test_absurd_ratios_stay_finite():
    assert k3(torch.tensor([-500.0]), torch.tensor([0.0])).isfinite().all()


def test_tokens_do_not_touch_each_other():
    a, b = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind(0)
    spoiled = a.clone()
    spoiled[0, 0] = float("nan")
    for estimator in KL_ESTIMATORS.values():
        torch.testing.assert_close(estimator(a, b)[1:], estimator(spoiled, b)[1:], atol=0, rtol=0)
        torch.testing.assert_close(estimator(a.flatten(), b.flatten()), estimator(a, b).flatten(), atol=0,
                                   rtol=0)
    torch.testing.assert_close(exact_kl(a, b).flip(0), exact_kl(a.flip(0), b.flip(0)), atol=0, rtol=0)


def test_tokens_ruled_out_by_both_count_nothing():
    never = torch.tensor([-float("inf")], dtype=torch.double)
    value = exact_kl(torch.cat([POLICY.log(), never]), torch.cat([REFERENCE.log(), never]))
    assert value.item() == pytest.approx(0.274887, abs=1e-6)


def test_controller_by_hand():
    # kl 6.6 for target 6: error .1; 1000 of 10000 samples: .1 * .1 = 1 %
    assert next_kl_coef(0.2, 6.6, 6.0, 10_000, 1000) == pytest.approx(0.202, abs=1e-9)
    # error 9 is cut to .2, error -1 to -.2
    assert next_kl_coef(0.2, 60.0, 6.0, 10_000, 1000) == pytest.approx(0.204, abs=1e-9)
    assert next_kl_coef(0.2, 0.0, 6.0, 10_000, 1000) == pytest.approx(0.196, abs=1e-9)


def test_controller_rests_on_target_and_does_nothing_without_samples():
    assert next_kl_coef(0.2, 6.0, 6.0, 10_000, 1000) == 0.2
    assert next_kl_coef(0.2, 60.0, 6.0, 10_000, 0) == 0.2


def test_controller_scales_with_the_coefficient_and_refuses_no_target():
    assert next_kl_coef(0.4, 6.6, 6.0, 10_000, 1000) == 2 * next_kl_coef(0.2, 6.6, 6.0, 10_000, 1000)
    with pytest.raises(ValueError, match="above 0"):
        next_kl_coef(0.2, 6.0, 0.0, 10_000, 1000)
