"""The aggregate by reliability beats the vote where judges are planted who lie and lean, and names both."""

import math

import numpy as np
import pytest
from feedback_records import PASTA, ask, say

from tutelage.errors import UsageError
from tutelage.feedback.aggregation import Heard, combine, heard_of, people, preferences
from tutelage.feedback.kinds import new_judgment
from tutelage.feedback.reliability import REMARKS, Judge, combine_by_reliability, judges
from tutelage.records import Preference, Sample
from tutelage.store import Store

# id -> how they judge: reliability (below 0 says the opposite), lean to the side shown first in logits
PLANTED = {"ada": (3.0, 0.0), "bob": (2.0, 0.0), "cyd": (2.0, 0.0), "liar": (-2.5, 0.0), "leaner": (0.5, 2.5)}
WORTH = {"good": 1.0, "fair": 0.0, "poor": -1.0}


def said(seed: int, prompts: int = 40) -> tuple[list[Heard], dict[str, float]]:
    """Comparisons by everybody of each two responses to each prompt, sides alternating; and what each text is worth."""
    rng, heard, worth = np.random.default_rng(seed), [], {}
    for number in range(prompts):
        prompt = ask(f"Question {number}?")
        shown = [say(prompt, f"A {word} answer to {number}.") for word in WORTH]
        worth |= {sample.text: value + 0.3 * rng.normal() for sample, value in zip(shown, WORTH.values(), strict=True)}
        samples = {sample.id: sample for sample in shown}
        for turn, (i, j) in enumerate([(0, 1), (1, 2), (2, 0)]):
            for at, (who, (reliability, lean)) in enumerate(PLANTED.items()):
                a, b = (shown[i], shown[j]) if (number + turn + at) % 2 else (shown[j], shown[i])
                wins = rng.random() < 1 / (1 + math.exp(-reliability * (worth[a.text] - worth[b.text]) - lean))
                answer = {"winner": "a" if wins else "b", "strength": 1}
                judgment = new_judgment("comparison", who, "human", prompt, (a.id, b.id), answer)
                heard += list(heard_of(judgment, samples))
    return heard, worth


def right(terms: list[Preference], worth: dict[str, float]) -> float:
    """Share of pairs whose better response is chosen, a draw half."""
    found = [0.5 if term.label == 0.5 else float(worth[term.chosen[0].text] > worth[term.rejected[0].text]) for term in terms]
    return sum(found) / len(found)


def log_loss(terms: list[Preference], worth: dict[str, float]) -> float:
    """Of the labels against what is better; a label of 0 or 1 counts as 0.02 or 0.98."""
    sure = [min(0.98, term.label) if worth[term.chosen[0].text] > worth[term.rejected[0].text] else max(0.02, 1 - term.label)
            for term in terms]
    return -sum(map(math.log, sure)) / len(sure)


@pytest.mark.parametrize("seed", range(5))
def test_it_beats_the_vote_and_names_who_lies_and_who_leans(seed: int) -> None:
    heard, worth = said(seed)
    voted = combine((each.judge, each.term) for each in heard)
    weighed = combine_by_reliability(heard)
    assert len(voted) == len(weighed) == 120
    assert right(weighed, worth) > right(voted, worth) + 0.04
    assert log_loss(weighed, worth) < log_loss(voted, worth) - 0.1          # sure where it is right
    assert {judge.id: judge.remarks for judge in judges(heard, resamples=60)} == {
        "ada": (), "bob": (), "cyd": (), "liar": ("contradicts",), "leaner": ("leans_first",)}


def test_a_judges_numbers_lie_in_their_intervals_and_the_usual_judge_is_one() -> None:
    heard, _ = said(0)
    twins = [Heard(f"{each.judge}'s twin", each.term, each.chosen_first) for each in heard]
    found = judges([*heard, *twins], resamples=40)
    for judge in found:
        assert judge.reliability.low <= judge.reliability.value <= judge.reliability.high, judge
        assert judge.position.low <= judge.position.value <= judge.position.high, judge
    assert float(np.median([judge.reliability.value for judge in found])) == pytest.approx(1.0)


def test_with_honest_judges_it_agrees_with_the_vote() -> None:
    heard, worth = said(1)
    honest = [each for each in heard if each.judge in ("ada", "bob", "cyd")]
    voted, weighed = combine((each.judge, each.term) for each in honest), combine_by_reliability(honest)
    decided = {term.judgment_ids: term.chosen for term in voted}
    assert np.mean([decided[term.judgment_ids] == term.chosen for term in weighed]) > 0.9
    assert right(weighed, worth) >= right(voted, worth) - 0.02


def test_a_judges_weight_is_one_at_most_and_nothing_depends_on_the_order() -> None:
    heard, _ = said(2, prompts=10)
    terms = combine_by_reliability(heard)
    assert combine_by_reliability(heard[::-1]) == terms
    assert max(term.weight for term in terms) <= len(PLANTED) and min(term.label for term in terms) >= 0.5
    assert all(len(term.judgment_ids) == len(PLANTED) for term in terms)


def test_one_vote_makes_a_response_somewhat_better() -> None:
    a, b = say(PASTA, "Stir it."), say(PASTA, "Hm.")
    judgment = new_judgment("comparison", "ada", "human", PASTA, (a.id, b.id), {"winner": "a", "strength": 3})
    [term] = combine_by_reliability(heard_of(judgment, {a.id: a, b.id: b}))
    assert term.chosen == a.response and 0.6 < term.label < 0.9 and term.margin == 1.0


def test_kinds_of_annotator_are_fitted_apart() -> None:
    heard, _ = said(3, prompts=10)
    models = [Heard(f"model {each.judge}", Preference.from_json({**each.term.to_json(), "annotator": "model"}),
                    each.chosen_first) for each in heard]
    both = combine_by_reliability([*heard, *models])
    assert {term.annotator for term in both} == {"human", "model"}
    humans = [term for term in both if term.annotator == "human"]
    assert humans == combine_by_reliability(heard)


def ranked(texts: str, ranks: list[int], who: str = "ada") -> tuple[list[Heard], dict[str, Sample]]:
    shown = [say(PASTA, text) for text in texts]
    judgment = new_judgment("ranking", who, "human", PASTA, [sample.id for sample in shown], {"ranks": ranks})
    samples = {sample.id: sample for sample in shown}
    return list(heard_of(judgment, samples)), samples


def test_a_ranking_of_k_weighs_k_minus_one() -> None:
    heard, _ = ranked("pqrs", [2, 1, 3, 3])
    assert len(heard) == 6 and sum(each.term.weight for each in heard) == pytest.approx(3)
    words = {(each.term.chosen[0].text, each.term.rejected[0].text): (each.term.label, each.chosen_first) for each in heard}
    assert words == {("q", "p"): (1.0, False), ("p", "r"): (1.0, True), ("p", "s"): (1.0, True), ("q", "r"): (1.0, True),
                     ("q", "s"): (1.0, True), ("r", "s"): (0.5, True)}
    terms = combine((each.judge, each.term) for each in heard)
    assert sum(term.weight for term in terms) == pytest.approx(3)


def test_rankings_and_comparisons_of_one_pair_become_one_term() -> None:
    heard, samples = ranked("pq", [1, 2])
    p, q = samples.values()
    compared = new_judgment("comparison", "bob", "human", PASTA, (q.id, p.id), {"winner": "a", "strength": 1})
    [term] = combine((each.judge, each.term) for each in [*heard, *heard_of(compared, samples)])
    assert term.label == 0.5 and term.weight == 2.0
    assert combine_by_reliability([*heard, *heard_of(compared, samples)])[0].label == pytest.approx(0.5, abs=0.02)


def test_nobody_knows_the_sides_of_what_was_imported_or_edited() -> None:
    a, b = say(PASTA, "Stir it."), say(PASTA, "Hm.")
    samples = {a.id: a, b.id: b}
    imported = new_judgment("comparison", "ada", "human", PASTA, (a.id, b.id), {"winner": "a", "strength": 1}, "imported")
    edited = new_judgment("edit", "ada", "human", PASTA, (a.id,), {"text": "Stir it twice."})
    known = new_judgment("comparison", "ada", "human", PASTA, (b.id, a.id), {"winner": "b", "strength": 1})
    firsts = [next(heard_of(judgment, samples)).chosen_first for judgment in (imported, edited, known)]
    assert firsts == [None, None, False]


def test_the_store_is_aggregated_by_the_method_asked_for(store: Store) -> None:
    a, b = say(PASTA, "Stir it."), say(PASTA, "Hm.")
    store.add_person("ada", "human", "Ada")
    store.add_judgments([new_judgment("comparison", "ada", "human", PASTA, (a.id, b.id), {"winner": "a", "strength": 1})],
                        samples=[a, b])
    [voted], [weighed] = preferences(store), preferences(store, method="reliability")
    assert voted.label == 1.0 and 0.5 < weighed.label < 1.0
    with pytest.raises(UsageError, match="vote or reliability"):
        preferences(store, method="lottery")


def test_remarks_are_in_both_languages() -> None:
    assert all(set(words) == {"en", "zh-CN"} for words in REMARKS.values())
    assert Judge.__doc__ and "reliability" in Judge.__doc__


@pytest.mark.parametrize("method", ["vote", "reliability"])
def test_judgments_over_samples_that_are_gone_do_not_count(store: Store, method: str) -> None:
    a, b, c = (say(PASTA, text) for text in ("Stir it.", "Hm.", "Use salt."))
    store.add_person("ada", "human", "Ada")
    store.add_judgments([new_judgment("comparison", "ada", "human", PASTA, pair, {"winner": "a", "strength": 1})
                         for pair in [(a.id, b.id), (a.id, c.id)]], samples=[a, b, c])
    [term] = preferences(store, method=method, without={c.id})
    assert (term.chosen, term.rejected) == (a.response, b.response)
    assert people(store, {c.id})["ada"]["judgments"] == 1
