"""Every judgment in its own words, and what a demonstration and a critique with its revision become."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from feedback_records import PASTA, PLANET, say

from tutelage.feedback.aggregation import preferences
from tutelage.feedback.each import MOST_REPLACED, each_judgment
from tutelage.feedback.gathering import gather, gather_each, says_more
from tutelage.feedback.kinds import new_judgment
from tutelage.project import Project
from tutelage.records import Critique, Judgment, Marked, Preference, Prompt, Ranking, Rating, Sample, Thumb
from tutelage.store import Store

A, B, C = (say(PASTA, text) for text in ("Boil it and stir it.", "Pasta is nice.", "Use a lot of water."))


def judge(kind: str, who: str, prompt: Prompt, shown: tuple[Sample, ...], answer: Mapping[str, Any]) -> Judgment:
    return new_judgment(kind, who, "human", prompt, [sample.id for sample in shown], answer)


@pytest.fixture
def full(store: Store) -> Store:
    for who in ("ada", "bob"):
        store.add_person(who, "human", who)
    store.add_samples([A, B, C, say(PLANET, "Mercury.")])
    return store


def test_every_kind_keeps_who_said_it_and_what_it_was(full: Store) -> None:
    full.add_judgments([
        judge("comparison", "ada", PASTA, (A, B), {"winner": "a", "strength": 2}),
        judge("comparison", "bob", PASTA, (A, B), {"winner": "b", "strength": 1}),
        judge("ranking", "ada", PASTA, (A, B, C), {"ranks": [2, 3, 1]}),
        judge("rating", "bob", PASTA, (A,), {"scores": {"helpful": 4}}),
        judge("thumbs", "bob", PASTA, (B,), {"up": False}), judge("spans", "bob", PASTA, (A,), {"marks": []}),
        judge("comparison", "ada", PASTA, (A, C), {"winner": "cannot_judge"})])
    terms, _ = each_judgment(full)
    assert len(terms) == 6 and {(term.source, term.person, type(term)) for term in terms} == {
        ("comparison", "ada", Preference), ("comparison", "bob", Preference), ("ranking", "ada", Ranking),
        ("rating", "bob", Rating), ("thumbs", "bob", Thumb), ("spans", "bob", Marked)}
    assert {term.label for term in preferences(full)} != {1.0}, "pairs are combined, and disagree"


def test_a_demonstration_is_better_than_each_response_there_is_and_weighs_as_one(full: Store) -> None:
    wrote = judge("demonstration", "ada", PASTA, (), {"text": "Stir it in plenty of salted water."})
    full.add_judgments([wrote])
    terms, replaced = each_judgment(full)
    assert {term.rejected for term in terms if isinstance(term, Preference)} == {A.response, B.response, C.response}
    assert {(term.chosen[0].text, term.weight, term.source, term.judgment_ids) for term in terms} == {
        ("Stir it in plenty of salted water.", 1 / 3, "demonstration", (wrote.id,))}
    assert replaced == {A.id, B.id, C.id}
    again, replaced = each_judgment(full, without={A.id})
    assert len(again) == 2 and A.id not in replaced and {term.weight for term in again} == {0.5}
    assert each_judgment(full, without_prompts={PASTA.id})[0] == []


def test_a_demonstration_is_set_against_a_few_and_not_against_itself(full: Store) -> None:
    full.add_judgments([judge("demonstration", "ada", PASTA, (), {"text": "Pasta is nice."})])
    terms, _ = each_judgment(full)
    assert {term.rejected for term in terms if isinstance(term, Preference)} == {A.response, C.response}
    full.add_samples([say(PASTA, f"Answer {n}.") for n in range(20)])
    assert MOST_REPLACED - 1 <= len(each_judgment(full)[0]) <= MOST_REPLACED


def test_a_revision_after_ones_own_critique_is_of_the_words(full: Store) -> None:
    better = "Boil it in salted water and stir it."
    full.add_judgments([judge("critique", "ada", PASTA, (A,), {"text": "It does not say how."}),
                        judge("edit", "ada", PASTA, (A,), {"text": better}), judge("edit", "bob", PASTA, (A,), {"text": better}),
                        judge("critique", "bob", PASTA, (A, C), {"text": "Short.", "sample": 1})])
    terms, _ = each_judgment(full)
    pairs = [term for term in terms if isinstance(term, Preference)]
    assert {(term.source, term.person) for term in pairs} == {("critique", "ada"), ("edit", "bob")}
    assert {(term.chosen[0].text, term.rejected) for term in pairs} == {(better, A.response)}
    assert {(term.source, term.person, term.text, term.response) for term in terms if isinstance(term, Critique)} == {
        ("words", "ada", "It does not say how.", A.response), ("words", "bob", "Short.", C.response)}
    [pair] = preferences(full)
    assert pair.source == "edit" and pair.weight == 2


def test_pairs_say_which_kind_they_are_of_and_can_be_asked_for_by_it(full: Store) -> None:
    full.add_judgments([judge("comparison", "ada", PASTA, (A, B), {"winner": "a", "strength": 1}),
                        judge("ranking", "bob", PASTA, (A, B, C), {"ranks": [1, 2, 3]})])
    for method in ("vote", "reliability"):
        assert sorted(term.source for term in preferences(full, method=method)) == ["", "ranking", "ranking"]
        assert len(preferences(full, method=method, of_kinds={"comparison"})) == 1
        assert {term.source for term in preferences(full, method=method, of_kinds={"ranking"})} == {"ranking"}


def test_what_is_gathered_says_whose_and_whether_it_is_more_than_pairs(tmp_path: Path, full: Store) -> None:
    project = Project.init(tmp_path / "project")
    full.add_judgments([judge("comparison", "ada", PASTA, (A, B), {"winner": "a", "strength": 1})])
    assert not says_more(gather_each(project, full).terms, ())
    full.add_judgments([judge("rating", "bob", PASTA, (C,), {"scores": {"correct": 2}})])
    gathered = gather_each(project, full)
    assert says_more(gathered.terms, ()) and not says_more(gathered.terms, ("comparison",))
    assert gathered.people == {"ada": {"kind": "human", "judgments": 1}, "bob": {"kind": "human", "judgments": 1}}
    assert [type(term) for term in gather(project, full).terms] == [Preference]
