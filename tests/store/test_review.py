"""Disagreements, flags, contests and resolutions: a reviewer's word stands beside those of the annotators."""

from collections.abc import Sequence

import pytest
from campaign_records import ANSWER, NOW, PEOPLE, a_campaign, next_tasks

from tutelage.errors import StoreError
from tutelage.records import Judgment
from tutelage.store import Campaign, Store


def winner(judgment: Judgment) -> str:
    return judgment.samples[0 if judgment.answer["winner"] == "a" else 1]


def spread(said: Sequence[Judgment]) -> float:
    return len({winner(each) for each in said}) - 1.0


@pytest.fixture
def campaign(store: Store) -> Campaign:
    """Three pairs, each judged by two; Ada always prefers the `a` sample, Eve too, but for prompt q1."""
    made = a_campaign(store, num_items=3, overlap=2)
    for person in PEOPLE[:2]:
        for task in next_tasks(store, person, made, 3):
            wanted = "b" if (person, task.prompt.id) == ("eve", "q1") else "a"
            side = "a" if task.samples[0].id.endswith(wanted) else "b"
            store.tasks.submit(task.id, person, {"winner": side, "strength": 1}, task.id, NOW)
    return made


def item(store: Store, campaign: Campaign, prompt: str) -> str:
    return next(each.id for each in store.campaigns.items(campaign.id) if each.prompt.id == prompt)


def test_items_on_which_people_differ_are_found_whatever_side_they_saw(store: Store, campaign: Campaign) -> None:
    (found,) = store.review.disagreements(campaign.id, spread)
    assert (found.item, found.score) == (item(store, campaign, "q1"), 1.0)
    assert {judgment.annotator_id for judgment in found.judgments} == {"ada", "eve"}
    assert [len(said) for _, said in store.review.item_judgments(campaign.id)] == [2, 2, 2]


def test_a_reviewers_word_is_a_judgment_and_takes_the_item_off_the_queue(store: Store, campaign: Campaign) -> None:
    where = item(store, campaign, "q1")
    said = store.review.resolve(where, "bob", "judged", NOW, answer=ANSWER, order=(1, 0), note="b is right")
    kept = {judgment.id: judgment for judgment in store.judgments(campaign=campaign.id)}
    assert said.judgment is not None and kept[said.judgment].samples == ("q1b", "q1a") and len(kept) == 7
    assert store.review.disagreements(campaign.id, spread) == []
    (still,) = store.review.disagreements(campaign.id, spread, unresolved_only=False)
    assert still.is_resolved and len(still.judgments) == 2        # the annotators' own, untouched
    progress = store.progress.of_campaign(campaign.id)
    assert (progress.num_resolved, progress.num_answered, progress.num_wanted) == (1, 6, 6)


def test_a_reviewer_who_changes_their_mind_supersedes_themselves(store: Store, campaign: Campaign) -> None:
    where = item(store, campaign, "q1")
    for number, answer in enumerate([ANSWER, {"winner": "tie"}]):
        last = store.review.resolve(where, "bob", "judged", NOW + number, answer=answer)
    assert [judgment.answer for judgment in store.judgments() if judgment.annotator_id == "bob"] == [{"winner": "tie"}]
    assert store.review.resolutions(campaign.id)[-1] == last


def test_flags_are_raised_once_and_closed_by_a_resolution(store: Store, campaign: Campaign) -> None:
    where = item(store, campaign, "q0")
    flag = store.review.flag(where, "ada", "unsafe", NOW, note="看第二句", key="k1")
    assert store.review.flag(where, "ada", "unsafe", NOW + 9, note="看第二句", key="k1") == flag
    (found,) = store.review.flags(campaign.id)
    assert (found.id, found.person, found.reason, found.note, found.raised_at) == (flag, "ada", "unsafe", "看第二句", NOW)
    other = store.review.flag(where, "eve", "unclear", NOW + 1)
    store.review.resolve(where, "bob", "dismissed", NOW, flag=flag)
    assert [flag.id for flag in store.review.flags(campaign.id)] == [other]
    assert [flag.is_resolved for flag in store.review.flags(campaign.id, open_only=False)] == [True, False]


def test_one_contests_ones_own_answer_only_and_a_reviewer_answers(store: Store, campaign: Campaign) -> None:
    task = store.tasks.of_person("ada", campaign.id)[0]
    with pytest.raises(StoreError, match="nothing to contest"):
        store.review.contest(task.id, "eve", "No.", NOW)
    contest = store.review.contest(task.id, "ada", "The known answer is wrong.", NOW)
    assert store.review.contest(task.id, "ada", "Again.", NOW) == contest
    assert [each.note for each in store.review.contests(person="ada")] == ["The known answer is wrong."]
    store.review.resolve(task.item, "bob", "upheld", NOW, contest=contest, note="True.")
    assert store.review.contests(campaign.id) == []


def test_what_resolves_nothing_is_refused_and_leaves_nothing(store: Store, campaign: Campaign) -> None:
    where, other = item(store, campaign, "q0"), item(store, campaign, "q1")
    flag, before = store.review.flag(where, "ada", "unsafe", NOW), store.digest()
    for arguments, words in [(dict(item="i0", decision="dismissed"), "no item 'i0'"),
                             (dict(item=other, decision="dismissed", flag=flag), "has no flag"),
                             (dict(item=where, decision="upheld", contest="c0"), "has no contest"),
                             (dict(item=where, decision="judged"), "needs an answer"),
                             (dict(item=where, decision="dismissed", answer=ANSWER), "only that one"),
                             (dict(item=other, decision="judged", answer=ANSWER, flag=flag), "has no flag"),
                             (dict(item=where, decision="judged", answer={"x": float("nan")}), "finite"),
                             (dict(item=where, decision="judged", answer=ANSWER, order=(0, 0)), "no order")]:
        with pytest.raises(StoreError, match=words):
            store.review.resolve(reviewer="bob", now=NOW, **arguments)      # type: ignore[arg-type]
    assert store.digest() == before and store.review.resolutions(campaign.id) == []


def test_what_was_withdrawn_is_no_longer_in_the_comparison(store: Store, campaign: Campaign) -> None:
    task = next(each for each in store.tasks.of_person("eve", campaign.id) if each.prompt.id == "q1")
    store.tasks.undo("eve", task.id, NOW)
    assert store.review.disagreements(campaign.id, spread) == []
