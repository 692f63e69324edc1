"""The figures of a reward model, by hand and held to scipy and scikit-learn."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import brier_score_loss, roc_auc_score

from tutelage.evaluation.judged_pairs import Item, Judgments
from tutelage.evaluation.reward_figures import (
    calibrated,
    length_gap,
    margin_of,
    measure,
    slices,
    spread_of,
    with_length,
)
from tutelage.evaluation.reward_results import Rated, RewardFigures
from tutelage.messages import Message
from tutelage.records import Rating, Thumb


def item(number: int = 0, better: str = "good", worse: str = "bad", **rest: Any) -> Item:
    return Item(**{"prompt": (Message.of("user", f"q{number}"),), "better": (Message.of("assistant", better),),
                   "worse": (Message.of("assistant", worse),), "share": 1.0, "judges": 1, "agreement": None, "margin": 0.0,
                   "kind": "comparison", "annotator": "human", "shown": None, "language": "en", "quotes": (f"{number}",), **rest})


def rated(*gaps: float) -> list[Rated]:
    return [Rated(better=gap, worse=0.0) for gap in gaps]


def figures(items: list[Item], scores: list[Rated], judgments: Judgments | None = None, unit: float | None = 1.0,
            score_of: Callable[..., float] = lambda prompt, response: math.nan) -> RewardFigures:
    return measure(items, scores, judgments or Judgments(), score_of, unit=unit)


def test_accuracy_counts_decided_pairs_and_equal_scores_half() -> None:
    items = [item(0), item(1), item(2), item(3, share=0.5)]
    found = figures(items, rated(1.0, -1.0, 0.0, -5.0))
    assert found.accuracy is not None and found.accuracy.value == 0.5 and found.accuracy.n == 3
    assert (found.pairs, found.decided, found.prompts) == (4, 3, 4)


def test_pairs_of_one_prompt_are_one_cluster() -> None:
    many = [item(number // 10) for number in range(60)]
    draw = random.Random(0)
    right = [draw.random() < 0.7 for _ in range(6)]
    scores = rated(*(1.0 if right[number // 10] else -1.0 for number in range(60)))
    found, alone = figures(many, scores), figures([item(number) for number in range(60)], scores)
    assert found.accuracy is not None and alone.accuracy is not None and found.accuracy.n == 6
    assert found.accuracy.high - found.accuracy.low > 2 * (alone.accuracy.high - alone.accuracy.low)


def test_what_is_not_there_is_said_and_is_no_zero() -> None:
    found = figures([item(0), item(1)], rated(1.0, 1.0), unit=None)
    assert found.ceiling is None and found.calibration is None and found.thumbs is None and found.position is None
    assert found.ratings == {} and found.spread is None and found.length is None
    assert found.undefined == {"ceiling": "judged_once", "calibration": "no_probability", "ratings": "no_ratings",
                               "thumbs": "no_thumbs", "length": "no_length", "position": "no_position", "spread": "one_model"}
    assert figures([], []).undefined["accuracy"] == "no_pairs"
    ties = figures([item(0, share=0.5)], rated(1.0))
    assert ties.accuracy is None and ties.undefined["accuracy"] == "all_ties"


def test_the_ceiling_and_the_model_are_measured_on_the_same_pairs() -> None:
    """Judged by three, 2 to 1 and 3 to 0: agreement 1/3 and 1. The model is right on the first and wrong on the second."""
    items = [item(0, share=2 / 3, judges=3, agreement=1 / 3), item(1, judges=3, agreement=1.0), item(2)]
    found = figures(items, rated(2.0, -1.0, 1.0)).ceiling
    assert found is not None and found.items == 2 and found.annotator == "human"
    assert found.people.value == pytest.approx(2 / 3)
    assert found.model.value == pytest.approx((2 / 3 + 0) / 2)
    models = [replace(each, annotator="model") for each in items]
    mixed = figures([*items, *models], rated(2.0, -1.0, 1.0, 2.0, 2.0, 1.0)).ceiling
    assert mixed == found      # where people judged twice, they are the ceiling
    alone = figures(models, rated(2.0, -1.0, 1.0)).ceiling
    assert alone is not None and alone.annotator == "model" and alone.people == found.people


def cases() -> list[tuple[list[Item], list[Rated]]]:
    made = []
    for seed in range(60):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(2, 40))
        shares = draw.choice([0.5, 0.6, 2 / 3, 1.0], n)
        made.append(([item(number, share=float(share)) for number, share in enumerate(shares)],
                     rated(*(draw.normal(size=n) * draw.choice([0.0, 0.3, 3, 300])).tolist())))
    return made


def test_brier_is_scikit_learns_and_calibration_a_slow_loop_over_both_ways_of_writing_each_pair() -> None:
    for items, scores in cases():
        plain, gaps = [replace(each, share=1.0) for each in items], [0.7 * each.gap for each in scores]
        said = [1 / (1 + math.exp(-max(-500.0, min(500.0, gap)))) for gap in gaps]
        wanted = brier_score_loss([1] * len(said), said, labels=[0, 1])
        found, soft = calibrated(plain, scores, 0.7), calibrated(items, scores, 0.7)
        assert found.brier.value == pytest.approx(wanted, abs=1e-9)
        both = [(p, one.share) for p, one in zip(said, items, strict=True)]
        assert soft.brier.value == pytest.approx(np.mean([(p - share) ** 2 for p, share in both]), abs=1e-9)
        both += [(1 - p, 1 - share) for p, share in both]
        # a pair that the model cannot decide is two halves, which cancel; of two mirror images the upper bin is taken
        above = [(p, share) for p, share in both if p > 0.5]
        bins = [[share - p for p, share in above if place / 10 < p <= (place + 1) / 10] for place in range(5, 10)]
        assert soft.error.value == pytest.approx(sum(abs(sum(each)) for each in bins) / len(items), abs=1e-9)


def test_turning_pairs_round_changes_no_calibration() -> None:
    for items, scores in cases()[:8]:
        turned = [replace(each, share=1 - each.share) for each in items]
        one, other = calibrated(items, scores, 1.0), calibrated(turned, rated(*(-each.gap for each in scores)), 1.0)
        assert one.error.value == pytest.approx(other.error.value, abs=1e-12)
        assert one.brier.value == pytest.approx(other.brier.value, abs=1e-12)


def test_a_calibrated_model_is_found_to_be_one_and_a_boastful_one_is_not() -> None:
    draw = np.random.default_rng(0)
    gaps = draw.normal(size=1000) * 2
    right = draw.random(1000) < 1 / (1 + np.exp(-np.abs(gaps)))
    items = [item(number) for number in range(1000)]
    scores = rated(*np.where(right, np.abs(gaps), -np.abs(gaps)).tolist())
    honest, boastful = calibrated(items, scores, 1.0), calibrated(items, scores, 4.0)
    assert honest.error.value < 2 * honest.luck < 0.05 < 0.15 < boastful.error.value
    assert honest.brier.value < boastful.brier.value


@pytest.mark.filterwarnings("ignore")
def test_correlations_with_ratings_are_scipys_aspect_by_aspect() -> None:
    draw = np.random.default_rng(1)
    scores = draw.normal(size=30)
    ratings = tuple(Rating(id=f"{n}", prompt=(Message.of("user", f"q{n}"),), response=(Message.of("assistant", f"{n}"),), scores={
        "good": float(round(value * 2 + draw.normal())), **({"rare": 1.0} if n < 3 else {}), "flat": 3.0})
        for n, value in enumerate(scores))
    found = figures([], [], Judgments(ratings=ratings), score_of=lambda _, response: float(scores[int(response[0].text)])).ratings
    assert set(found) == {"good"} and found["good"].rows == 30
    values = [each.scores["good"] for each in ratings]
    for name, theirs in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        mine = getattr(found["good"], name)
        assert mine.value == pytest.approx(theirs(scores, values).statistic, abs=1e-9)
        assert mine.low < mine.value < mine.high


def test_thumbs_are_the_area_under_the_curve() -> None:
    draw = np.random.default_rng(2)
    scores, up = draw.normal(size=40), draw.random(40) < 0.5
    thumbs = tuple(Thumb(id=f"{n}", prompt=(Message.of("user", f"q{n}"),), response=(Message.of("assistant", f"{n}"),),
                         up=bool(each)) for n, each in enumerate(up))
    found = figures([], [], Judgments(thumbs=thumbs), score_of=lambda _, response: float(scores[int(response[0].text)])).thumbs
    assert found is not None and found.value == pytest.approx(roc_auc_score(up, scores), abs=1e-9)


def test_slices_by_length_language_margin_and_sureness() -> None:
    items = [item(0, "a b c d", "a b", language="en"), item(1, "a", "a b c", language="zh"),
             item(2, "a b", "c d", share=2 / 3, judges=3)]
    assert [length_gap(each) for each in items] == ["longer", "shorter", "equal"]
    assert [margin_of(item(share=0.6)), margin_of(item()), margin_of(item(margin=0.5)), margin_of(item(margin=1.0))] == [
        "divided", "plain", "slight", "clear"]
    found = slices(items, rated(1.0, -1.0, 1.0))
    assert {way: [(each.name, each.accuracy.value) for each in cut] for way, cut in found.items()} == {
        "kind": [("comparison", pytest.approx(2 / 3))], "language": [("en", 1.0), ("zh", 0.0)],
        "length": [("shorter", 0.0), ("equal", 1.0), ("longer", 1.0)], "margin": [("divided", 1.0), ("plain", 0.5)]}
    sure = slices([item(number) for number in range(15)], rated(*(float(number + 1) for number in range(15))))["sureness"]
    assert [(each.name, each.pairs) for each in sure] == [("low", 5), ("middle", 5), ("high", 5)]


def test_a_score_that_is_length_is_found_out_and_one_that_is_the_judgment_is_not() -> None:
    draw = np.random.default_rng(3)
    words = [(int(a), int(b)) for a, b in draw.integers(2, 60, (80, 2))]
    items = [item(number, " ".join("a" * a), " ".join("b" * b)) for number, (a, b) in enumerate(words)]
    by_length = with_length(items, rated(*(math.log2(a / b) for a, b in words)))
    assert by_length is not None
    assert (by_length.slope.value, by_length.at_equal.value) == pytest.approx((1.0, 1.0))
    fair = with_length(items, rated(*(1.0 + draw.normal() for _ in words)))
    assert fair is not None and fair.at_equal.low < 0 < fair.at_equal.high
    longer_is_judged_better = [item(number, "a b c d", "a b") for number in range(10)]
    settled = with_length(longer_is_judged_better, rated(*[1.0] * 10))
    assert settled is not None and settled.within.value == pytest.approx(1.0) and math.isnan(settled.at_equal.value)


def test_place_is_told_apart_from_the_judgment() -> None:
    draw = np.random.default_rng(4)
    shown = draw.choice([-1.0, 1.0], 60)
    items = [item(number, shown=float(each)) for number, each in enumerate(shown)]
    leaning = figures(items, rated(*(1.0 + 2 * each for each in shown))).position
    fair = figures(items, rated(*(1.0 + draw.normal() for _ in shown))).position
    assert leaning is not None and leaning.value == pytest.approx(1.0)
    assert fair is not None and fair.low < 0 < fair.high


def test_the_spread_of_members_says_where_they_are_unsure() -> None:
    """By hand: gaps (1, 3), (1, -2), (-1, -3); means 2, -0.5, -2; deviations 1, 1.5, 1."""
    members = [((1.0, 0.0), (3.0, 0.0)), ((1.0, 0.0), (0.0, 2.0)), ((0.0, 1.0), (0.0, 3.0))]
    scores = [Rated(better=sum(m[0] for m in each) / 2, worse=sum(m[1] for m in each) / 2, members=each) for each in members]
    found = spread_of([item(number) for number in range(3)], scores)
    assert found is not None and found.members == 2
    assert found.right is not None and found.right.value == 1.0 and found.wrong is not None and found.wrong.value == 1.25
    assert found.unanimous.value == pytest.approx(2 / 3)
    assert found.when_unanimous is not None and found.when_unanimous.value == 0.5
    assert found.when_split is not None and found.when_split.value == 0.0
    assert spread_of([item(0)], rated(1.0)) is None


def test_as_json_what_is_no_number_is_null() -> None:
    found = figures([item(number, "a b c d", "a b") for number in range(10)], rated(*[1.0] * 10)).to_json()
    assert found["length"]["at_equal"]["value"] is None and found["accuracy"]["value"] == 1.0
