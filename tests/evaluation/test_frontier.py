"""Best of n by enumeration, over-optimisation where it is and nowhere else, refusals and sameness by hand."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest

from tutelage.errors import DataError
from tutelage.evaluation.behaviour import self_bleu
from tutelage.evaluation.compare import compare
from tutelage.evaluation.frontier import BestOf, best_of_curve, best_of_kl, curve_of, overoptimised
from tutelage.evaluation.report_sections import frontier_curves
from tutelage.statistics import Estimate


def test_the_curve_is_every_way_to_draw_n_and_keep_the_best():
    rng = random.Random(0)
    for count in (1, 2, 3, 5):
        rewards = [[rng.choice([0.0, 0.5, 0.5, rng.random()]) for _ in range(count)] for _ in range(7)]
        truths = [[rng.random() for _ in range(count)] for _ in range(7)]
        curve = best_of_curve(rewards, truths)
        assert [each.n for each in curve] == list(range(1, count + 1))
        for each in curve:
            reward, truth = [], []
            for row, other in zip(rewards, truths, strict=True):
                draws = list(itertools.combinations(range(count), each.n))
                best = [max(row[at] for at in draw) for draw in draws]
                kept = [[other[at] for at in draw if row[at] == top] for draw, top in zip(draws, best, strict=True)]
                reward.append(sum(best) / len(draws))
                truth.append(sum(sum(group) / len(group) for group in kept) / len(draws))
            assert each.reward.value == pytest.approx(sum(reward) / 7, abs=1e-12)
            if len({value for row in rewards for value in row}) == 7 * count:      # without ties
                assert each.truth.value == pytest.approx(sum(truth) / 7, abs=1e-12)


def test_truth_by_enumeration_where_rewards_differ():
    rewards, truths = [[1.0, 2.0, 3.0]], [[10.0, 0.0, 5.0]]
    # pairs keep 2, 3, 3: truths 0, 5, 5
    assert [each.truth.value for each in best_of_curve(rewards, truths)] == pytest.approx([5.0, 10 / 3, 5.0])
    assert [each.reward.value for each in best_of_curve(rewards, truths)] == pytest.approx([2.0, 8 / 3, 3.0])


def test_a_reward_that_sees_nothing_chooses_at_random():
    found = best_of_curve([[1.0, 1.0, 1.0, 1.0]], [[0.0, 1.0, 0.0, 1.0]])
    assert [each.truth.value for each in found] == pytest.approx([0.5] * 4)


def test_the_bound_on_kl_by_hand_and_what_is_refused():
    assert best_of_kl(1) == 0.0 and best_of_kl(4) == pytest.approx(math.log(4) - 0.75)
    for broken in (lambda: best_of_kl(0), lambda: best_of_curve([], []), lambda: best_of_curve([[1.0]], [[1.0, 2.0]])):
        with pytest.raises(DataError):
            broken()


def test_a_contestant_with_one_sample_a_prompt_has_no_curve(contestant):
    assert curve_of(contestant("one", [1.0, 2.0], reward=[1.0, 2.0])) == []
    assert len(curve_of(contestant("two", {"p": [1.0, 2.0], "q": [0.0, 1.0]}, reward=[1.0, 2.0, 0.0, 1.0]))) == 2


def policies(contestant, truths, apart=0.02):
    rng = random.Random(1)
    noise = [rng.gauss(0, 0.05) for _ in range(40)]
    return [contestant(name, [truth + each + rng.gauss(0, apart) for each in noise], reward=[level] * 40, kl=[kl] * 40)
            for (name, level, kl), truth in zip((("base", 0.0, 0.0), ("early", 1.0, 3.0), ("late", 2.0, 12.0)), truths,
                                                strict=True)]


def test_over_optimisation_is_the_step_at_which_truth_falls_while_reward_rises(contestant):
    found = overoptimised(compare(policies(contestant, (0.2, 0.6, 0.4)), "base"))
    assert [(each.before, each.after, each.measure) for each in found] == [("early", "late", "truth")]
    assert overoptimised(compare(policies(contestant, (0.2, 0.4, 0.6)), "base")) == []
    assert overoptimised(compare(policies(contestant, (0.4, 0.4, 0.4), apart=0.0), "base")) == []


def test_the_frontier_is_drawn_over_the_root_of_the_distance_and_policies_are_points(contestant):
    best = [BestOf(n=n, kl=kl, truth=Estimate(0.1 * n, 0.0, 1.0, 40), reward=Estimate(0.2 * n, 0.0, 1.0, 40))
            for n, kl in ((1, 0.0), (4, 0.64))]
    comparison = compare(policies(contestant, (0.2, 0.6, 0.4)), "base")
    truth, reward = frontier_curves(comparison, best, lambda key, **_: key, str.upper)
    assert truth.x == pytest.approx([0.0, 0.8, 3.0 ** 0.5, 12.0 ** 0.5]) and truth.x_unit == "unit_root_nats"
    assert [line.name for line in truth.lines] == ["best_of", "BASE", "EARLY", "LATE"]
    assert [sum(value == value for value in line.y) for line in truth.lines] == [2, 1, 1, 1]
    assert reward.lines[0].y[:2] == [0.2, 0.8] and reward.lines[3].y[3] == pytest.approx(2.0)


def test_a_fall_that_was_not_shown_and_a_reward_that_did_not_rise_are_no_over_optimisation(contestant):
    # truth and win rate fall a little, as chance has it
    seen = compare(policies(contestant, (0.4, 0.35, 0.3), apart=0.2), "base")
    assert seen.pair("late", "base").truth.estimate.value < 0 and seen.pair("late", "base").length_controlled.rate.value < 0.5
    assert ("base", "late") not in [(each.before, each.after) for each in overoptimised(seen)]
    rng = random.Random(4)
    level = [replace(each, reward=[rng.gauss(0, 1) for _ in range(40)]) for each in policies(contestant, (0.6, 0.4, 0.2))]
    assert compare(level, "base").pair("late", "base").truth.verdict == "worse" and overoptimised(compare(level, "base")) == []


def test_self_bleu_is_one_for_sameness_and_none_without_company():
    same = self_bleu([["one two three four five"] * 3, ["a b c d e f"] * 2])
    assert same.value == pytest.approx(1.0) and same.n == 2
    other = self_bleu([["one two three four five", "six seven eight nine ten"], ["今天天气很好啊", "我们去公园散步"]])
    assert other.value < 0.2 and self_bleu([["alone"], ["alone"]]) is None
