"""Credit assignment against hand cases, its own limits, and slow loops from the papers."""

import pytest
import torch

from tutelage.algorithms import discounted_returns, gae, group_mean, leave_one_out, monte_carlo, per_token
from tutelage.errors import ShapeError

MASK = torch.tensor([[True, True, True, True], [True, False, True, False], [False, True, True, False]])


def random_case(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(seed)).unbind(0))


def gae_slowly(rewards, values, mask, gamma, gae_lambda):
    """Eq. 16 as a double sum over the tokens of one response: A_t = sum_l (gamma lambda)^l delta_{t+l}."""
    advantages = torch.zeros_like(rewards)
    for row in range(len(rewards)):
        at = mask[row].nonzero()[:, 0].tolist()
        r, v = rewards[row, at].tolist(), [*values[row, at].tolist(), 0.0]
        deltas = [r[i] + gamma * v[i + 1] - v[i] for i in range(len(at))]
        for i, t in enumerate(at):
            advantages[row, t] = sum((gamma * gae_lambda) ** (j - i) * deltas[j] for j in range(i, len(at)))
    return advantages


def test_gae_by_hand():
    # V = .5 throughout, reward 1 at the end, lambda .5: deltas 0, 0, .5; A = .125, .25, .5; returns A + .5
    advantages, returns = gae(torch.tensor([[0.0, 0.0, 1.0]]), torch.full((1, 3), 0.5),
                              torch.ones(1, 3).bool(), 1.0, 0.5)
    torch.testing.assert_close(advantages, torch.tensor([[0.125, 0.25, 0.5]]), atol=1e-6, rtol=0)
    torch.testing.assert_close(returns, torch.tensor([[0.625, 0.75, 1.0]]), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("gamma", "gae_lambda"), [(1.0, 0.95), (0.9, 0.5), (0.99, 0.0), (0.7, 1.0)])
def test_gae_equals_the_sum_of_the_paper_on_ragged_masks(gamma, gae_lambda):
    rewards, values = random_case()
    advantages, returns = gae(rewards, values, MASK, gamma, gae_lambda)
    slow = gae_slowly(rewards, values, MASK, gamma, gae_lambda)
    torch.testing.assert_close(advantages, slow, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(returns, torch.where(MASK, slow + values, 0.0), atol=1e-6, rtol=1e-6)


def test_lambda_one_is_monte_carlo_and_lambda_zero_one_step():
    rewards, values = random_case()
    for gamma in (1.0, 0.9):
        advantages, returns = gae(rewards, values, MASK, gamma, 1.0)
        expected, expected_returns = monte_carlo(rewards, MASK, values, gamma)
        torch.testing.assert_close(advantages, expected, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(returns, expected_returns, atol=1e-6, rtol=1e-6)
    one_step = gae(rewards, values, MASK, 0.9, 0.0)[0]
    expected = (rewards[0, 1] + 0.9 * values[0, 2] - values[0, 1]).item()
    assert one_step[0, 1].item() == pytest.approx(expected, abs=1e-6)
    assert one_step[0, 3].item() == pytest.approx((rewards[0, 3] - values[0, 3]).item(), abs=1e-6)


def test_perfect_critic_leaves_no_advantage():
    rewards, _ = random_case()
    values = discounted_returns(rewards, MASK, 0.9)
    advantages, returns = gae(rewards, values, MASK, 0.9, 0.95)
    torch.testing.assert_close(advantages, torch.zeros(3, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(returns, values, atol=1e-6, rtol=0)


def test_with_lambda_one_the_values_of_later_tokens_do_not_matter():
    rewards, values = random_case()
    changed = values.clone()
    changed[:, 3] += 100.0
    before, after = gae(rewards, values, MASK, 1.0, 1.0)[0], gae(rewards, changed, MASK, 1.0, 1.0)[0]
    torch.testing.assert_close(before[:, :3], after[:, :3], atol=1e-4, rtol=0)


@pytest.mark.parametrize("estimator", [gae, lambda r, v, m: monte_carlo(r, m, v, 0.9)],
                         ids=["gae", "monte_carlo"])
def test_credit_does_not_depend_on_padding_or_row_order(estimator):
    rewards, values = random_case()
    whole = estimator(rewards, values, MASK)
    junk = torch.where(MASK, rewards, float("nan")), torch.where(MASK, values, float("inf"))
    order = [2, 0, 1]
    wider = [torch.cat([x, torch.full((3, 2), 7.0)], 1) for x in (rewards, values)]
    wide_mask = torch.cat([MASK, torch.zeros(3, 2, dtype=torch.bool)], 1)
    left = [x.roll(2, 1) for x in (*wider, wide_mask)]
    for i in (0, 1):
        torch.testing.assert_close(estimator(*junk, MASK)[i], whole[i], atol=0, rtol=0)
        torch.testing.assert_close(estimator(rewards[order], values[order], MASK[order])[i], whole[i][order],
                                   atol=0, rtol=0)
        torch.testing.assert_close(estimator(*wider, wide_mask)[i][:, :4], whole[i], atol=0, rtol=0)
        torch.testing.assert_close(estimator(*left)[i][:, 2:], whole[i], atol=0, rtol=0)
        assert whole[i][~MASK].abs().sum().item() == 0.0


def test_credit_carries_no_gradient():
    rewards, values = random_case()
    for tensor in (*gae(rewards, values.requires_grad_(), MASK), *monte_carlo(rewards, MASK, values)):
        assert not tensor.requires_grad


def test_monte_carlo_by_hand_with_and_without_baseline():
    rewards, mask = torch.tensor([[1.0, 5.0, 2.0]]), torch.tensor([[True, False, True]])
    # G = 1 + .5 * 2 = 2 and 2; minus V = .5: 1.5, 1.5
    advantages, returns = monte_carlo(rewards, mask, torch.full((1, 3), 0.5), 0.5)
    assert returns.tolist() == [[2.0, 0.0, 2.0]] and advantages.tolist() == [[1.5, 0.0, 1.5]]
    assert monte_carlo(rewards, mask, None, 0.5)[0].tolist() == [[2.0, 0.0, 2.0]]


def test_group_mean_by_hand():
    scores = torch.tensor([1.0, 2.0, 6.0, 5.0, 5.0, 5.0])
    # means 3 and 5; variance (4 + 1 + 9)/2 = 7
    centred = torch.tensor([-2.0, -1.0, 3.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(group_mean(scores, 3), centred, atol=1e-6, rtol=0)
    torch.testing.assert_close(group_mean(scores, 3, divide_by_std=True, eps=0.0)[:3], centred[:3] / 7 ** 0.5,
                               atol=1e-6, rtol=0)
    assert group_mean(scores, 3, divide_by_std=True)[3:].tolist() == [0.0, 0.0, 0.0]


def test_leave_one_out_by_hand_and_as_the_paper_writes_it():
    scores = torch.tensor([1.0, 2.0, 6.0])
    # others' means 4, 3.5, 1.5
    torch.testing.assert_close(leave_one_out(scores, 3), torch.tensor([-3.0, -1.5, 4.5]), atol=1e-6, rtol=0)
    scores = torch.randn(12, generator=torch.Generator().manual_seed(0))
    slow = [scores[i] - sum(scores[j] for j in range(12) if j != i and j // 4 == i // 4) / 3
            for i in range(12)]
    torch.testing.assert_close(leave_one_out(scores, 4), torch.stack(slow), atol=1e-6, rtol=0)


def test_a_pair_left_one_out_gets_its_difference_and_the_group_mean_half_of_it():
    scores = torch.tensor([3.0, 1.0, -1.0, 4.0])
    assert leave_one_out(scores, 2).tolist() == [2.0, -2.0, -5.0, 5.0]
    assert group_mean(scores, 2).tolist() == [1.0, -1.0, -2.5, 2.5]


def test_leave_one_out_is_the_group_mean_times_g_over_g_minus_one():
    scores = torch.randn(20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(leave_one_out(scores, 5), group_mean(scores, 5) * 5 / 4, atol=1e-6, rtol=0)


def test_groups_of_one_learn_nothing():
    scores = torch.tensor([3.0, 1.0])
    for result in (leave_one_out(scores, 1), group_mean(scores, 1),
                   group_mean(scores, 1, divide_by_std=True)):
        assert result.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("credit",
                         [group_mean, lambda s, g: group_mean(s, g, divide_by_std=True), leave_one_out])
def test_groups_may_come_in_any_order_size_and_name(credit):
    scores = torch.randn(7, generator=torch.Generator().manual_seed(0))
    ids = torch.tensor([0, 0, 0, 1, 1, 2, 2])
    whole = credit(scores, ids)
    order = [6, 2, 4, 0, 5, 3, 1]
    torch.testing.assert_close(credit(scores[order], ids[order]), whole[order], atol=1e-6, rtol=0)
    torch.testing.assert_close(credit(scores, 90 - 7 * ids), whole, atol=1e-6, rtol=0)
    torch.testing.assert_close(credit(scores[3:5], 2), whole[3:5], atol=1e-6, rtol=0)
    torch.testing.assert_close(credit(scores + 5.0, ids), whole, atol=1e-5, rtol=0)


def test_g_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(ShapeError, match="multiple of G = 2"):
        leave_one_out(torch.ones(3), 2)


def test_a_response_gives_its_advantage_to_each_of_its_tokens():
    expected = [[1.0, 1.0, 1.0, 1.0], [2.0, 0.0, 2.0, 0.0], [0.0, 3.0, 3.0, 0.0]]
    assert per_token(torch.tensor([1.0, 2.0, 3.0]), MASK).tolist() == expected
    flipped = per_token(torch.tensor([3.0, 2.0, 1.0]), MASK.flip(0, 1))
    assert flipped.flip(0, 1).tolist() == expected
    everywhere = torch.ones(3, 4, dtype=torch.bool)
    torch.testing.assert_close(per_token(torch.arange(3.0), everywhere),
                               torch.arange(3.0)[:, None].expand(3, 4))
