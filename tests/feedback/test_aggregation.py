"""Several judges of one pair become one term that keeps their disagreement."""

import random

import pytest
from feedback_records import PASTA, PLANET, say

from tutelage.feedback.aggregation import combine, preferences
from tutelage.feedback.kinds import new_judgment, to_preferences
from tutelage.records import AnnotatorKind, Judgment, Sample
from tutelage.store import Store

A, B, C = (say(PASTA, text) for text in ("Boil it and stir it.", "Pasta is nice.", "Use a lot of water."))
PEOPLE: dict[str, AnnotatorKind] = {"ada": "human", "bob": "human", "cyd": "human", "gpt": "model", "bot": "scripted"}


def vote(who: str, shown: tuple[Sample, Sample], winner: str, strength: int = 1,
         supersedes: str | None = None) -> Judgment:
    answer = {"winner": winner, "strength": strength} if winner in "ab" else {"winner": winner}
    ids = [sample.id for sample in shown]
    return new_judgment("comparison", who, PEOPLE[who], shown[0].prompt, ids, answer, supersedes=supersedes)


@pytest.fixture
def full(store: Store) -> Store:
    for who, kind in PEOPLE.items():
        store.add_person(who, kind, who)
    store.add_samples([A, B, C, say(PLANET, A.text), say(PLANET, B.text)])
    return store


def test_two_votes_to_one_are_a_label_of_two_thirds_and_a_weight_of_three(full: Store) -> None:
    said = [vote("ada", (A, B), "a", 3), vote("bob", (B, A), "b", 2), vote("cyd", (A, B), "b", 1)]
    full.add_judgments(said)
    [term] = preferences(full)
    assert (term.chosen, term.rejected) == (A.response, B.response)          # whichever side it was shown on
    assert term.label == pytest.approx(2 / 3) and term.weight == 3.0
    assert term.margin == pytest.approx((1.0 + 0.5 - 0.0) / 3)
    assert term.judgment_ids == tuple(sorted(judgment.id for judgment in said))


def test_the_label_is_the_share_of_the_one_that_is_chosen(full: Store) -> None:
    full.add_judgments([vote("ada", (A, B), "b"), vote("bob", (A, B), "b"), vote("cyd", (A, B), "tie")])
    [term] = preferences(full)
    assert term.chosen == B.response and term.label == pytest.approx(2.5 / 3)


def test_kinds_of_annotator_never_meet_in_one_term(full: Store) -> None:
    winners = {"ada": "a", "gpt": "b", "bot": "a", "bob": "a"}
    full.add_judgments([vote(who, (A, B), winner) for who, winner in winners.items()])
    terms = {term.annotator: term for term in preferences(full)}
    assert {kind: (term.chosen == A.response, term.weight) for kind, term in terms.items()} == {
        "human": (True, 2.0), "model": (False, 1.0), "scripted": (True, 1.0)}
    assert [term.annotator for term in preferences(full, "model")] == ["model"]


def test_a_draw_is_a_half_and_its_side_does_not_depend_on_who_came_first(full: Store) -> None:
    said = [vote("ada", (A, B), "a"), vote("bob", (A, B), "b")]
    samples = {A.id: A, B.id: B}
    terms = [(judgment.annotator_id, term) for judgment in said for term in to_preferences(judgment, samples)]
    assert combine(terms) == combine(terms[::-1])
    assert combine(terms)[0].label == 0.5 and combine(terms)[0].margin == 0.0


def test_a_judge_who_was_asked_twice_is_one_judge(full: Store) -> None:
    full.add_judgments([vote("ada", (A, B), "a"), vote("ada", (B, A), "a"), vote("bob", (A, B), "a")])
    [term] = preferences(full)
    assert term.weight == 2.0 and term.label == pytest.approx((0.5 + 1.0) / 2)


def test_superseded_and_empty_answers_have_no_vote(full: Store) -> None:
    first = vote("ada", (A, B), "a")
    full.add_judgments([first, vote("ada", (A, B), "b", supersedes=first.id), vote("bob", (A, B), "both_bad"),
                        vote("cyd", (A, C), "cannot_judge")])
    [term] = preferences(full)
    assert term.chosen == B.response and term.weight == 1.0


def test_the_same_two_texts_to_another_prompt_are_another_pair(full: Store) -> None:
    other = (say(PLANET, A.text), say(PLANET, B.text))
    full.add_judgments([vote("ada", (A, B), "a"), vote("ada", other, "a")])
    assert len(preferences(full)) == 2


def test_terms_do_not_depend_on_the_order_of_judgments_and_carry_no_truth() -> None:
    rng = random.Random(3)
    samples = {sample.id: sample for sample in (A, B, C)}
    said = [vote(who, pair, rng.choice("ab"), rng.choice((1, 2, 3)))
            for who in PEOPLE for pair in ((A, B), (B, C), (C, A))]
    terms = [(judgment.annotator_id, term) for judgment in said for term in to_preferences(judgment, samples)]
    expected = combine(terms)
    for _ in range(5):
        rng.shuffle(terms)
        assert combine(terms) == expected
    assert [term.id for term in expected] == sorted(term.id for term in expected)
    assert all("key_facts" not in str(term.to_json()) and "salt" not in str(term.to_json()) for term in expected)
