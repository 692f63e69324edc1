"""Giving tasks to people and taking their answers: exactly once, never to more people than asked, nothing lost."""

import random
from collections import Counter

import pytest
from campaign_records import ANSWER, NOW, PEOPLE, a_campaign, an_item, answer_all, check, next_tasks

from tutelage.errors import StoreError
from tutelage.feedback.assignment import plan
from tutelage.store import Quiz, Store, Task, Terms

OTHER = {"winner": "b", "strength": 2}


def first(store: Store, **terms: object) -> Task:
    return next_tasks(store, "ada", a_campaign(store, **terms))[0]


def said(store: Store, current: bool = True) -> list[str]:
    return sorted(judgment.answer["winner"] for judgment in store.judgments(current=current))


def test_a_task_shows_what_the_item_holds_in_the_order_it_says(store: Store) -> None:
    task = first(store, settings={"aspects": ["helpful"]})
    own = store.campaigns.item(task.item).samples
    assert [sample.id for sample in task.samples] == [own[place] for place in task.order]
    assert (task.kind, task.settings, task.guideline) == ("comparison", {"aspects": ["helpful"]}, "comparison-1")
    assert task.prompt == store.campaigns.item(task.item).prompt and task.lease_expires == NOW + 900


def test_asking_again_gives_the_same_tasks_and_begins_their_leases_anew(store: Store) -> None:
    campaign = a_campaign(store)
    before = next_tasks(store, "ada", campaign, 2)
    after = next_tasks(store, "ada", campaign, 3, NOW + 100)
    assert [task.id for task in after[:2]] == [task.id for task in before] and len(after) == 3
    assert {task.lease_expires for task in after} == {NOW + 1_000}


def test_an_item_goes_to_no_more_people_than_asked_and_to_nobody_twice(store: Store) -> None:
    campaign = a_campaign(store, num_items=5, overlap=2)
    given = [task for person in PEOPLE for task in next_tasks(store, person, campaign, 50)]
    assert Counter(task.item for task in given) == {item.id: 2 for item in store.campaigns.items(campaign.id)}
    assert len({(task.person, task.item) for task in given}) == 10


def test_every_person_is_given_the_items_that_the_fewest_have_had(store: Store) -> None:
    campaign = a_campaign(store, num_items=6, overlap=3)
    before = {task.item for task in next_tasks(store, "ada", campaign, 3)}
    assert before.isdisjoint(task.item for task in next_tasks(store, "eve", campaign, 3))


def test_an_answer_becomes_a_judgment_of_what_was_shown(store: Store) -> None:
    task = first(store)
    receipt = store.tasks.submit(task.id, "ada", ANSWER, "k1", NOW + 5, {"decided_ms": 900})
    (judgment,) = store.judgments(campaign=task.campaign)
    assert judgment.id == receipt.judgment and receipt.is_new and receipt.state == "answered"
    assert judgment.samples == tuple(sample.id for sample in task.samples)
    assert (judgment.annotator_id, judgment.annotator, judgment.guideline) == ("ada", "human", "comparison-1")
    check(store)


def test_the_same_key_again_gets_the_same_receipt_and_changes_nothing(store: Store) -> None:
    task = first(store)
    receipt = store.tasks.submit(task.id, "ada", ANSWER, "k1", NOW)
    before = store.digest()
    again = store.tasks.submit(task.id, "ada", ANSWER, "k1", NOW + 9)
    assert (again.judgment, again.is_new) == (receipt.judgment, False) and store.digest() == before
    with pytest.raises(StoreError, match="another answer already"):
        store.tasks.submit(task.id, "ada", OTHER, "k1", NOW)
    check(store)


def test_a_key_is_a_persons_own(store: Store) -> None:
    campaign = a_campaign(store)
    for person in PEOPLE:
        store.tasks.submit(next_tasks(store, person, campaign)[0].id, person, ANSWER, "1", NOW)
    assert len(list(store.judgments())) == 3


def test_another_answer_supersedes_and_back_again_supersedes_once_more(store: Store) -> None:
    task = first(store)
    for number, answer in enumerate([ANSWER, OTHER, ANSWER]):
        store.tasks.submit(task.id, "ada", answer, f"k{number}", NOW)
        check(store)
    assert said(store) == ["a"] and len(said(store, current=False)) == 3
    assert store.tasks.submit(task.id, "ada", OTHER, "k1", NOW).is_new is False       # a retry that came late
    assert said(store) == ["a"]


def test_nobody_answers_skips_or_undoes_for_somebody_else(store: Store) -> None:
    task = first(store)
    for attempt in (lambda: store.tasks.submit(task.id, "eve", ANSWER, "k", NOW), lambda: store.tasks.skip(task.id, "eve")):
        with pytest.raises(StoreError, match="is not 'eve''s"):
            attempt()
    store.tasks.submit(task.id, "ada", ANSWER, "k", NOW)
    with pytest.raises(StoreError, match="nothing to undo"):
        store.tasks.undo("eve", "k", NOW)
    with pytest.raises(StoreError, match="no task"):
        store.tasks.submit("t0", "ada", ANSWER, "k9", NOW)


def test_undo_withdraws_and_gives_the_task_back_as_it_was_shown(store: Store) -> None:
    task = first(store)
    store.tasks.submit(task.id, "ada", ANSWER, "k1", NOW)
    for _ in range(2):                                    # the second time changes nothing
        back = store.tasks.undo("ada", "k1", NOW + 9)
        assert (back.id, back.order, back.state) == (task.id, task.order, "open")
        check(store)
    assert said(store) == [] and len(said(store, current=False)) == 1 and store.counts() == {}
    store.tasks.submit(task.id, "ada", OTHER, "k2", NOW + 10)
    assert said(store) == ["b"]
    with pytest.raises(StoreError, match="has been changed since"):
        store.tasks.undo("ada", "k1", NOW + 11)
    check(store)


def test_what_was_skipped_goes_to_somebody_else_and_not_back(store: Store) -> None:
    campaign = a_campaign(store, num_items=1)
    task = next_tasks(store, "ada", campaign)[0]
    assert next_tasks(store, "eve", campaign) == []
    for _ in range(2):
        store.tasks.skip(task.id, "ada", "I do not know this.")
        check(store)
    assert next_tasks(store, "ada", campaign) == [] and len(next_tasks(store, "eve", campaign)) == 1


def test_what_ran_out_goes_to_the_next_who_asks(store: Store) -> None:
    campaign = a_campaign(store, num_items=1, lease_s=60.0)
    task = next_tasks(store, "ada", campaign)[0]
    assert next_tasks(store, "eve", campaign, now=NOW + 60) == []
    assert [each.item for each in next_tasks(store, "eve", campaign, now=NOW + 61)] == [task.item]
    assert next_tasks(store, "ada", campaign, now=NOW + 62) == []


def test_what_ran_out_on_a_person_may_come_back_to_them_as_it_was(store: Store) -> None:
    campaign = a_campaign(store, num_items=1, lease_s=60.0)
    task = next_tasks(store, "ada", campaign)[0]
    assert store.tasks.release_expired(NOW + 61) == 1 and store.tasks.release_expired(NOW + 61) == 0
    check(store)
    again = next_tasks(store, "ada", campaign, now=NOW + 62)[0]
    assert (again.id, again.state) == (task.id, "open")


def test_an_answer_after_the_lease_counts_while_there_is_room(store: Store) -> None:
    task = first(store, num_items=1, lease_s=60.0)
    store.tasks.release_expired(NOW + 61)
    assert store.tasks.submit(task.id, "ada", ANSWER, "k", NOW + 70).state == "answered"
    check(store)


def test_an_answer_after_the_item_went_to_another_is_kept_as_late(store: Store) -> None:
    campaign = a_campaign(store, num_items=1, lease_s=60.0)
    task = next_tasks(store, "ada", campaign)[0]
    hers = next_tasks(store, "eve", campaign, now=NOW + 61)[0]
    assert store.tasks.submit(task.id, "ada", ANSWER, "k", NOW + 70).state == "late"
    assert store.tasks.submit(hers.id, "eve", ANSWER, "k", NOW + 71).state == "answered"
    check(store)
    assert len(said(store)) == 2
    progress = store.progress.of_campaign(campaign.id)
    assert (progress.num_wanted, progress.num_answered, progress.num_late) == (1, 1, 1)
    assert store.tasks.undo("ada", "k", NOW + 80).state == "expired"
    check(store)


def test_a_paused_campaign_gives_nothing_new_and_still_takes_answers(store: Store) -> None:
    campaign = a_campaign(store)
    task = next_tasks(store, "ada", campaign)[0]
    store.campaigns.set_state(campaign.id, "paused", None, NOW)
    assert [each.id for each in next_tasks(store, "ada", campaign, 3)] == [task.id]
    assert store.tasks.submit(task.id, "ada", ANSWER, "k", NOW).state == "answered"
    assert next_tasks(store, "ada", campaign) == []
    assert store.progress.standing(campaign.id, "ada").why == "paused"


def test_a_quota_is_the_most_a_person_is_given(store: Store) -> None:
    campaign = a_campaign(store, quota=4)
    assert len(next_tasks(store, "ada", campaign, 3)) == 3
    assert len(answer_all(store, "ada", campaign)) == 4
    assert store.progress.standing(campaign.id, "ada").why == "quota"
    assert len(answer_all(store, "eve", campaign)) == 2


def test_only_those_with_the_expertise_and_a_language_are_given_work(store: Store) -> None:
    campaign = a_campaign(store, expertise=("medicine",), languages=("zh-CN",))
    assert next_tasks(store, "ada", campaign) == [] and store.progress.standing(campaign.id, "ada").why == "expertise"
    store.accounts.set_abilities("ada", tags=["medicine", "law"], languages=["en"])
    assert next_tasks(store, "ada", campaign) == [] and store.progress.standing(campaign.id, "ada").why == "language"
    store.accounts.set_abilities("ada", tags=["medicine"], languages=["en", "zh-CN"])
    assert len(next_tasks(store, "ada", campaign)) == 1


def test_items_come_in_a_language_the_person_knows_and_first_where_they_are_expert(store: Store) -> None:
    items = [an_item(store, 0), an_item(store, 1, language="zh-CN"), an_item(store, 2, tags=("law",)),
             an_item(store, 3, tags=("medicine",))]
    campaign = a_campaign(store, items=items, overlap=3)
    store.accounts.set_abilities("ada", tags=["medicine"], languages=["en"])
    assert [task.prompt.id for task in next_tasks(store, "ada", campaign, 4)] == ["q3", "q0", "q2"]


def test_sides_are_even_for_every_person_and_item(store: Store) -> None:
    campaign = a_campaign(store, num_items=20, overlap=2)
    for person in PEOPLE[:2]:
        orders = Counter(task.order for task in answer_all(store, person, campaign))
        assert orders == {(0, 1): 10, (1, 0): 10}
        progress = store.progress.of_person(campaign.id, person)
        assert (progress.num_first, progress.num_second) == (10, 10)


def test_gold_comes_at_its_share_and_goes_to_everybody(store: Store) -> None:
    campaign = a_campaign(store, num_items=44, gold=range(40, 44), gold_share=0.1)
    for person in PEOPLE[:2]:
        given = answer_all(store, person, campaign, limit=20, is_right=None)
        assert Counter(task.purpose for task in given) == {"work": 18, "gold": 2}
    assert store.progress.of_campaign(campaign.id).num_gold == 4


def test_a_planned_repeat_comes_later_with_its_sides_changed(store: Store) -> None:
    campaign = a_campaign(store, num_items=18, duplicate_share=0.1)
    given = answer_all(store, "ada", campaign)
    repeats = [place for place, task in enumerate(given) if task.is_repeat]
    assert len(repeats) == 2 and len(given) == 20
    for place in repeats:
        before = next(at for at, task in enumerate(given) if task.item == given[place].item)
        assert place - before > 5 and given[place].order == given[before].order[::-1]
    assert store.progress.of_campaign(campaign.id).num_answered == 18
    assert len(said(store)) == 20
    pairs = list(store.review.repeats(campaign.id))
    assert len(pairs) == 2 and all(one.samples == two.samples[::-1] for one, two in pairs)
    assert {two.id for _, two in pairs} == {store.tasks.get(given[place].id).judgment for place in repeats}


def test_a_quiz_of_gold_items_comes_first_and_gates_the_work(store: Store) -> None:
    campaign = a_campaign(store, num_items=6, gold=(4, 5))
    asked = tuple(item.id for item in store.campaigns.items(campaign.id) if item.purpose == "gold")
    store.campaigns.revise(campaign.id, Terms(quiz=Quiz(pass_mark=0.5, items=asked)), None, NOW)
    for person, marks, why in [("ada", (True, False), ""), ("eve", (False, False), "quiz failed")]:
        assert store.progress.standing(campaign.id, person).why == ""
        for number, (task, is_right) in enumerate(zip(next_tasks(store, person, campaign, 9), marks, strict=True)):
            assert task.item in asked
            store.tasks.submit(task.id, person, ANSWER, f"q{number}", NOW, is_right=is_right)
        standing = store.progress.standing(campaign.id, person)
        assert (standing.why, standing.quiz.num_right) == (why, sum(marks))
    assert len(next_tasks(store, "ada", campaign, 9)) == 4 and next_tasks(store, "eve", campaign) == []


def test_a_campaign_may_be_another_ones_quiz(store: Store) -> None:
    quiz = a_campaign(store, num_items=3, gold=range(3), name="quiz")
    campaign = a_campaign(store, quiz=Quiz(pass_mark=1.0, campaign=quiz.id))
    assert next_tasks(store, "ada", campaign) == [] and store.progress.standing(campaign.id, "ada").why == "quiz"
    assert len(answer_all(store, "ada", quiz, is_right=True)) == 3
    assert len(next_tasks(store, "ada", campaign)) == 1 and next_tasks(store, "eve", campaign) == []


def test_a_plan_that_chooses_what_is_no_candidate_is_refused(store: Store) -> None:
    campaign = a_campaign(store)

    def stray(*arguments: object) -> list[object]:
        return [type(choice)(item="elsewhere", order=choice.order) for choice in plan(*arguments)]    # type: ignore[arg-type]

    with pytest.raises(StoreError, match="no candidate"):
        store.tasks.next("ada", campaign.id, 1, NOW, stray)       # type: ignore[arg-type]


def test_unknown_people_campaigns_and_unfit_answers_are_refused_and_nothing_is_kept(store: Store) -> None:
    campaign = a_campaign(store)
    for person, where, words in [("nobody", campaign.id, "does not know 'nobody'"), ("ada", "c0", "no campaign 'c0'")]:
        with pytest.raises(StoreError, match=words):
            store.tasks.next(person, where, 1, NOW, plan)
    task = next_tasks(store, "ada", campaign)[0]
    with pytest.raises(StoreError, match="finite"):
        store.tasks.submit(task.id, "ada", {"score": float("nan")}, "k", NOW)
    with pytest.raises(StoreError, match="finite"):
        store.tasks.submit(task.id, "ada", ANSWER, "k", NOW, {"decided_ms": float("inf")})
    assert store.counts(current=False) == {}
    check(store)


@pytest.mark.parametrize("seed", range(2))
def test_whatever_people_do_in_whatever_order_the_books_are_right(store: Store, seed: int) -> None:
    draw, now, keys = random.Random(seed), NOW, []
    campaign = a_campaign(store, num_items=8, gold=(7,), overlap=2, gold_share=0.2, duplicate_share=0.2, lease_s=50.0)
    seen: list[Task] = []
    for step in range(80):
        person, now = draw.choice(PEOPLE), now + draw.choice([1, 5, 30])
        mine = [task for task in seen if task.person == person]
        what = draw.random()
        try:
            if what < 0.4 or not mine:
                seen += store.tasks.next(person, campaign.id, draw.randint(1, 3), now, plan)
            elif what < 0.8:
                store.tasks.submit(draw.choice(mine).id, person, draw.choice([ANSWER, OTHER]), f"k{step}", now)
                keys.append((person, f"k{step}"))
            elif what < 0.9:
                store.tasks.skip(draw.choice(mine).id, person)
            elif keys:
                store.tasks.undo(*draw.choice(keys), now)
        except StoreError as error:
            assert "answered. Undo" in str(error) or "changed since" in str(error)
        check(store)
    assert len(keys) == len(said(store, current=False))        # every acknowledged answer, once
