"""Correlations held to scipy's, Brier and calibration to scikit-learn's and to a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from tutelage.errors import ShapeError
from tutelage.statistics import brier, calibration_error, kendall, pearson, reliability, spearman


def rows():
    """Sixty pairs of rows: normal, with ties, constant on purpose never, tiny, huge, in order and reversed."""
    rng = np.random.default_rng(0)
    for n in (2, 3, 5, 8, 20, 60):
        for kind in range(10):
            a = rng.normal(size=n) if kind % 2 else rng.integers(0, 3, n).astype(float)
            b = {0: a + rng.normal(size=n), 1: rng.permutation(a), 2: rng.integers(0, 4, n), 3: a**3, 4: -a, 5: a * 1e-200,
                 6: a * 1e150,
                 7: np.arange(n), 8: a, 9: rng.normal(size=n)}[kind]
            yield a, np.asarray(b, dtype=float)


@pytest.mark.parametrize(("ours", "theirs"), [(pearson, stats.pearsonr), (spearman, stats.spearmanr),
                                              (kendall, stats.kendalltau)])
@pytest.mark.filterwarnings("ignore")
def test_correlations_are_scipys(ours, theirs):
    tried = 0
    for a, b in rows():
        if ours is pearson and np.abs(b).max() < 1e-100:
            continue      # scipy's squares vanish there; see below
        wanted = theirs(a, b).statistic
        found = ours(a, b)
        if np.ptp(a) == 0 or np.ptp(b) == 0:
            assert math.isnan(found)
            continue
        assert found == pytest.approx(wanted, abs=1e-9)
        tried += 1
    assert tried >= 40


def test_scale_does_not_matter_however_small_or_large():
    a, b = np.random.default_rng(1).normal(size=(2, 30))
    for factor in (1e-300, 1e-200, 1e200, 1e300):
        assert pearson(a, b * factor) == pytest.approx(pearson(a, b), abs=1e-9)


def test_by_hand():
    assert pearson([1, 2, 3], [2, 4, 6]) == 1.0 and spearman([1, 2, 3], [1, 10, 100]) == 1.0 and kendall([1, 2, 3],
                                                                                                         [3, 2, 1]) == -1.0
    # one of three pairs is turned round: (2 - 1) / 3
    assert kendall([1, 2, 3], [1, 3, 2]) == pytest.approx(1 / 3, abs=1e-12)
    assert math.isnan(pearson([1, 1], [1, 2])) and math.isnan(kendall([1, 2], [3, 3]))


def test_what_cannot_be_correlated_is_refused():
    for a, b in (([1], [1]), ([1, 2], [1]), ([1, math.inf], [1, 2]), ([], [])):
        with pytest.raises(ShapeError):
            pearson(a, b)


def forecasts():
    rng = np.random.default_rng(2)
    for n in (1, 2, 7, 50, 300):
        for kind in range(12):
            said = rng.random(n) if kind % 3 else rng.integers(0, 11, n) / 10
            true = (rng.random(n) < said**(1 + kind % 2)).astype(float)
            yield said, true


def slow_ece(said, true, bins):
    total = 0.0
    for b in range(bins):
        inside = [i for i, p in enumerate(said) if (b / bins < p <= (b + 1) / bins) or (b == 0 and p == 0)]
        if inside:
            total += abs(sum(true[i] for i in inside) / len(inside) - sum(said[i] for i in inside) / len(inside)) * len(inside)
    return total / len(said)


def test_brier_is_scikit_learns_and_ece_the_slow_loop():
    cases = list(forecasts())
    for said, true in cases:
        assert brier(said, true) == pytest.approx(brier_score_loss(true, said, pos_label=1.0), abs=1e-9)
        for bins in (1, 10, 15):
            assert calibration_error(said, true, bins) == pytest.approx(slow_ece(said, true, bins), abs=1e-9)
    assert len(cases) >= 50


def test_the_reliability_plot_is_scikit_learns_where_no_probability_lies_on_an_edge():
    said, true = list(forecasts())[-1]
    happened, mean = calibration_curve(true, said, n_bins=10)
    found = reliability(said, true)
    assert [each.said for each in found] == pytest.approx(list(mean), abs=1e-9)
    assert [each.happened.value for each in found] == pytest.approx(list(happened), abs=1e-9)
    assert sum(each.happened.n for each in found) == len(said)
    assert all(each.low < each.said <= each.high and each.happened.low <= each.happened.value <= each.happened.high
               for each in found)


def test_calibration_by_hand():
    # 0.8 said twice, once true: |0.5 - 0.8|; 0.2 said twice, never true: |0 - 0.2|; mean of both
    assert calibration_error([0.8, 0.8, 0.2, 0.2], [1, 0, 0, 0]) == pytest.approx(0.25, abs=1e-12)
    assert brier([0.8, 0.2], [1, 0]) == pytest.approx(0.04, abs=1e-12) and calibration_error([0.0, 1.0], [0, 1]) == 0.0
    for said, true in (([0.5], [0.5, 1]), ([1.5], [1]), ([0.5], [-1]), ([], [])):
        with pytest.raises(ShapeError):
            calibration_error(said, true)


def test_bins_by_hand():
    # of four bins 0.25 closes the first and 0 stands in it; 0.6 is alone in the third
    first, third = reliability([0.0, 0.25, 0.6], [0, 1, 1], bins=4)
    assert (first.said, first.low, first.high, first.happened.value, first.happened.n) == (0.125, 0.0, 0.25, 0.5, 2)
    assert (third.said, third.low, third.high, third.happened.value, third.happened.n) == (0.6, 0.5, 0.75, 1.0, 1)
    for bins in (0, -1):
        with pytest.raises(ShapeError, match="1 or more"):
            reliability([0.5], [1], bins)


def test_a_correlation_is_never_beyond_one():
    rng = np.random.default_rng(5)
    for _ in range(300):
        a = rng.normal(size=7)
        assert pearson(a, 3 * a) <= 1.0 and pearson(a, -3 * a) >= -1.0
