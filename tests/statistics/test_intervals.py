"""Intervals that cover, differences that pair, fits that stay finite."""

import math

import numpy as np
import pytest
from scipy import stats

from tutelage.errors import ShapeError
from tutelage.statistics import (
    Estimate,
    fit_bradley_terry,
    mean_interval,
    paired_difference,
    share_interval,
    t_interval,
    wilson_interval,
    win_rate,
)


def test_mean_is_the_mean_and_equal_values_have_no_width():
    # (1 + 2 + 6)/3
    assert mean_interval([1.0, 2.0, 6.0]).value == pytest.approx(3.0, abs=1e-12)
    assert mean_interval([2.0] * 9) == Estimate(2.0, 2.0, 2.0, 9)
    assert mean_interval([5.0]) == Estimate(5.0, 5.0, 5.0, 1)


def test_two_values_by_hand():
    # a draw of two has mean 0, 1/2 or 1 with 1/4, 1/2, 1/4: the 2.5 % and 97.5 % points are 0 and 1
    assert mean_interval([0.0, 1.0]) == Estimate(0.5, 0.0, 1.0, 2)


def test_a_large_sample_has_the_normal_interval():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    half = 1.96 * values.std() / math.sqrt(400)
    estimate = mean_interval(values)
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.02)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.02)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    estimates = [mean_interval(rng.normal(size=60), resamples=500, seed=i) for i in range(400)]
    hits = sum(e.low <= 0.0 <= e.high for e in estimates)
    assert 0.91 <= hits / 400 <= 0.975


def test_clustered_intervals_cover_where_row_intervals_do_not():
    """Four samples a prompt that nearly repeat each other are one observation, not four."""
    rng = np.random.default_rng(2)
    clusters = np.repeat(np.arange(40), 4)
    clustered = naive = 0
    for i in range(200):
        rows = np.repeat(rng.normal(size=40), 4) + 0.1 * rng.normal(size=160)
        for_prompts, for_rows = mean_interval(rows, clusters, 400, i), mean_interval(rows, None, 400, i)
        clustered += for_prompts.low <= 0 <= for_prompts.high
        naive += for_rows.low <= 0 <= for_rows.high
        assert for_prompts.n == 40 and for_rows.n == 160
    assert clustered / 200 > 0.9 > 0.8 > naive / 200


def test_unequal_clusters_weigh_by_their_rows():
    # two prompts, rows 1 1 1 and 5: mean of rows 2; a draw of both gives 8/4, of one twice 1 or 5
    assert mean_interval([1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"]) == Estimate(2.0, 1.0, 5.0, 2)
    # 50 prompts with ten rows of 1 and 50 with one row of 0: 10/11, though half of the prompts have 0
    many = mean_interval([1.0] * 500 + [0.0] * 50, [i // 10 for i in range(500)] + list(range(50, 100)))
    assert many.value == pytest.approx(10 / 11, abs=1e-12) and 0.8 < many.low < many.value < many.high


def test_row_order_cluster_names_and_nothing_else_change_nothing_and_the_seed_decides():
    rng = np.random.default_rng(3)
    values, clusters = rng.normal(size=30), rng.integers(0, 9, 30)
    whole = mean_interval(values, clusters)
    order = rng.permutation(30)
    shuffled = mean_interval(values[order], [f"prompt {c}" for c in clusters[order]])
    assert (shuffled.low, shuffled.high, shuffled.n) == (whole.low, whole.high, whole.n)
    assert shuffled.value == pytest.approx(whole.value, abs=1e-12)
    assert mean_interval(values, clusters) == whole != mean_interval(values, clusters, seed=1)


def test_each_row_its_own_cluster_is_no_clusters():
    values = np.random.default_rng(4).normal(size=25)
    assert mean_interval(values, np.arange(25)) == mean_interval(values)


def test_paired_difference_by_hand_and_its_sign():
    # differences 1, 1, 1
    assert paired_difference([3.0, 5.0, 9.0], [2.0, 4.0, 8.0]) == Estimate(1.0, 1.0, 1.0, 3)
    assert paired_difference([2.0, 4.0, 8.0], [3.0, 5.0, 9.0]).value == -1.0


def test_a_paired_difference_is_the_mean_of_differences_over_clusters():
    rng = np.random.default_rng(11)
    a, b, clusters = rng.normal(size=40), rng.normal(size=40), rng.integers(0, 7, 40)
    assert paired_difference(a, b, clusters) == mean_interval(a - b, clusters) != mean_interval(a - b)
    assert win_rate(a, b, clusters) == mean_interval((a > b).astype(float), clusters) != win_rate(a, b)


def test_swapping_a_and_b_mirrors_the_interval():
    a, b = np.random.default_rng(5).normal(size=(2, 50))
    there, back = paired_difference(a, b), paired_difference(b, a)
    assert back.value == pytest.approx(-there.value, abs=1e-12)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=0.02)


def test_pairing_takes_out_how_hard_the_prompts_are():
    rng = np.random.default_rng(6)
    hardness = 10 * rng.normal(size=100)
    a, b = hardness + 1.0 + 0.1 * rng.normal(size=100), hardness + 0.1 * rng.normal(size=100)
    assert paired_difference(a, b).low > 0.9 and paired_difference(a, b).high < 1.1
    assert mean_interval(a).low < mean_interval(b).high      # two separate intervals cannot tell them apart


def test_win_rate_by_hand_with_ties_half():
    # win, tie, loss, win: 2.5 of 4
    estimate = win_rate([2, 1, 0, 5], [1, 1, 1, 1])
    assert estimate.value == 0.625 and estimate.n == 4 and 0.0 <= estimate.low < 0.625 < estimate.high <= 1.0


def test_win_rates_of_both_sides_sum_to_one_and_ties_are_a_half():
    a, b = np.random.default_rng(7).integers(0, 3, (2, 40))
    assert win_rate(a, b).value + win_rate(b, a).value == pytest.approx(1.0, abs=1e-12)
    assert win_rate([1, 1], [1, 1]).value == 0.5


def test_a_share_of_none_or_all_is_not_certain():
    assert share_interval([0.0] * 12) == wilson_interval(0, 12) and share_interval([1.0] * 12) == wilson_interval(12, 12)
    assert share_interval([1.0] * 12, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]) == wilson_interval(4, 4)      # four prompts
    rng = np.random.default_rng(10)
    rows, clusters = (rng.random(40) < 0.3).astype(float), rng.integers(0, 9, 40)
    assert share_interval(rows, clusters) == mean_interval(rows, clusters) and share_interval(rows) == mean_interval(rows)
    assert share_interval([0.5] * 5) == mean_interval([0.5] * 5)


def test_all_wins_still_have_a_width_counted_in_prompts():
    ten = win_rate([1] * 10, [0] * 10)
    assert ten == wilson_interval(10, 10)
    assert ten.low == pytest.approx(0.722467, abs=1e-6) and ten.high == pytest.approx(1.0)
    two_prompts = win_rate([1] * 10, [0] * 10, clusters=[0] * 5 + [1] * 5)
    assert two_prompts.n == 2 and two_prompts.low < ten.low
    assert win_rate([1, 0, 1, 0], [0, 1, 0, 1], clusters=[0, 0, 1, 1]) == wilson_interval(1.0, 2)
    lost = win_rate([0] * 10, [1] * 10)
    assert lost.low == 0.0 and lost.high == pytest.approx(1 - ten.low, abs=1e-12)


def test_win_rate_does_not_depend_on_row_order():
    rng = np.random.default_rng(8)
    a, b, clusters = rng.normal(size=30), rng.normal(size=30), rng.integers(0, 8, 30)
    order = rng.permutation(30)
    assert win_rate(a[order], b[order], clusters[order]) == win_rate(a, b, clusters)


def test_wilson_interval_by_hand():
    # z^2 = 3.841459: centre (.8 + .192073)/1.384146 = .716738, half 1.959964 sqrt(.016 + .009604)/1.384146
    estimate = wilson_interval(8, 10)
    assert (estimate.low, estimate.high) == pytest.approx((0.490162, 0.943318), abs=1e-5)


def test_wilson_interval_mirrors_shrinks_and_becomes_the_normal_one():
    few, many = wilson_interval(3, 10), wilson_interval(3000, 10_000)
    assert wilson_interval(7, 10).high == pytest.approx(1 - few.low, abs=1e-12)
    assert many.high - many.low == pytest.approx(2 * 1.96 * math.sqrt(0.21 / 10_000), rel=1e-3)
    assert wilson_interval(0, 5).low == 0.0 < wilson_interval(0, 5).high
    with pytest.raises(ShapeError, match="wanted n >= 1"):
        wilson_interval(3, 2)


def test_t_interval_by_hand_and_as_scipy_has_it():
    # mean 2, s = 1, t at two degrees of freedom 4.302653: 4.302653 / sqrt(3) = 2.484138
    found = t_interval([1.0, 2.0, 3.0])
    assert (found.value, found.low, found.high, found.n) == pytest.approx((2.0, 2 - 2.484138, 2 + 2.484138, 3), abs=1e-6)
    rng = np.random.default_rng(13)
    for n in range(2, 52):
        rows = rng.normal(3.0, 2.0, n)
        theirs = stats.ttest_1samp(rows, 0.0).confidence_interval(0.95)
        assert (t_interval(rows).low, t_interval(rows).high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)
    assert math.isnan(t_interval([4.0]).low) and t_interval([4.0]).value == 4.0


def test_two_items_by_hand():
    # 3 wins to 1 and hardly any prior: strengths differ by log 3
    s = fit_bradley_terry([(0, 1)] * 3 + [(1, 0)], 2, regularisation=1e-9)
    assert s[0] - s[1] == pytest.approx(math.log(3.0), abs=1e-6)
    assert s.sum() == pytest.approx(0.0, abs=1e-6)


def test_perfect_separation_stays_finite_at_the_point_where_the_prior_holds_it():
    # one win: minimise log(1 + e^-d) + r/2 * 2 (d/2)^2: at the minimum sigma(-d) = r d / 2
    r = 0.1
    s = fit_bradley_terry([(0, 1)], 2, regularisation=r)
    gap = s[0] - s[1]
    assert gap > 0 and 1 / (1 + math.exp(gap)) == pytest.approx(r * gap / 2, abs=1e-6)
    long_chain = fit_bradley_terry([(i, j) for i in range(6) for j in range(i + 1, 6)] * 50, 6)
    assert np.isfinite(long_chain).all() and (np.diff(long_chain) < 0).all()


def test_true_strengths_come_back():
    rng = np.random.default_rng(9)
    truth = np.array([1.0, 0.3, -0.2, -1.1])
    i, j = rng.integers(0, 4, (2, 20_000))
    i, j = i[i != j], j[i != j]
    i_won = rng.random(len(i)) < 1 / (1 + np.exp(truth[j] - truth[i]))
    s = fit_bradley_terry(np.where(i_won[:, None], np.stack([i, j], 1), np.stack([j, i], 1)), 4)
    np.testing.assert_allclose(s, truth - truth.mean(), atol=0.08)


def test_the_fit_is_where_the_slow_gradient_vanishes():
    """Wins equal expected wins, but for the pull of the prior: the equations of Bradley & Terry."""
    pairs, r = [(0, 1), (1, 2), (2, 0), (0, 2), (0, 1), (3, 1)], 0.05
    s = fit_bradley_terry(pairs, 4, regularisation=r)
    for item in range(4):
        won = sum(w == item for w, _ in pairs)
        others = [loser if winner == item else winner for winner, loser in pairs if item in (winner, loser)]
        expected = sum(1 / (1 + math.exp(s[other] - s[item])) for other in others)
        assert won - expected == pytest.approx(r * s[item], abs=1e-6)


def test_ties_and_no_games_leave_items_level():
    s = fit_bradley_terry([(0, 1, 0.5), (1, 0, 0.5)], 3)
    np.testing.assert_allclose(s, 0.0, atol=1e-9)
    np.testing.assert_allclose(fit_bradley_terry([], 3), 0.0, atol=1e-12)


def test_pair_order_item_names_and_weights_written_out_do_not_matter():
    pairs = [(0, 1), (1, 2), (2, 0), (0, 2), (0, 1)]
    s = fit_bradley_terry(pairs, 3)
    np.testing.assert_allclose(fit_bradley_terry(pairs[::-1], 3), s, atol=1e-8)
    np.testing.assert_allclose(fit_bradley_terry([(2 - a, 2 - b) for a, b in pairs], 3)[::-1], s, atol=1e-7)
    weighted = [(0, 1, 2.0), (1, 2, 1.0), (2, 0, 1.0), (0, 2, 1.0)]
    np.testing.assert_allclose(fit_bradley_terry(weighted, 3), s, atol=1e-7)


def test_what_cannot_be_estimated_is_refused_with_the_reason():
    for wrong in ([], [[1.0]], [1.0, float("nan")]):
        with pytest.raises(ShapeError, match="wanted"):
            mean_interval(wrong)
    with pytest.raises(ShapeError, match="one b for each a"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ShapeError, match="one b for each a"):
        win_rate([1.0, 2.0], [1.0])
    with pytest.raises(ShapeError, match="one a row"):
        mean_interval([1.0, 2.0], [1])
    with pytest.raises(ShapeError, match="items 0 to 1"):
        fit_bradley_terry([(0, 2)], 2)
    with pytest.raises(ShapeError, match="regularisation"):
        fit_bradley_terry([(0, 1)], 2, regularisation=0.0)


def test_wilson_of_one_and_what_it_refuses():
    # z^2 = 3.841459: one of one is (1 + z^2 / 2 +- z^2 / 2) / (1 + z^2)
    one = wilson_interval(1, 1)
    assert (one.low, one.high) == pytest.approx((1 / 4.841459, 1.0), abs=1e-6) and one.high <= 1.0
    for successes, n in ((-1, 5), (-0.5, 5), (6, 5), (5.5, 5), (0, 0)):
        with pytest.raises(ShapeError, match="wanted n >= 1"):
            wilson_interval(successes, n)


def test_wins_that_are_none_are_refused_with_the_reason():
    for pairs in ([0, 1], [(0, 1, 1.0, 1.0)], [(0,)]):
        with pytest.raises(ShapeError, match="winner and loser"):
            fit_bradley_terry(pairs, 2)
    for pairs in ([(-1, 0)], [(2, 0)], [(0, 1, -0.5)], [(0, 1, float("nan"))]):
        with pytest.raises(ShapeError, match="items 0 to 1"):
            fit_bradley_terry(pairs, 2)
    with pytest.raises(ShapeError, match="regularisation"):
        fit_bradley_terry([(0, 1)], 2, regularisation=-1.0)
    assert fit_bradley_terry([(0, 1, 0.0)], 2).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
