"""Masked sums, means, variance and whitening."""

import math

import pytest
import torch

from tutelage.algorithms import keep, masked_count, masked_mean, masked_sum, masked_var, whiten
from tutelage.errors import ShapeError

VALUES = torch.tensor([[1.0, 2.0, 99.0], [4.0, 98.0, 97.0]])
MASK = torch.tensor([[True, True, False], [True, False, False]])


def test_kept_values_sum_to_seven():
    # 1 + 2 + 4
    assert masked_sum(VALUES, MASK).item() == 7.0
    assert masked_count(VALUES, MASK).item() == 3.0
    assert masked_sum(VALUES, MASK, dim=1).tolist() == [3.0, 4.0]
    assert keep(VALUES, MASK).tolist() == [[1.0, 2.0, 0.0], [4.0, 0.0, 0.0]]


def test_mean_and_variance_by_hand():
    # mean 7/3; squares (16 + 1 + 25)/9 = 42/9; divided by n - 1 = 2: 7/3, by n = 3: 14/9
    assert masked_mean(VALUES, MASK).item() == pytest.approx(7 / 3, abs=1e-6)
    assert masked_mean(VALUES, MASK, dim=1).tolist() == [1.5, 4.0]
    assert masked_var(VALUES, MASK).item() == pytest.approx(7 / 3, abs=1e-6)
    assert masked_var(VALUES, MASK, unbiased=False).item() == pytest.approx(14 / 9, abs=1e-6)


def test_whitened_values_by_hand():
    # sd = sqrt(7/3) = 1.5275; (1 - 7/3)/sd, (2 - 7/3)/sd, (4 - 7/3)/sd
    sd = math.sqrt(7 / 3)
    expected = torch.tensor([[-4 / 3 / sd, -1 / 3 / sd, 0.0], [5 / 3 / sd, 0.0, 0.0]])
    torch.testing.assert_close(whiten(VALUES, MASK), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(whiten(VALUES, MASK, shift_mean=False),
                               torch.where(MASK, expected + 7 / 3, 0.0),
                               atol=1e-6, rtol=0)


def test_a_full_mask_is_no_mask_and_torch():
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    everything = torch.ones_like(x, dtype=torch.bool)
    for mask in (everything, None):
        torch.testing.assert_close(masked_sum(x, mask), x.sum())
        torch.testing.assert_close(masked_mean(x, mask), x.mean())
        torch.testing.assert_close(masked_var(x, mask), x.var())
        torch.testing.assert_close(whiten(x, mask), (x - x.mean()) / x.std(), atol=1e-6, rtol=1e-5)


def test_one_or_no_kept_value_gives_zero_and_never_nan():
    one = torch.tensor([[False, True, False], [False, False, False]])
    none = torch.zeros_like(one)
    assert masked_var(VALUES, one).item() == 0.0
    assert whiten(VALUES, one).abs().sum().item() == 0.0
    assert whiten(VALUES, one, shift_mean=False)[0, 1].item() == 2.0
    for f in (masked_sum, masked_mean, masked_var):
        assert f(VALUES, none).item() == 0.0
    assert whiten(VALUES, none).abs().sum().item() == 0.0


def test_nan_outside_the_mask_touches_neither_value_nor_gradient():
    for junk in (float("nan"), float("inf"), -1e30):
        x = torch.where(MASK, VALUES, junk).requires_grad_()
        clean = VALUES.clone().requires_grad_()
        weights = torch.arange(6.0).view(2, 3)
        (whiten(x, MASK) * weights).sum().backward()
        (whiten(clean, MASK) * weights).sum().backward()
        torch.testing.assert_close(x.grad, clean.grad, atol=0, rtol=0)


def test_row_order_and_padding_side_do_not_matter():
    flipped, flipped_mask = VALUES.flip(0, 1), MASK.flip(0, 1)
    torch.testing.assert_close(masked_mean(flipped, flipped_mask), masked_mean(VALUES, MASK))
    torch.testing.assert_close(masked_var(flipped, flipped_mask), masked_var(VALUES, MASK))
    torch.testing.assert_close(whiten(flipped, flipped_mask).flip(0, 1), whiten(VALUES, MASK))


def test_given_moments_whiten_a_shard_as_the_whole():
    whole = whiten(VALUES, MASK)
    moments = masked_mean(VALUES, MASK), masked_var(VALUES, MASK)
    shard = whiten(VALUES[:1], MASK[:1], moments=moments)
    torch.testing.assert_close(shard, whole[:1])


def test_variance_of_values_with_a_large_mean_keeps_its_digits():
    # 10000, 10001, 10002: variance 1
    assert masked_var(torch.tensor([10000.0, 10001.0, 10002.0]), None).item() == pytest.approx(1.0, abs=1e-6)


def test_bf16_counts_past_256():
    assert masked_count(torch.zeros(1001, dtype=torch.bfloat16), None).item() == 1001


def test_a_mask_that_is_no_mask_is_refused():
    with pytest.raises(ShapeError, match=r"torch\.bool"):
        masked_sum(VALUES, MASK.float())
    with pytest.raises(ShapeError, match="wanted"):
        masked_sum(VALUES, MASK[:, :2])
