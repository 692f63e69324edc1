"""Where the score is paid, what the KL costs, and what it adds up to."""

import pytest
import torch

from tutelage.algorithms import discounted_returns, last_token_index, token_rewards
from tutelage.errors import ShapeError

# row 0 is full; row 1 has two tokens, a tool's token between, then padding
MASK = torch.tensor([[True, True, True, True], [True, False, True, False]])


def test_score_is_paid_at_the_last_token_and_kl_at_each():
    scores = torch.tensor([1.0, -2.0])
    kl = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 9.0, -0.6, 9.0]])
    # -.5 * kl under the mask; + 1 at token 3 of row 0, - 2 at token 2 of row 1
    expected = torch.tensor([[-0.05, -0.10, -0.15, 0.80], [-0.25, 0.0, -1.70, 0.0]])
    torch.testing.assert_close(token_rewards(scores, kl, MASK, 0.5), expected, atol=1e-6, rtol=0)
    assert last_token_index(MASK).tolist() == [3, 2]


def test_each_token_is_paid_its_own_where_a_reward_says_so():
    kl = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 9.0, -0.6, 9.0]])
    own = torch.tensor([[1.0, 0.0, -2.0, 0.5], [0.0, 7.0, 3.0, 7.0]])
    expected = torch.tensor([[0.95, -0.10, -2.15, 0.30], [-0.25, 0.0, 3.30, 0.0]])
    torch.testing.assert_close(token_rewards(torch.tensor([-0.5, 3.0]), kl, MASK, 0.5, own), expected, atol=1e-6, rtol=0)
    with pytest.raises(ShapeError):
        token_rewards(torch.tensor([-0.5, 3.0]), kl, MASK, 0.5, own[:, :3])


def test_without_kl_the_rewards_sum_to_the_score():
    scores = torch.tensor([1.0, -2.0])
    rewards = token_rewards(scores, torch.ones(2, 4), MASK, 0.0)
    torch.testing.assert_close(rewards.sum(1), scores, atol=0, rtol=0)


def test_rewards_sum_to_score_minus_kl_of_the_sequence():
    g = torch.Generator().manual_seed(0)
    kl, scores = torch.randn(2, 4, generator=g), torch.randn(2, generator=g)
    expected = scores - 0.3 * torch.where(MASK, kl, 0.0).sum(1)
    torch.testing.assert_close(token_rewards(scores, kl, MASK, 0.3).sum(1), expected, atol=1e-6, rtol=0)


def test_rewards_carry_no_gradient():
    kl = torch.zeros(2, 4, requires_grad=True)
    assert not token_rewards(torch.ones(2, requires_grad=True), kl, MASK, 0.1).requires_grad


def test_what_lies_outside_the_mask_and_the_padding_side_do_not_matter():
    scores, kl = torch.tensor([1.0, -2.0]), torch.full((2, 4), 0.5)
    spoiled = torch.where(MASK, kl, float("nan"))
    torch.testing.assert_close(token_rewards(scores, spoiled, MASK, 0.1),
                               token_rewards(scores, kl, MASK, 0.1))
    left = token_rewards(scores, kl.roll(1, 1), MASK.roll(1, 1), 0.1)[1]
    torch.testing.assert_close(left, token_rewards(scores, kl, MASK, 0.1)[1].roll(1, 0))


def test_a_response_without_tokens_is_refused_by_row():
    mask = MASK.clone()
    mask[1] = False
    with pytest.raises(ShapeError, match="first: row 1"):
        token_rewards(torch.ones(2), torch.zeros(2, 4), mask, 0.1)


def test_scores_of_another_batch_size_are_refused():
    with pytest.raises(ShapeError, match="scores"):
        token_rewards(torch.ones(3), torch.zeros(2, 4), MASK, 0.1)


def test_returns_by_hand_stepping_over_the_tool():
    rewards = torch.tensor([[1.0, 2.0, 3.0, 4.0], [1.0, 77.0, 2.0, 77.0]])
    # gamma .5: row 0 4; 3 + 2 = 5; 2 + 2.5 = 4.5; 1 + 2.25; row 1 2; 1 + .5 * 2
    expected = torch.tensor([[3.25, 4.5, 5.0, 4.0], [2.0, 0.0, 2.0, 0.0]])
    torch.testing.assert_close(discounted_returns(rewards, MASK, 0.5), expected, atol=1e-6, rtol=0)


def test_gamma_zero_returns_the_reward_and_gamma_one_the_sum_to_come():
    rewards = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    kept = torch.where(MASK, rewards, 0.0)
    torch.testing.assert_close(discounted_returns(rewards, MASK, 0.0), kept)
    to_come = kept.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(discounted_returns(rewards, MASK), torch.where(MASK, to_come, 0.0), atol=1e-6,
                               rtol=0)


def test_returns_do_not_depend_on_padding_row_order_or_batch():
    rewards = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    whole = discounted_returns(rewards, MASK, 0.9)
    spoiled = torch.where(MASK, rewards, float("inf"))
    torch.testing.assert_close(discounted_returns(spoiled, MASK, 0.9), whole, atol=0, rtol=0)
    torch.testing.assert_close(discounted_returns(rewards.flip(0), MASK.flip(0), 0.9), whole.flip(0), atol=0,
                               rtol=0)
    padded = discounted_returns(torch.cat([torch.ones(2, 2), rewards], 1),
                                torch.cat([torch.zeros(2, 2, dtype=torch.bool), MASK], 1), 0.9)
    torch.testing.assert_close(padded[:, 2:], whole, atol=0, rtol=0)
