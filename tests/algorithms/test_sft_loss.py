"""Negative log-likelihood: a sum and a count."""

import math

import torch

from tutelage.algorithms import negative_log_likelihood, policy_gradient_loss

LOGPROBS = torch.tensor([[math.log(0.5), math.log(0.25), -9.0], [math.log(0.125), -9.0, -9.0]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_three_tokens_by_hand():
    # halves: 1 + 2 + 3 = 6 bits = 6 log 2 = 4.158883
    loss = negative_log_likelihood(LOGPROBS, MASK)
    torch.testing.assert_close(loss.sum, torch.tensor(4.158883), atol=1e-6, rtol=0)
    assert loss.count.item() == 3


def test_certain_tokens_cost_nothing_and_flat_is_padded():
    assert negative_log_likelihood(torch.zeros(4)).sum.item() == 0.0
    flat = negative_log_likelihood(LOGPROBS[MASK])
    torch.testing.assert_close(flat.sum, negative_log_likelihood(LOGPROBS, MASK).sum)
    assert flat.count.item() == 3


def test_policy_gradient_with_reward_one_on_demonstrations_is_the_sft_gradient():
    sft, pg = LOGPROBS.clone().requires_grad_(), LOGPROBS.clone().requires_grad_()
    negative_log_likelihood(sft, MASK).sum.backward()
    policy_gradient_loss(pg, torch.ones_like(pg), MASK).sum.backward()
    torch.testing.assert_close(pg.grad, sft.grad, atol=0, rtol=0)
    assert sft.grad.tolist() == [[-1.0, -1.0, 0.0], [-1.0, 0.0, 0.0]]


def test_padding_content_is_never_read():
    spoiled = torch.where(MASK, LOGPROBS, float("nan")).requires_grad_()
    loss = negative_log_likelihood(spoiled, MASK)
    loss.sum.backward()
    torch.testing.assert_close(loss.sum.detach(), negative_log_likelihood(LOGPROBS, MASK).sum, atol=0, rtol=0)
    assert spoiled.grad[~MASK].abs().sum().item() == 0.0


def test_micro_batches_of_any_size_give_the_gradient_of_the_whole():
    """transformers#34191: a mean of micro-batch means weighs tokens unequally."""
    g = torch.Generator().manual_seed(0)
    start, mask = -torch.rand(5, 6, generator=g), torch.rand(5, 6, generator=g) > 0.4
    gradients = []
    for split in ([5], [2, 2, 1], [1] * 5):
        logprobs = start.clone().requires_grad_()
        parts = [negative_log_likelihood(a, m) for a,
                 m in zip(logprobs.split(split), mask.split(split), strict=True)]
        (sum(p.sum for p in parts) / sum(p.count for p in parts)).backward()
        gradients.append(logprobs.grad)
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        assert total.count.item() == mask.sum().item()
    for gradient in gradients[1:]:
        torch.testing.assert_close(gradient, gradients[0], atol=1e-7, rtol=0)
