"""Scripted annotators see the truth dimly, each in their own way, and always the same way."""

import itertools
import math
import random
from collections import Counter

import pytest
from feedback_records import ANSWERS, NAILS, PASTA, ask, say

from tutelage.errors import DataError
from tutelage.feedback.aggregation import preferences
from tutelage.feedback.scripted import ScriptedAnnotator, ScriptedTruth, enroll, judge, panel
from tutelage.records import Prompt, Sample
from tutelage.store import Store

TRUTH = ScriptedTruth()
BY_PROMPT = {prompt.id: [say(prompt, text, not text or text[-1] in ".!?s") for text in texts]
             for prompt, texts in ANSWERS.items()}
SAMPLES = {sample.id: sample for samples in BY_PROMPT.values() for sample in samples}
# Many prompts with responses that differ in one thing: what a policy under training gives
NEAR = {prompt.id: [say(prompt, text) for text in (
            f"Short nails help to lose habit {i}.", f"Short nails help you to lose habit {i}.",
            f"Sure! Short nails help you to lose habit {i}.", f"Nails are a part of you as number {i} says.")]
        for i in range(60) for prompt in [ask(f"Tell me about nails, number {i}.", "advice", NAILS.key_facts)]}


def worth(sample: Sample) -> float:
    return TRUTH.score([sample]).total[0]


def accuracy(by_prompt: dict[str, list[Sample]], annotators: list[ScriptedAnnotator], seed: int = 0) -> float:
    """Share of winners that are the better one by the truth, pairs without a better one left out."""
    samples = {sample.id: sample for each in by_prompt.values() for sample in each}
    right = []
    for judgment in judge(by_prompt, annotators, seed, pairs_per_prompt=10, overlap=len(annotators)):
        a, b = (worth(samples[id]) for id in judgment.samples)
        if abs(a - b) > 1e-9:
            right.append((a > b) == (judgment.answer["winner"] == "a"))
    assert len(right) > 100
    return sum(right) / len(right)


@pytest.mark.parametrize(("n", "seed"), [(3, 0), (3, 1), (4, 2), (5, 0), (5, 3)])
def test_a_panel_agrees_with_the_truth_mostly_but_not_always(n: int, seed: int) -> None:
    members = panel(n, seed)
    assert 0.7 <= accuracy(NEAR, members, seed) <= 0.95
    assert 0.7 <= accuracy(BY_PROMPT, members, seed) <= 0.97      # these differ a lot, so they are easier
    assert all(0.65 <= accuracy(NEAR, [member], seed) <= 0.97 for member in members)


def test_noise_is_what_makes_them_err() -> None:
    by_noise = [accuracy(NEAR, [ScriptedAnnotator(id="x", noise=noise)]) for noise in (1e-4, 0.1, 0.4, 1e3)]
    assert by_noise[0] == 1.0 and by_noise == sorted(by_noise, reverse=True)
    assert by_noise[-1] == pytest.approx(0.5, abs=0.1)


def test_the_chance_to_win_is_bradley_terrys() -> None:
    a, b = say(PASTA, "You can boil it in 2 pots."), say(PASTA, "Boil it, and it is done.")
    member = ScriptedAnnotator(id="x", noise=0.5)
    wins = [member.compare(PASTA, a, b, seed)["winner"] == "a" for seed in range(4_000)]
    gap = (worth(a) - worth(b)) / 0.5
    assert abs(gap) > 0.1
    assert sum(wins) / 4_000 == pytest.approx(1 / (1 + 2.718281828 ** -gap), abs=0.025)      # 3 standard errors


def test_an_answer_depends_on_the_seed_the_annotator_and_the_pair_and_on_nothing_else() -> None:
    pairs = [(a, b) for samples in BY_PROMPT.values() for a, b in itertools.combinations(samples, 2)]
    members = panel(5, 1)
    asked = [(member, a, b) for member in members for a, b in pairs]
    expected = {(member.id, a.id, b.id): member.compare(a.prompt, a, b, 7) for member, a, b in asked}
    random.Random(0).shuffle(asked)
    assert all(member.compare(a.prompt, a, b, 7) == expected[member.id, a.id, b.id] for member, a, b in asked)
    other = {(member.id, a.id, b.id): member.compare(a.prompt, a, b, 8) for member, a, b in asked}
    assert other != expected


def test_without_position_bias_the_side_makes_no_difference_and_with_it_it_does() -> None:
    pairs = [(a, b) for samples in NEAR.values() for a, b in itertools.combinations(samples, 2)]
    fair, biased = ScriptedAnnotator(id="x", noise=0.2), ScriptedAnnotator(id="x", noise=0.2, position_bias=1.0)
    mirror = {"a": "b", "b": "a"}
    assert all(mirror[fair.compare(a.prompt, a, b, 0)["winner"]] == fair.compare(a.prompt, b, a, 0)["winner"]
               for a, b in pairs)
    flips = [mirror[biased.compare(a.prompt, a, b, 0)["winner"]] != biased.compare(a.prompt, b, a, 0)["winner"]
             for a, b in pairs]
    assert 0.1 < sum(flips) / len(flips) < 0.6


def test_length_bias_and_tastes_move_one_annotator_and_not_the_truth() -> None:
    short, long = (say(PASTA, f"Stir it in the pot now{more}.") for more in ("", " and then and once more later on"))
    assert worth(short) == worth(long)
    lover, hater = ScriptedAnnotator(id="x", length_bias=0.05), ScriptedAnnotator(id="x", length_bias=-0.05)
    assert lover.utility(long) > lover.utility(short) and hater.utility(long) < hater.utility(short)
    facts = say(PASTA, "Sure! Salted water and a good stir keep it apart.")
    form = say(PASTA, "You can do it in 2 pots now.")
    strict = ScriptedAnnotator(id="x", tastes={"content": 3.0})
    tidy = ScriptedAnnotator(id="x", tastes={"content": 0.1, "clean": 4.0})
    assert strict.utility(facts) > strict.utility(form) and tidy.utility(facts) < tidy.utility(form)


def test_equal_texts_tie_and_other_prompts_are_refused() -> None:
    member = ScriptedAnnotator(id="x")
    assert member.compare(PASTA, say(PASTA, "Boil it."), say(PASTA, "Boil it.", ended=False), 0) == {"winner": "tie"}
    with pytest.raises(DataError, match="not both of prompt"):
        member.compare(PASTA, say(PASTA, "Boil it."), say(NAILS, "Cut them."), 0)


def test_a_panel_is_fixed_by_its_seed() -> None:
    assert panel(5, 4) == panel(5, 4) != panel(5, 5)
    assert panel(3, 4) == panel(5, 4)[:3]
    assert len({member.id for member in panel(5, 0) + panel(5, 1)}) == 10
    for n in (2, 6):
        with pytest.raises(DataError, match="wanted 3 to 5"):
            panel(n)


def test_judging_does_not_depend_on_the_order_of_prompts_samples_or_annotators() -> None:
    members = panel(3, 0)
    expected = judge(BY_PROMPT, members, 3, pairs_per_prompt=4, overlap=2)
    shuffled = {id: samples[::-1] for id, samples in reversed(BY_PROMPT.items())}
    assert judge(shuffled, members[::-1], 3, pairs_per_prompt=4, overlap=2) == expected
    assert len(expected) == 6 * 4 * 2 and len({judgment.id for judgment in expected}) == 48
    assert judge(BY_PROMPT, members, 4, pairs_per_prompt=4, overlap=2) != expected


def test_sides_are_counterbalanced_within_pairs_and_for_each_annotator() -> None:
    said = judge(NEAR, panel(3, 0), 0, pairs_per_prompt=6, overlap=2)
    by_pair = Counter(tuple(sorted(judgment.samples)) for judgment in said)
    assert set(by_pair.values()) == {2}
    assert len({judgment.samples for judgment in said}) == len(said)         # each pair once this way, once the other
    single = judge(NEAR, panel(3, 0), 0, pairs_per_prompt=6, overlap=1)
    samples = {sample.id: sample for each in NEAR.values() for sample in each}
    for member in panel(3, 0):
        better_first = []
        for judgment in single:
            a, b = (worth(samples[id]) for id in judgment.samples)
            if judgment.annotator_id == member.id and a != b:
                better_first.append(a > b)
        assert sum(better_first) / len(better_first) == pytest.approx(0.5, abs=0.15)


def test_equal_texts_are_never_asked_about_and_too_few_annotators_are_refused() -> None:
    prompt = Prompt(id="p", messages=PASTA.messages)
    same = [say(prompt, "Boil it."), say(prompt, "Boil it.", ended=False), say(prompt, "Stir it.")]
    assert len(judge({"p": same}, panel(3), 0, pairs_per_prompt=5)) == 1
    with pytest.raises(DataError, match="overlap of 4 with 3 annotators"):
        judge({"p": same}, panel(3), 0, pairs_per_prompt=5, overlap=4)


def test_what_the_store_and_training_get_is_an_answer_and_no_truth(store: Store) -> None:
    members = panel(3, 0)
    enroll(store, members)
    enroll(store, members)
    said = judge(BY_PROMPT, members, 0, pairs_per_prompt=5, overlap=3)
    store.add_judgments(said, samples=SAMPLES.values())
    assert {key for judgment in store.judgments() for key in judgment.answer} == {"winner", "strength"}
    assert store.counts() == {"comparison": {"scripted": len(said)}}
    terms = preferences(store)
    assert {term.annotator for term in terms} == {"scripted"} and {term.weight for term in terms} == {3.0}
    assert 0 < sum(term.label < 1 for term in terms) < len(terms)
    assert all("key_facts" not in str(term.to_json()) for term in terms)


def test_ratings_and_thumbs_follow_utility_and_strictness() -> None:
    exact = ScriptedAnnotator(id="x", noise=1e-6)
    samples = [sample for each in BY_PROMPT.values() for sample in each
               if min(abs(exact.utility(sample) - cut) for cut in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8)) > 1e-4]
    stricter = ScriptedAnnotator(id="y", noise=1e-6, strictness=0.2)
    for sample in samples:
        utility = exact.utility(sample)
        assert exact.rate(sample, 0) == {"scores": {"helpful": 1 + sum(utility > cut for cut in (0.2, 0.4, 0.6, 0.8))}}
        assert exact.like(sample, 0) == {"up": utility > 0.5} and stricter.like(sample, 0) == {"up": utility > 0.7}
    assert len(samples) > 20 and len({exact.rate(sample, 0)["scores"]["helpful"] for sample in samples}) >= 4


def test_the_chance_of_a_level_is_a_cumulative_logit() -> None:
    sample = say(PASTA, "You can boil it in 2 pots.")
    member = ScriptedAnnotator(id="x", noise=0.3)
    found = [member.rate(sample, seed)["scores"]["helpful"] for seed in range(4_000)]
    for level, cut in enumerate((0.2, 0.4, 0.6, 0.8), start=1):
        wanted = 1 / (1 + math.exp(-(cut - member.utility(sample)) / 0.3))
        assert sum(each <= level for each in found) / 4_000 == pytest.approx(wanted, abs=0.03)


def test_rankings_are_plackett_luces() -> None:
    """The first place goes to each in proportion to exp(utility / noise); equal texts share one."""
    samples = [say(PASTA, text) for text in ("You can boil it in 2 pots.", "Boil it, and it is done.", "Pasta pasta pasta")]
    member = ScriptedAnnotator(id="x", noise=0.5)
    found = Counter(member.rank(samples, seed)["ranks"].index(1) for seed in range(4_000))
    worths = [math.exp(member.utility(sample) / 0.5) for sample in samples]
    for place, each in enumerate(worths):
        assert found[place] / 4_000 == pytest.approx(each / sum(worths), abs=0.03)
    assert sorted(member.rank([samples[0], samples[0], samples[2]], 0)["ranks"]) in ([1, 1, 2], [1, 2, 2])
