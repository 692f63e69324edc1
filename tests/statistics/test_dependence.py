"""Partial correlation, area under the curve and the bootstrap of any statistic, held to other libraries and to simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from tutelage.errors import ShapeError
from tutelage.statistics.dependence import area_under_curve, at_equal
from tutelage.statistics.resampling import bootstrap_interval


def pairs(seed: int, n: int = 40) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    judgment = rng.choice([1.0, -1.0, 0.0, 0.5], n)
    length = rng.normal(size=n) + judgment
    return rng.normal(size=n) + 2 * judgment + 0.7 * length, length, judgment


def test_of_pairs_written_better_side_first_it_is_pearson_and_the_slope_of_a_line():
    for seed in range(30):
        score, length, _ = pairs(seed)
        found = at_equal(score, length, np.ones(len(score)))
        line = stats.linregress(length, score)
        assert found.correlation == pytest.approx(stats.pearsonr(score, length).statistic, abs=1e-9)
        assert found.slope == pytest.approx(line.slope, abs=1e-9)


def test_the_slope_is_that_of_least_squares_and_turning_a_pair_round_changes_nothing():
    for seed in range(30):
        score, length, judgment = pairs(seed)
        (_, wanted), *_ = np.linalg.lstsq(np.stack([judgment, length], 1), score, rcond=None)
        turn = np.random.default_rng(seed).choice([-1.0, 1.0], len(score))
        one, other = at_equal(score, length, judgment), at_equal(turn * score, turn * length, turn * judgment)
        assert one.slope == pytest.approx(wanted, abs=1e-9)
        assert (one.slope, one.correlation) == pytest.approx((other.slope, other.correlation), abs=1e-9)


def test_what_the_judgment_says_itself_is_not_held_against_the_score():
    """Longer is judged better every time, by as much: the score follows the judgment, and of length nothing is left."""
    judgment = np.array([1.0, -1.0, 1.0, 1.0])
    assert math.isnan(at_equal(3 * judgment, 5 * judgment, judgment).correlation)
    # by hand: judgment 1; score (1, 1, 3, 3) less its mean is (-1, -1, 1, 1), length (0, 2, 2, 4) less its mean (-2, 0, 0, 2):
    # 4 / sqrt(8 * 4), slope 4 / 8
    found = at_equal([1, 1, 3, 3], [0, 2, 2, 4], np.ones(4))
    assert (found.correlation, found.slope) == pytest.approx((1 / math.sqrt(2), 0.5), abs=1e-12)


def test_the_area_is_scikit_learns():
    tried = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 60))
        scores = rng.normal(size=n) if seed % 2 else rng.integers(0, 4, n).astype(float)
        positive = rng.random(n) < 0.4
        if positive.all() or not positive.any():
            assert math.isnan(area_under_curve(scores, positive))
            continue
        assert area_under_curve(scores, positive) == pytest.approx(roc_auc_score(positive, scores), abs=1e-9)
        tried += 1
    assert tried >= 50


def test_the_bootstrap_draws_whole_clusters():
    """Ten copies of each of five numbers say no more than the five."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=5)
    once = bootstrap_interval(lambda rows: float(values[rows].mean()), np.arange(5), seed=1)
    copied = np.repeat(values, 10)
    often = bootstrap_interval(lambda rows: float(copied[rows].mean()), np.repeat(np.arange(5), 10), seed=1)
    assert (once.value, once.low, once.high, once.n) == pytest.approx((often.value, often.low, often.high, often.n), abs=1e-9)
    assert once.high - once.low > 0.3


def test_its_interval_of_a_correlation_covers_it():
    """Of 300 studies of 60 pairs with a true correlation of 0.6, about 95 of 100 intervals hold it."""
    rng, held = np.random.default_rng(3), 0
    for study in range(300):
        x = rng.normal(size=60)
        y = 0.6 * x + 0.8 * rng.normal(size=60)
        found = bootstrap_interval(lambda rows, x=x, y=y: float(np.corrcoef(x[rows], y[rows])[0, 1]), np.arange(60), 200, study)
        held += found.low <= 0.6 <= found.high
    assert 0.89 <= held / 300 <= 0.98


def test_what_is_undefined_is_not_a_number():
    def undefined(rows: np.ndarray) -> float:
        return math.nan

    found = bootstrap_interval(undefined, [0, 1, 2])
    assert math.isnan(found.value) and math.isnan(found.low) and found.n == 3
    alone = bootstrap_interval(lambda rows: 1.0, ["one", "one"])
    assert alone.value == 1.0 and math.isnan(alone.low) and alone.n == 1
    rarely = bootstrap_interval(lambda rows: 1.0 if len(set(rows)) == 3 else math.nan, [0, 1, 2])      # 6 of 27 draws
    assert rarely.value == 1.0 and math.isnan(rarely.high)


def test_rows_that_do_not_fit_are_refused():
    for wrong in (lambda: at_equal([1, 2], [1], [1, 1]), lambda: at_equal([1, math.nan], [1, 2], [1, 1]),
                  lambda: area_under_curve([1, 2], [True]), lambda: bootstrap_interval(lambda rows: 1.0, [])):
        with pytest.raises(ShapeError):
            wrong()


def test_a_score_that_the_judgment_settles_goes_with_nothing():
    judgment = np.array([1.0, -1.0, 1.0, 1.0])
    found = at_equal(3 * judgment, [1.0, 2.0, -1.0, 0.5], judgment)
    assert math.isnan(found.correlation) and found.slope == 0.0


def test_two_clusters_have_an_interval():
    found = bootstrap_interval(lambda rows: float(np.array([0.0, 1.0])[rows].mean()), ["a", "b"])
    assert (found.value, found.low, found.high, found.n) == (0.5, 0.0, 1.0, 2)
