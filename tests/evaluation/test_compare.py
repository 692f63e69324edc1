"""Comparisons: by hand, in any order, and never more than the numbers allow."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace

import pytest
from scipy import stats

from tutelage.errors import DataError
from tutelage.evaluation.compare import FEWEST_PROMPTS, compare, verdict_of
from tutelage.evaluation.contestant import distinct_interval
from tutelage.records import Scores
from tutelage.statistics import Estimate

BASE = [0.1, 0.4, 0.2, 0.5, 0.3, 0.2, 0.6, 0.1]
UP = [value + 0.25 for value in BASE]


def test_better_by_the_same_on_every_prompt(contestant):
    pair = compare([contestant("base", BASE), contestant("new", UP)], "base").pair("new", "base")
    assert pair.truth.estimate.value == pytest.approx(0.25, abs=1e-12)
    # paired: prompts differ among themselves, the difference does not
    assert pair.truth.estimate.low == pytest.approx(0.25, abs=1e-12)
    assert pair.truth.verdict == "better" and pair.win_rate.value == 1.0 and pair.win_rate.n == 8
    assert pair.parts["half"].estimate.value == pytest.approx(0.125, abs=1e-12)
    assert (pair.parts["half"].verdict, pair.parts["flaw"].verdict) == ("better", "worse")


def test_the_other_way_round_is_the_mirror(contestant):
    rng = random.Random(1)
    rivals = [contestant(name, [rng.gauss(0, 1) for _ in range(30)], reward=[rng.gauss(0, 1) for _ in range(30)])
              for name in ("base", "new")]
    comparison = compare(rivals, "base")
    one, other = comparison.pair("new", "base"), comparison.pair("base", "new")
    assert (other.first, other.second) == ("base", "new")
    assert other.win_rate.value == pytest.approx(1 - one.win_rate.value, abs=1e-12)
    assert other.win_rate.low == pytest.approx(1 - one.win_rate.high, abs=1e-12)
    assert other.win_rate.high == pytest.approx(1 - one.win_rate.low, abs=1e-12)
    assert (other.truth.estimate.low, other.truth.estimate.high) == (-one.truth.estimate.high, -one.truth.estimate.low)
    assert other.reward.estimate.value == -one.reward.estimate.value
    assert other.flipped().win_rate.value == pytest.approx(one.win_rate.value, abs=1e-12)


def test_worse_flips_to_better(contestant):
    comparison = compare([contestant("base", UP), contestant("new", BASE)], "base")
    assert comparison.pair("new", "base").truth.verdict == "worse"
    assert comparison.pair("base", "new").truth.verdict == "better"
    assert comparison.pair("base", "new").parts["flaw"].verdict == "worse"


def test_a_tie_is_called_a_tie(contestant):
    # differences +0.1, -0.1, ...: mean 0
    shifted = [value + (0.1 if place % 2 else -0.1) for place, value in enumerate(BASE)]
    pair = compare([contestant("base", BASE), contestant("new", shifted)], "base").pairs[0]
    assert pair.truth.verdict == "tied" and pair.truth.estimate.low < 0 < pair.truth.estimate.high
    assert pair.win_rate.value == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_identical_contestants_are_never_better(contestant, seed):
    rng = random.Random(seed)
    truth = {f"p{place}": [rng.choice([0.0, 0.1, 0.7]) for _ in range(3)] for place in range(20)}
    pair = compare([contestant("base", truth), contestant("new", truth)], "base", seed).pairs[0]
    assert pair.truth.verdict == "tied" and (pair.truth.estimate.low, pair.truth.estimate.high) == (0.0, 0.0)
    assert pair.win_rate.value == 0.5
    assert {each.verdict for each in pair.parts.values()} == {"tied"}


def test_equal_models_are_seldom_called_different(contestant, monkeypatch):
    """Two draws from one distribution, 12 times: at 95 % most often none is called; more than 3 would be p < 0.003."""
    monkeypatch.setattr("tutelage.evaluation.compare.summarise", lambda each, seed: each)      # not asked for here
    rng = random.Random(0)
    called = 0
    for seed in range(12):
        rivals = [contestant(name, [rng.gauss(0, 1) for _ in range(40)]) for name in ("base", "new")]
        called += compare(rivals, "base", seed).pairs[0].truth.verdict != "tied"
    assert called <= 3


@pytest.mark.parametrize(("low", "high", "n", "wanted"), [
    (0.1, 0.3, 50, "better"), (-0.3, -0.1, 50, "worse"), (-0.1, 0.3, 50, "tied"), (0.0, 0.3, 50, "tied"),
    (-0.3, 0.0, 50, "tied"), (0.1, 0.3, FEWEST_PROMPTS, "better"), (0.1, 0.3, FEWEST_PROMPTS - 1, "too_few")])
def test_a_verdict_needs_an_interval_without_zero_and_six_prompts(low, high, n, wanted):
    assert verdict_of(Estimate((low + high) / 2, low, high, n)) == wanted


def test_five_prompts_say_nothing_however_clear(contestant):
    pair = compare([contestant("base", BASE[:5]), contestant("new", UP[:5])], "base").pairs[0]
    assert pair.truth.verdict == "too_few" and pair.parts["half"].verdict == "too_few"


def test_win_rate_over_several_samples_by_hand(contestant):
    # p0: 1 and 3 against 2: one lost, one won: 1/2. p1: 2 and 5 against 2: a tie and a win: 3/4. Mean 5/8.
    ours, theirs = {"p0": [1.0, 3.0], "p1": [2.0, 5.0]}, {"p0": [2.0], "p1": [2.0]}
    pair = compare([contestant("base", theirs), contestant("new", ours)], "base").pairs[0]
    assert pair.win_rate.value == pytest.approx(5 / 8, abs=1e-12) and pair.win_rate.n == 2
    assert pair.truth.estimate.value == pytest.approx(((2 - 2) + (3.5 - 2)) / 2, abs=1e-12)


def test_repeating_a_sample_makes_no_interval_narrower(contestant):
    rng = random.Random(3)
    once = {f"p{place:02}": [rng.gauss(0, 1)] for place in range(20)}
    rival = contestant("base", {prompt: [rng.gauss(0, 1)] for prompt in once})
    thrice = {prompt: values * 3 for prompt, values in once.items()}
    lone, many = (compare([rival, contestant("new", truth)], "base") for truth in (once, thrice))
    assert numbers(many.pairs[0].truth.estimate) == pytest.approx(numbers(lone.pairs[0].truth.estimate), abs=1e-12)
    assert numbers(many.pairs[0].win_rate) == pytest.approx(numbers(lone.pairs[0].win_rate), abs=1e-12)
    assert numbers(many.summary("new").truth) == pytest.approx(numbers(lone.summary("new").truth), abs=1e-12)


def numbers(estimate):
    return estimate.value, estimate.low, estimate.high, estimate.n


def shuffled(rival, rng):
    """The same contestant with its samples in another order."""
    order = list(range(len(rival.samples)))
    rng.shuffle(order)

    def pick(values):
        return None if values is None else tuple(values[place] for place in order)

    parts = {name: pick(values) for name, values in rival.grades.parts.items()}
    grades = Scores(total=pick(rival.grades.total), parts=parts)
    return replace(rival, samples=[rival.samples[place] for place in order], grades=grades, reward=pick(rival.reward),
                   kl=pick(rival.kl))


def test_the_order_of_prompts_samples_and_contestants_changes_nothing(contestant):
    rng = random.Random(5)

    def rival(name):
        truth = {f"p{place:02}": [rng.gauss(0, 1), rng.gauss(0, 1)] for place in range(15)}
        texts = [rng.choice(["one two", "two three four", "五 六七", "one one one one one one"]) for _ in range(30)]
        return contestant(name, truth, texts, reward=[rng.gauss(0, 1) for _ in range(30)],
                          kl=[rng.random() for _ in range(30)])

    rivals = [rival(name) for name in ("base", "sft", "rl")]
    straight = compare(rivals, "base", seed=4)
    other = compare([shuffled(each, rng) for each in reversed(rivals)], "base", seed=4)
    for name in ("base", "sft", "rl"):
        assert other.summary(name) == straight.summary(name)
    for first, second in (("sft", "base"), ("rl", "base"), ("rl", "sft")):
        one, two = straight.pair(first, second), other.pair(first, second)
        assert (two.truth, two.parts, two.reward) == (one.truth, one.parts, one.reward)
        # 1 - (1 - x) is x but for rounding
        assert numbers(two.win_rate) == pytest.approx(numbers(one.win_rate), abs=1e-12)


def test_pairs_are_each_once_and_the_reference_stands_second(contestant):
    comparison = compare([contestant(name, BASE) for name in ("z", "base", "a")], "base")
    assert [(pair.first, pair.second) for pair in comparison.pairs] == [("z", "base"), ("a", "z"), ("a", "base")]


def test_a_summary_by_hand(contestant, sample):
    rival = contestant("new", [1.0, 0.0], ["One two three.", "你好"], reward=[2.0, 4.0], kl=[1.0, 3.0], perplexity=7.5)
    cut_off = replace(rival.samples[1], ended=False, response_ids=(1, 2, 3, 4))
    rival = replace(rival, samples=[rival.samples[0], cut_off])
    summary = compare([contestant("base", [0.0, 0.0]), rival], "base").summary("new")
    assert (summary.num_prompts, summary.num_samples) == (2, 2)
    assert (summary.truth.value, summary.reward.value, summary.kl.value) == (0.5, 3.0, 2.0)
    assert (summary.tokens.value, summary.words.value, summary.ended.value) == (3.0, 2.5, 0.5)
    assert (summary.distinct_1.value, summary.repetition.value) == (1.0, 0.0)
    assert summary.perplexity.value == 7.5 and math.isnan(summary.perplexity.low)
    assert summary.parts["half"].value == 0.25


def test_distinct_with_its_jackknife_by_hand():
    # a | a | b: 2 of 3 differ. Left out: (a b) 1, (a b) 1, (a a) 1/2; mean 5/6, squares 1/36 + 1/36 + 4/36 = 1/6,
    # times 2/3 is 1/9, so the error is 1/3 and the reach more than the range allows
    estimate = distinct_interval([["a"], ["a"], ["b"]], 1)
    assert estimate.value == pytest.approx(2 / 3, abs=1e-12)
    assert stats.t.ppf(0.975, 2) / 3 > 1 and (estimate.low, estimate.high, estimate.n) == (0.0, 1.0, 3)
    # the same ten times over: repeats of one text, so that leaving one out changes little
    wide = distinct_interval([[f"w{place} x y z"] for place in range(30)], 1)      # 33 of 120; left out: 32 of 116
    assert wide.value == pytest.approx(33 / 120, abs=1e-12) and wide.low == pytest.approx(wide.value, abs=1e-9)


def test_distinct_of_one_prompt_has_no_interval_and_of_nothing_is_nothing():
    assert math.isnan(distinct_interval([["a b"]], 1).low)
    assert distinct_interval([[""], [""]], 1).value == 0.0


def test_what_is_not_measured_stays_none_and_json_is_json(contestant):
    comparison = compare([contestant("base", BASE, reward=BASE), contestant("new", UP, perplexity=3.0)], "base")
    value = json.loads(json.dumps(comparison.to_json(), allow_nan=False))
    assert value["pairs"][0]["reward"] is None and value["summaries"][1]["kl"] is None
    assert value["summaries"][1]["perplexity"] == {"value": 3.0, "low": None, "high": None, "n": 0}
    assert value["pairs"][0]["truth"]["verdict"] == "better" and value["num_prompts"] == 8


def test_the_same_seed_gives_the_same_numbers(contestant):
    rivals = [contestant("base", BASE), contestant("new", list(reversed(BASE)))]
    assert compare(rivals, "base", 1).to_json() == compare(rivals, "base", 1).to_json()


@pytest.mark.parametrize(("change", "complaint"), [
    (lambda make: [make("base", BASE)], "at least two"),
    (lambda make: [make("base", BASE), make("base", BASE)], "each with its own name"),
    (lambda make: [make("a", BASE), make("b", BASE)], "'base' is not among"),
    (lambda make: [make("base", BASE), make("b", BASE[:7])], "did not answer the same prompts: 1"),
    (lambda make: [make("base", BASE), make("b", {"p": [1.0, 2.0], "q": [1.0]})], "1 samples of prompt 'q' and 2 of"),
    (lambda make: [make("base", BASE), make("b", BASE, reward=[1.0])], "reward has 1 numbers for 8 samples"),
    (lambda make: [make("base", BASE), make("b", [*BASE[:7], math.nan])], "grades.total is nan for sample 'b7'"),
    (lambda make: [make("base", BASE), make("b", BASE, kl=[math.inf] * 8)], "kl is inf"),
    (lambda make: [make("base", BASE), make("b", {})], "0 samples|at least one"),
])
def test_what_cannot_be_compared_is_refused(contestant, change, complaint):
    with pytest.raises(DataError, match=complaint):
        compare(change(contestant), "base")


def test_other_parts_are_refused(contestant):
    odd = contestant("new", BASE)
    odd = replace(odd, grades=Scores(total=odd.grades.total, parts={"half": odd.grades.parts["half"]}))
    with pytest.raises(DataError, match="same grader"):
        compare([contestant("base", BASE), odd], "base")


def test_a_name_that_is_not_there_is_refused(contestant):
    comparison = compare([contestant("base", BASE), contestant("new", UP)], "base")
    with pytest.raises(DataError, match="no contestant 'x'; there are: base, new"):
        comparison.summary("x")
    with pytest.raises(DataError, match="no pair of 'x' and 'base'"):
        comparison.pair("x", "base")
