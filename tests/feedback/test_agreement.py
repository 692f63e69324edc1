"""Agreement equals its oracles, says when it is undefined, and its intervals hold what they should."""

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa as fleiss_of_statsmodels

from tutelage.errors import ShapeError
from tutelage.feedback.agreement import (
    REASONS,
    Agreement,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    percent_agreement,
)
from tutelage.feedback.votes import Votes

EXACT = 1e-8


def drawn(seed: int, items: int = 60, raters: int = 4, values: int = 4, missing: float = 0.3, noise: float = 0.5) -> Votes:
    """Raters who mostly say the item's own value, with holes."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(values, size=items)
    codes = np.where(rng.random((items, raters)) < noise, rng.integers(values, size=(items, raters)), truth[:, None])
    codes = np.where(rng.random((items, raters)) < missing, -1, codes)
    return Votes.table({f"item {u:03d}": {f"rater {r}": int(codes[u, r]) + 1 for r in range(raters) if codes[u, r] >= 0}
                        for u in range(items)})


def matrix(votes: Votes) -> np.ndarray:
    """(R, U) values with NaN where there is none: the oracle's form."""
    values = np.array([float(value) for value in votes.values])
    return np.where(votes.codes.T >= 0, values[votes.codes.T], np.nan)


def value(found: Agreement) -> float:
    assert found.value is not None and found.low is not None and found.high is not None
    assert found.low <= found.value <= found.high
    return found.value


@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("seed", range(5))
def test_alpha_is_the_oracles(level: str, seed: int) -> None:
    votes = drawn(seed, values=2 + seed, noise=0.2 * seed)
    oracle = krippendorff.alpha(reliability_data=matrix(votes), level_of_measurement=level)
    assert value(krippendorff_alpha(votes, level, resamples=200)) == pytest.approx(oracle, abs=EXACT)      # type: ignore


def test_alpha_of_krippendorffs_own_example() -> None:
    # "Computing Krippendorff's alpha-reliability" (2011), section C: 4 observers, 12 units, 7 holes of 48.
    rows = ["1 2 3 3 2 1 4 1 2 . . .", "1 2 3 3 2 2 4 1 2 5 . 3", ". 3 3 3 2 3 4 2 2 5 1 .", "1 2 3 3 2 4 4 1 2 5 1 ."]
    table = {f"unit {u:02d}": {rater: int(row.split()[u]) for rater, row in zip("ABCD", rows, strict=True)
                               if row.split()[u] != "."} for u in range(12)}
    votes = Votes.table(table)
    assert value(krippendorff_alpha(votes, "nominal")) == pytest.approx(0.743, abs=5e-4)
    assert value(krippendorff_alpha(votes, "ordinal")) == pytest.approx(0.815, abs=5e-4)
    assert value(krippendorff_alpha(votes, "interval")) == pytest.approx(0.849, abs=5e-4)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(3))
def test_cohen_is_the_oracles_over_the_items_both_judged(weights: str | None, seed: int) -> None:
    votes = drawn(seed)
    a, b = (votes.codes[:, votes.raters.index(rater)] for rater in ("rater 0", "rater 2"))
    both = (a >= 0) & (b >= 0)
    oracle = cohen_kappa_score(a[both], b[both], weights=weights, labels=range(len(votes.values)))
    found = cohen_kappa(votes, "rater 0", "rater 2", weights, resamples=200)                               # type: ignore
    assert value(found) == pytest.approx(oracle, abs=EXACT) and found.num_items == both.sum()


@pytest.mark.parametrize("seed", range(3))
def test_fleiss_is_the_oracles(seed: int) -> None:
    votes = drawn(seed, missing=0.0)
    assert value(fleiss_kappa(votes, resamples=200)) == pytest.approx(fleiss_of_statsmodels(votes.counts), abs=EXACT)


def test_per_cent_by_hand() -> None:
    votes = Votes.table({"one": {"a": "x", "b": "x", "c": "y"}, "two": {"a": "x", "b": "x"}, "three": {"a": "y"}})
    # of item one 1 of 3 pairs agrees, of item two the only pair; three was judged once and does not count
    found = percent_agreement(votes)
    assert value(found) == pytest.approx((1 / 3 + 1) / 2) and found.num_items == 2


@pytest.mark.parametrize("coefficient", [
    percent_agreement, fleiss_kappa, krippendorff_alpha, lambda votes: krippendorff_alpha(votes, "ordinal"),
    lambda votes: cohen_kappa(votes, "a", "b")])
def test_nothing_judged_twice_is_undefined(coefficient) -> None:                                           # type: ignore
    found = coefficient(Votes.table({"one": {"a": 1}, "two": {"b": 2}}))
    assert found == Agreement(None, None, None, 0, "no_overlap")
    assert "no item was judged by two people" in str(found) and "没有任何一项" in found.in_words("zh-CN")


@pytest.mark.parametrize("coefficient", [
    fleiss_kappa, krippendorff_alpha, lambda votes: krippendorff_alpha(votes, "ordinal"),
    lambda votes: krippendorff_alpha(votes, "interval"), lambda votes: cohen_kappa(votes, "a", "b")])
def test_where_nobody_ever_differs_chance_would_agree_too(coefficient) -> None:                            # type: ignore
    votes = Votes.table({f"item {u}": {"a": 3, "b": 3} for u in range(9)})
    found = coefficient(votes)
    assert found.value is None and found.reason == "unanimous" and found.num_items == 9
    assert value(percent_agreement(votes)) == 1.0


def test_a_rare_value_makes_some_draws_undefined_and_it_says_so() -> None:
    votes = Votes.table({f"item {u}": {"a": 1, "b": 1 if u else 2} for u in range(20)})
    found = krippendorff_alpha(votes)
    # item 0 is left out of a draw of 20 with probability (19/20)^20 = 0.358
    assert found.undefined_draws == pytest.approx(0.358, abs=0.03)


def test_fleiss_wants_as_many_judges_on_each_item() -> None:
    found = fleiss_kappa(Votes.table({"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 1, "c": 2}}))
    assert found.value is None and found.reason == "unequal_raters"


def test_the_order_of_what_was_said_plays_no_part() -> None:
    rows = [(f"item {u}", f"prompt {u // 3}", f"rater {r}", (u * r) % 3) for u in range(30) for r in range(3)]
    assert krippendorff_alpha(Votes.of(rows)) == krippendorff_alpha(Votes.of(rows[::-1]))


def test_who_says_two_things_of_one_item_has_no_vote_on_it() -> None:
    votes = Votes.of([("one", "one", "a", 1), ("one", "one", "a", 2), ("one", "one", "b", 1), ("two", "two", "a", 1),
                      ("two", "two", "a", 1)])
    assert votes.codes.tolist() == [[-1, 0], [0, -1]]


def test_items_of_one_cluster_are_drawn_together() -> None:
    """Thirty copies of each of ten items say no more than the ten."""
    base = drawn(3, items=10, missing=0.0)
    said = [(item, votes) for item, votes in zip(base.items, base.codes.tolist(), strict=True)]
    many = [(f"{item} copy {copy}", item, f"r{r}", code) for item, row in said for r, code in enumerate(row)
            for copy in range(30)]
    alone = [(f"{item} copy {copy}", f"{item} copy {copy}", f"r{r}", code) for item, row in said
             for r, code in enumerate(row) for copy in range(30)]
    few = [(item, item, f"r{r}", code) for item, row in said for r, code in enumerate(row)]

    def width(rows: list[tuple[str, str, str, int]]) -> float:
        found = krippendorff_alpha(Votes.of(rows))
        assert found.low is not None and found.high is not None
        return found.high - found.low

    assert width(many) == pytest.approx(width(few), rel=0.15) and width(alone) < 0.35 * width(few)


@pytest.mark.slow
def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """200 small samples from one large population of items; its alpha is the truth."""
    population = drawn(11, items=4000, missing=0.1)
    truth = value(krippendorff_alpha(population, "nominal", resamples=10))
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        rows = rng.choice(len(population.items), 80, replace=False)
        sample = Votes(tuple(population.items[row] for row in rows), population.raters, population.values,
                       population.codes[rows], np.arange(80))
        found = krippendorff_alpha(sample, resamples=400)
        assert found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 180 <= held <= 199        # 95 % of 200 is 190; a percentile interval over 80 items comes a little short


def test_what_cannot_be_computed_is_refused() -> None:
    with pytest.raises(ShapeError, match="interval distances need numbers"):
        krippendorff_alpha(Votes.table({"one": {"a": "x", "b": "y"}}), "interval")
    with pytest.raises(ShapeError, match="'zoe' has no vote"):
        cohen_kappa(Votes.table({"one": {"a": "x", "b": "y"}}), "a", "zoe")
    with pytest.raises(ShapeError, match="no common order"):
        Votes.table({"one": {"a": "x", "b": 3}})
    assert all(set(words) == {"en", "zh-CN"} for words in REASONS.values())
