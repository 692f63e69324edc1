"""Length control: the regression held to scikit-learn's and statsmodels', and what it is there for."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression

from tutelage.errors import DataError
from tutelage.evaluation.metrics import winning
from tutelage.evaluation.metrics.winning import fit, length_controlled_win_rate
from tutelage.statistics import wilson_interval


def study(seed: int, n: int = 80, quality: float = 0.4, liking: float = 1.5):
    rng = np.random.default_rng(seed)
    own, other = rng.integers(5, 200, n).astype(float), rng.integers(5, 150, n).astype(float)
    gap = own - other
    p = 1 / (1 + np.exp(-(quality + liking * np.tanh(gap / gap.std()))))
    return (rng.random(n) < p).astype(float), own, other


def test_fifty_fits_are_statsmodels_without_a_ridge():
    studies = [study(seed) for seed in range(50)]
    longer = np.stack([np.tanh((own - other) / (own - other).std()) for _, own, other in studies])
    ours = fit(np.stack([wins for wins, _, _ in studies]), longer, ridge=0.0)      # all at once, as draws of a bootstrap are
    for (wins, _, _), each, found in zip(studies, longer, ours, strict=True):
        design = np.stack((np.ones(len(each)), each), 1)
        theirs = sm.GLM(wins, design, family=sm.families.Binomial()).fit(tol=1e-12, tol_criterion="params", maxiter=200).params
        assert tuple(found) == pytest.approx(tuple(theirs), abs=1e-9)


def test_a_side_that_always_wins_does_not_disturb_the_fits_beside_it():
    studies = [study(seed, n=30) for seed in range(4)]
    won = np.stack([*(wins for wins, _, _ in studies), np.ones(30), (np.arange(30) > 14).astype(float)])
    longer = np.stack([*(np.tanh((own - other) / 90) for _, own, other in studies), np.zeros(30), np.linspace(-0.9, 0.9, 30)])
    together = fit(won, longer, ridge=1e-3)
    alone = np.concatenate([fit(won[at:at + 1], longer[at:at + 1], ridge=1e-3) for at in range(len(won))])
    np.testing.assert_allclose(together, alone, atol=1e-9)
    p = 1 / (1 + np.exp(-(together[:, :1] + together[:, 1:] * longer)))       # the penalised gradient is nothing at each
    gradient = np.stack(((p - won).sum(1), ((p - won) * longer).sum(1)), 1) + 1e-3 * together
    np.testing.assert_allclose(gradient, 0.0, atol=1e-9)


def test_with_a_ridge_it_is_scikit_learns():
    for seed in range(50, 60):
        wins, own, other = study(seed, n=30)
        gap = own - other
        design = np.stack((np.ones(len(gap)), np.tanh(gap / gap.std())), 1)
        theirs = LogisticRegression(C=1 / 0.1, fit_intercept=False, solver="newton-cholesky", tol=1e-13,
                                    max_iter=500).fit(design, wins)
        ours = length_controlled_win_rate(wins, own, other, ridge=0.1)
        assert (ours.quality, ours.length) == pytest.approx(tuple(theirs.coef_[0]), abs=1e-9)


def test_a_judge_that_counts_words_is_seen_through():
    """The first model is no better; it is longer, and the judge likes long."""
    rng = np.random.default_rng(3)
    own, other = rng.normal(140, 40, 400), rng.normal(100, 40, 400)
    gap = own - other
    wins = (rng.random(400) < 1 / (1 + np.exp(-2 * np.tanh(gap / gap.std())))).astype(float)
    found = length_controlled_win_rate(wins, own, other)
    assert wins.mean() > 0.6 and abs(found.rate.value - 0.5) < 0.08 and found.length > 1
    assert found.rate.low < 0.5 < found.rate.high and found.rate.n == 400


def test_its_interval_covers_and_that_of_the_plain_win_rate_does_not(monkeypatch):
    """2,000 studies of 60 prompts: the first model says more and is liked for it, too. 200 draws each, to be quick."""
    monkeypatch.setattr(winning, "_DRAWS", 200)
    rng, quality = np.random.default_rng(1), 0.3
    truth = 1 / (1 + np.exp(-quality))
    hits = naive = 0
    for number in range(2000):
        own, other = rng.normal(130, 40, 60), rng.normal(100, 40, 60)
        p = 1 / (1 + np.exp(-(quality + np.tanh((own - other) / np.sqrt(3200)))))
        wins = (rng.random(60) < p).astype(float)
        found = length_controlled_win_rate(wins, own, other, seed=number).rate
        plain = wilson_interval(wins.sum(), 60)
        hits += found.low <= truth <= found.high
        naive += plain.low <= truth <= plain.high
    assert 0.93 <= hits / 2000 <= 0.97 and naive / 2000 < 0.9


def test_where_lengths_are_equal_it_is_the_plain_win_rate():
    wins = np.array([1.0, 1.0, 0.5, 0.0, 1.0])
    found = length_controlled_win_rate(wins, [5] * 5, [5] * 5, ridge=0.0)
    assert found.rate.value == pytest.approx(wins.mean(), abs=1e-12) and found.length == 0.0


def test_the_other_way_round_is_the_mirror():
    wins, own, other = study(9)
    one, back = length_controlled_win_rate(wins, own, other), length_controlled_win_rate(1 - wins, other, own)
    assert back.quality == pytest.approx(-one.quality, abs=1e-9) and back.length == pytest.approx(one.length, abs=1e-9)
    assert back.rate.value == pytest.approx(1 - one.rate.value, abs=1e-9)


def test_who_always_wins_has_a_finite_strength():
    found = length_controlled_win_rate([1.0] * 20, list(range(20)), [0] * 20)
    assert np.isfinite(found.quality) and 0.9 < found.rate.value < 1.0
    # and an interval as wide as that of twenty wins, not one of no width; so have twenty ties
    assert found.rate.low == wilson_interval(20, 20).low and found.rate.high == 1.0
    tied = length_controlled_win_rate([0.5] * 20, list(range(20)), [0] * 20).rate
    assert (tied.low, tied.high) == (wilson_interval(10, 20).low, wilson_interval(10, 20).high)


@pytest.mark.parametrize(("wins", "own", "other"), [
    ([1.0], [1], [1]), ([1.0, 0.0], [1], [1, 2]), ([1.0, 2.0], [1, 2], [1, 2]), ([1.0, float("nan")], [1, 2], [1, 2])])
def test_what_cannot_be_fitted_is_refused(wins, own, other):
    with pytest.raises(DataError):
        length_controlled_win_rate(wins, own, other)


def test_two_prompts_are_enough_and_a_difference_that_never_varies_explains_nothing():
    assert length_controlled_win_rate([1.0, 0.0], [1, 2], [2, 1]).rate.n == 2
    found = length_controlled_win_rate([1.0, 1.0, 0.0], [6] * 3, [5] * 3, ridge=0.0)
    assert found.length == 0.0 and found.rate.value == pytest.approx(2 / 3, abs=1e-9)
