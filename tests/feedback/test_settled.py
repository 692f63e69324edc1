"""A reviewer's word on an item stands for all that was said of it: in preferences, terms, exports and preference sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from feedback_records import PASTA, say

from tutelage.feedback.aggregation import preferences, terms
from tutelage.feedback.assignment import plan
from tutelage.feedback.exchange.giving import export_preferences
from tutelage.feedback.sets import make_preference_set
from tutelage.feedback.summary import summarise
from tutelage.project import Project
from tutelage.records import Preference, Rating
from tutelage.store import NewItem, Store, Terms

NOW = 1_000_000.0
A, B, C = (say(PASTA, text) for text in ("Boil it and stir it.", "Pasta is nice.", "Use a lot of water."))
METHODS = ("vote", "reliability")


class Panel:
    """Three annotators and two reviewers, over items of the samples above."""

    def __init__(self, store: Store) -> None:
        self.store = store
        for person in ("ada", "bob", "cyd", "rae", "rob"):
            store.add_person(person, "human", person.title())
        store.add_samples([A, B, C])

    def item(self, name: str, *shown: Any, kind: str = "comparison", **settings: Any) -> str:
        made = self.store.campaigns.create(name, kind, Terms(overlap=3, settings=settings), None, NOW)
        self.store.campaigns.add_items(made.id, [NewItem(prompt=PASTA, samples=tuple(sample.id for sample in shown))])
        return made.id

    def prefer(self, campaign: str, **winners: Any) -> None:
        """Each person names the sample they think better, None for a tie, wherever it is shown."""
        for person, best in winners.items():
            [task] = self.store.tasks.next(person, campaign, 1, NOW, plan)
            shown = [sample.id for sample in task.samples]
            answer = {"winner": "tie"} if best is None else {"winner": "ab"[shown.index(best.id)], "strength": 1}
            self.store.tasks.submit(task.id, person, answer, f"key-{task.id}", NOW)

    def settle(self, campaign: str, answer: dict[str, Any], reviewer: str = "rae", after: float = 1.0) -> str:
        [item] = self.store.campaigns.items(campaign)
        word = self.store.review.resolve(item.id, reviewer, "judged", NOW + after, answer=answer)
        assert word.judgment is not None
        return word.judgment


@pytest.fixture
def panel(store: Store) -> Panel:
    return Panel(store)


def told(term: Preference) -> tuple[Any, ...]:
    return term.chosen[0].text, term.rejected[0].text, term.label, term.weight, term.judgment_ids


@pytest.mark.parametrize("method", METHODS)
def test_three_judges_who_agree_are_outdone_by_one_reviewer(panel: Panel, method: str) -> None:
    campaign = panel.item("pairs", A, B)
    panel.prefer(campaign, ada=A, bob=A, cyd=A)
    before = [told(term)[:2] for term in preferences(panel.store, method=method)]
    word = panel.settle(campaign, {"winner": "b", "strength": 2})
    after = [told(term) for term in preferences(panel.store, method=method)]
    assert before == [(A.text, B.text)]
    assert after == [(B.text, A.text, 1.0, 1.0, (word,))]


@pytest.mark.parametrize("method", METHODS)
def test_of_several_reviewers_the_last_one_counts_and_of_one_their_last_word(panel: Panel, method: str) -> None:
    campaign = panel.item("pairs", A, B)
    panel.prefer(campaign, ada=A, bob=B)
    for number, (reviewer, winner) in enumerate([("rae", "a"), ("rob", "a"), ("rae", "b"), ("rob", "b")]):
        last = panel.settle(campaign, {"winner": winner, "strength": 1}, reviewer, after=number)
        [term] = preferences(panel.store, method=method)
        assert told(term) == ((A if winner == "a" else B).text, (B if winner == "a" else A).text, 1.0, 1.0, (last,))


@pytest.mark.parametrize("method", METHODS)
def test_what_a_reviewer_cannot_judge_either_teaches_nothing(panel: Panel, method: str) -> None:
    campaign = panel.item("pairs", A, B)
    panel.prefer(campaign, ada=A, bob=A, cyd=B)
    panel.settle(campaign, {"winner": "cannot_judge"})
    assert preferences(panel.store, method=method) == []


@pytest.mark.parametrize("method", METHODS)
def test_a_settled_pair_is_settled_on_every_item_and_other_pairs_are_as_they_were(panel: Panel, method: str) -> None:
    first, again, other = panel.item("pairs", A, B), panel.item("more", B, A), panel.item("others", A, C)
    panel.prefer(first, ada=A, bob=B)
    panel.prefer(again, ada=A, bob=A, cyd=A)
    panel.prefer(other, ada=C, bob=C, cyd=None)
    untouched = {told(term) for term in preferences(panel.store, "human", method="vote") if C.text in told(term)[:2]}
    word = panel.settle(first, {"winner": "tie"})
    found = {frozenset(told(term)[:2]): term for term in preferences(panel.store, method=method)}
    settled = found.pop(frozenset((A.text, B.text)))
    assert (settled.label, settled.weight, settled.judgment_ids) == (0.5, 1.0, (word,))
    [rest] = found.values()
    if method == "vote":
        assert {told(rest)} == untouched and rest.label == pytest.approx(2.5 / 3)
    assert rest.chosen == C.response and len(rest.judgment_ids) == 3


def test_a_judge_who_is_always_overruled_is_found_out_by_it(panel: Panel) -> None:
    """What was overruled teaches the reward model nothing, and still tells of its judge."""
    panel.store.add_samples(more := [say(PASTA, f"Way {number}.") for number in range(12)])
    for number in range(0, 12, 2):
        campaign = panel.item(f"pair {number}", more[number], more[number + 1])
        panel.prefer(campaign, ada=more[number], bob=more[number], cyd=more[number + 1])
        panel.settle(campaign, {"winner": "a", "strength": 1})
    found = {judge.id: judge.reliability.value for judge in summarise(panel.store, resamples=10, refits=10)["human"].judges}
    assert found["cyd"] < 0 < min(found["ada"], found["bob"], found["rae"])
    assert {term.weight for term in preferences(panel.store, method="reliability")} == {1.0}


def test_a_settled_ranking_is_settled_pair_by_pair(panel: Panel) -> None:
    campaign = panel.item("order", A, B, C, kind="ranking", max_samples=3)
    [task] = panel.store.tasks.next("ada", campaign, 1, NOW, plan)
    panel.store.tasks.submit(task.id, "ada", {"ranks": [1, 2, 3]}, "key-of-the-ranking", NOW)
    word = panel.settle(campaign, {"ranks": [3, 2, 1]})
    found = {told(term) for term in preferences(panel.store)}
    assert found == {(C.text, A.text, 1.0, 2 / 3, (word,)), (C.text, B.text, 1.0, 2 / 3, (word,)),
                     (B.text, A.text, 1.0, 2 / 3, (word,))}


def test_terms_of_single_people_are_the_reviewers_where_there_is_one(panel: Panel) -> None:
    campaign = panel.item("stars", A, kind="rating", aspects=["helpful"])
    for person, score in (("ada", 1), ("bob", 2)):
        [task] = panel.store.tasks.next(person, campaign, 1, NOW, plan)
        panel.store.tasks.submit(task.id, person, {"scores": {"helpful": score}}, f"key-{task.id}", NOW)
    panel.settle(campaign, {"scores": {"helpful": 5}})
    [term] = terms(panel.store)
    assert isinstance(term, Rating) and (term.person, dict(term.scores)) == ("rae", {"helpful": 5})


def test_exports_and_preference_sets_hold_the_reviewers_word(panel: Panel, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    campaign = panel.item("pairs", A, B)
    panel.prefer(campaign, ada=A, bob=A)
    before = make_preference_set(project, panel.store, "set")
    panel.settle(campaign, {"winner": "b", "strength": 1})
    after = make_preference_set(project, panel.store, "set")
    assert (before.version, after.version) == (1, 2) and make_preference_set(project, panel.store, "set") == after
    [row] = [json.loads(line) for line in (after.path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert Preference.from_json(row).chosen == B.response
    assert export_preferences(panel.store, tmp_path / "out.jsonl") == (1, 0)
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))["chosen"] == B.text


def test_a_withdrawn_answer_makes_another_preference_set(panel: Panel, tmp_path: Path) -> None:
    project = Project.init(tmp_path / "project")
    campaign = panel.item("pairs", A, B)
    panel.prefer(campaign, ada=A, bob=B, cyd=B)
    first = make_preference_set(project, panel.store, "set")
    [task] = panel.store.tasks.of_person("cyd", campaign)
    panel.store.tasks.undo("cyd", f"key-{task.id}", NOW)
    second = make_preference_set(project, panel.store, "set")
    assert (first.manifest.facts["draws"], second.version, second.manifest.facts["draws"]) == (0, 2, 1)
