"""Tests held to enumeration, to statsmodels and to simulation; groups that never claim an order nobody showed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from tutelage.errors import ShapeError
from tutelage.statistics import holm, minimum_detectable_effect, sample_size, sign_flip_test, tied_groups


def test_the_sign_flip_test_is_every_choice_of_signs():
    rng = np.random.default_rng(0)
    for n in range(1, 11):
        for values in (rng.normal(0.3, 1, n), rng.integers(-2, 4, n).astype(float)):
            sums = [abs(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in itertools.product((1, -1), repeat=n)]
            slow = np.mean([each >= abs(values.sum()) - 1e-9 for each in sums])
            assert sign_flip_test(values) == pytest.approx(slow, abs=1e-9), values


def test_five_wins_of_five_and_six_of_six_by_hand():
    assert sign_flip_test([1.0] * 5) == pytest.approx(2 / 32) and sign_flip_test([1.0] * 6) == pytest.approx(2 / 64)
    assert sign_flip_test([0.0] * 9) == 1.0 and sign_flip_test([1.0, -1.0]) == 1.0


def test_many_clusters_are_drawn_and_agree_with_scipy():
    values = np.random.default_rng(1).normal(0.25, 1.0, 80)
    theirs = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1).pvalue
    assert sign_flip_test(values) == pytest.approx(theirs, abs=0.01)
    assert sign_flip_test(values) == sign_flip_test(values[::-1]) != sign_flip_test(values, seed=1)
    assert sign_flip_test(values + 9) == pytest.approx(1 / 20_001)


def test_rows_of_one_prompt_flip_together():
    # three prompts, each said four times: as many choices of signs as three prompts have, 2 of 8
    assert sign_flip_test([1.0] * 12, [0] * 4 + [1] * 4 + [2] * 4) == pytest.approx(2 / 8)


def test_a_true_null_is_called_one_time_in_twenty():
    rng = np.random.default_rng(2)
    called = sum(sign_flip_test(rng.normal(size=12)) < 0.05 for _ in range(600))
    assert 0.03 <= called / 600 <= 0.075


def test_holm_is_statsmodels():
    rng = np.random.default_rng(3)
    for _ in range(50):
        p = list(rng.random(rng.integers(1, 12)) ** rng.integers(1, 6))
        assert holm(p) == pytest.approx(list(multipletests(p, method="holm")[1]), abs=1e-9)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06]) and holm([]) == []
    with pytest.raises(ShapeError, match="0 to 1"):
        holm([0.5, 1.5])


def test_without_holm_families_are_wrong_far_more_often():
    rng = np.random.default_rng(4)
    p = 2 * stats.norm.sf(np.abs(rng.normal(size=(400, 10))))      # ten tests where nothing differs
    plain = np.mean((p < 0.05).any(1))
    corrected = np.mean([min(holm(list(row))) < 0.05 for row in p])
    assert plain > 0.3 and corrected < 0.08


def test_what_is_detectable_is_detected_four_times_in_five():
    rng = np.random.default_rng(5)
    effect = minimum_detectable_effect(60, 2.0)
    draws = rng.normal(effect, 2.0, (3000, 60))
    found = np.mean(stats.ttest_1samp(draws, 0.0, axis=1).pvalue < 0.05)
    assert found == pytest.approx(0.8, abs=0.03)


def test_detectable_effects_are_near_statsmodels_and_sizes_undo_them():
    for n in (10, 30, 100, 1000):
        theirs = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
        assert minimum_detectable_effect(n, 1.0) == pytest.approx(theirs, rel=0.02)
        assert sample_size(minimum_detectable_effect(n, 0.7), 0.7) == n
    assert sample_size(5.0, 0.0) == 2
    for broken in (lambda: minimum_detectable_effect(1, 1.0), lambda: minimum_detectable_effect(9, -1.0),
                   lambda: sample_size(0.0, 1.0)):
        with pytest.raises(ShapeError):
            broken()


MEANS = {"a": 0.9, "b": 0.8, "c": 0.5, "d": 0.4}


@pytest.mark.parametrize(("apart", "groups"), [
    ([], [("a", "b", "c", "d")]), ([("d", "a")], [("a", "b", "c"), ("b", "c", "d")]),
    ([("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")], [("a", "b"), ("c", "d")]),
    ([("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")], [("a",), ("b",), ("c",), ("d",)]),
    ([("a", "b"), ("c", "d")], [("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")])])
def test_tied_groups_by_hand(apart, groups):
    assert tied_groups(MEANS, apart) == groups


def test_groups_hold_everybody_keep_the_different_apart_and_cannot_grow():
    rng = np.random.default_rng(6)
    for _ in range(40):
        names = [f"m{i}" for i in range(rng.integers(1, 7))]
        means = {name: float(rng.random()) for name in names}
        apart = [pair for pair in itertools.combinations(names, 2) if rng.random() < 0.4]
        groups = [set(group) for group in tied_groups(means, apart)]
        assert set().union(*groups) == set(names) and len(groups) == len({frozenset(group) for group in groups})
        for group in groups:
            assert not any(set(pair) <= group for pair in apart)
            assert all(any({name, other} in map(set, apart) for other in group) for name in set(names) - group)


def test_fourteen_clusters_are_enumerated_and_fifteen_drawn():
    assert sign_flip_test([1.0] * 14) == 2 / 2**14 and sign_flip_test([1.0] * 14 + [0.0] * 5) == 2 / 2**14
    drawn = sign_flip_test([1.0] * 15) * 20_001
    assert drawn >= 1 and drawn == pytest.approx(round(drawn), abs=1e-6)


def test_holm_takes_the_ends_and_refuses_what_is_beyond():
    assert holm([0.0, 1.0]) == [0.0, 1.0]
    for p in (-0.1, 1.1, float("nan")):
        with pytest.raises(ShapeError, match="0 to 1"):
            holm([p])


def test_an_alpha_or_a_power_that_is_certain_is_refused():
    assert minimum_detectable_effect(2, 0.0) == 0.0
    for alpha, power in ((0.0, 0.8), (1.0, 0.8), (1.5, 0.8), (0.05, 0.0), (0.05, 1.0), (0.05, 1.5)):
        with pytest.raises(ShapeError, match="between 0 and 1"):
            minimum_detectable_effect(9, 1.0, alpha, power)
