"""What a lead sets up: campaigns, their terms over time, their items, and the guidelines people are told."""

import dataclasses

import pytest
from campaign_records import ANSWER, NOW, a_campaign, an_item, answer_all, next_tasks
from store_records import a_prompt, a_sample

from tutelage.errors import StoreError
from tutelage.store import NewItem, Quiz, Store, Terms


def test_a_campaign_comes_back_as_it_was_made(store: Store) -> None:
    terms = Terms(settings={"aspects": ["helpful", "polite"], "max": 5}, guideline="g-1", overlap=3, quota=9,
                  expertise=("law",), languages=("en", "zh-CN"), gold_share=0.1, duplicate_share=0.05, lease_s=60.5)
    made = store.campaigns.create("rate", "rating", terms, "ada", NOW, seed=4)
    assert store.campaigns.get(made.id) == made and made.terms == terms and store.campaigns.all() == [made]
    with pytest.raises(StoreError, match="a campaign 'rate' already"):
        store.campaigns.create("rate", "rating", terms, "ada", NOW)


def test_a_campaign_comes_with_all_of_its_items_or_not_at_all(store: Store) -> None:
    store.add_samples([a_sample("s1"), a_sample("s2")])
    good, bad = NewItem(prompt=a_prompt(), samples=("s1", "s2")), NewItem(prompt=a_prompt(), samples=("s1", "s9"))
    with pytest.raises(StoreError, match="does not hold"):
        store.campaigns.create("both", "comparison", Terms(), "ada", NOW, asks=[good, bad])
    assert store.campaigns.all() == [] and list(store.audit.lines()) == []
    made = store.campaigns.create("both", "comparison", Terms(), "ada", NOW, asks=[good])
    assert made.state == "open" and [item.samples for item in store.campaigns.items(made.id)] == [("s1", "s2")]


def test_changed_terms_are_a_new_version_and_what_was_asked_stays_as_it_was_asked(store: Store) -> None:
    campaign = a_campaign(store, settings={"aspects": ["helpful"]})
    held = next_tasks(store, "ada", campaign)[0]
    revised = dataclasses.replace(campaign.terms, settings={"aspects": ["polite"]}, guideline="comparison-2", overlap=2)
    assert store.campaigns.revise(campaign.id, revised, "ada", NOW).version == 2
    assert store.campaigns.revise(campaign.id, revised, "ada", NOW).version == 2      # the same again is no change
    assert store.campaigns.versions(campaign.id) == [campaign.terms, revised]
    again, new = next_tasks(store, "ada", campaign, 2)
    assert (again.id, again.settings, again.guideline) == (held.id, {"aspects": ["helpful"]}, "comparison-1")
    assert (new.settings, new.guideline) == ({"aspects": ["polite"]}, "comparison-2")
    for number, task in enumerate((again, new)):
        store.tasks.submit(task.id, "ada", ANSWER, f"k{number}", NOW)
    assert sorted(judgment.guideline for judgment in store.judgments()) == ["comparison-1", "comparison-2"]
    assert len(next_tasks(store, "eve", campaign, 9)) == 6        # the new overlap


@pytest.mark.parametrize("terms", [
    Terms(overlap=0), Terms(quota=0), Terms(lease_s=0), Terms(gold_share=1.5), Terms(gold_share=0.6, duplicate_share=0.6),
    Terms(quiz=Quiz(pass_mark=2, items=("i",))), Terms(quiz=Quiz(pass_mark=0.5)), Terms(settings={"x": float("nan")}),
    Terms(quiz=Quiz(pass_mark=0.5, items=("unknown",))), Terms(quiz=Quiz(pass_mark=0.5, campaign="unknown"))])
def test_terms_that_make_no_sense_are_refused(store: Store, terms: Terms) -> None:
    with pytest.raises(StoreError):
        store.campaigns.create("x", "comparison", terms, None, NOW)
    assert store.campaigns.all() == [] and list(store.audit.lines()) == []


def test_the_same_item_again_is_no_new_item(store: Store) -> None:
    campaign = a_campaign(store, num_items=3)
    before = list(store.campaigns.items(campaign.id))
    assert store.campaigns.add_items(campaign.id, [an_item(store, number) for number in (2, 3)]) == 1
    after = list(store.campaigns.items(campaign.id))
    assert after[:3] == before and [item.prompt.id for item in after] == ["q0", "q1", "q2", "q3"]
    assert after[3].samples == ("q3a", "q3b")


def test_items_without_samples_ask_people_to_write(store: Store) -> None:
    campaign = a_campaign(store, items=[NewItem(prompt=a_prompt("write"), language="en")])
    task = next_tasks(store, "ada", campaign)[0]
    assert task.samples == () and task.order == () and task.prompt.id == "write"
    store.tasks.submit(task.id, "ada", {"text": "So."}, "k", NOW)
    assert next(store.judgments()).samples == ()


@pytest.mark.parametrize(("item", "words"), [
    (NewItem(prompt=a_prompt(), samples=("s1", "s9")), "does not hold"),
    (NewItem(prompt=a_prompt("p2"), samples=("s1",)), "answers 'p1'"),
    (NewItem(prompt=a_prompt(), samples=("s1", "s1")), "twice"),
    (NewItem(prompt=a_prompt(), is_attention=True), "no known answer"),
    (NewItem(prompt=a_prompt(), gold={"x": float("inf")}), "finite")])
def test_an_item_that_does_not_fit_takes_its_whole_batch_with_it(store: Store, item: NewItem, words: str) -> None:
    campaign = a_campaign(store, num_items=1)
    with pytest.raises(StoreError, match=words):
        store.campaigns.add_items(campaign.id, [an_item(store, 5), item])
    assert len(list(store.campaigns.items(campaign.id))) == 1


def test_more_items_than_a_query_can_hold(store: Store) -> None:
    store.add_samples(a_sample(f"m{number:04d}") for number in range(1_100))
    campaign = a_campaign(store, items=[NewItem(prompt=a_prompt(), samples=(f"m{number:04d}",)) for number in range(1_100)])
    assert [item.samples[0] for item in store.campaigns.items(campaign.id)] == [f"m{number:04d}" for number in range(1_100)]


def test_guidelines_have_versions_that_hold_all_their_languages(store: Store) -> None:
    publish = store.campaigns.publish_guideline
    first = {"en": "Be kind.", "zh-CN": "与人为善。"}
    assert publish("kindness", first, "ada", NOW) == "kindness-1"
    assert publish("kindness", first, "ada", NOW) == "kindness-1"
    assert publish("kindness", {**first, "en": "Be kinder."}, "ada", NOW) == "kindness-2"
    assert store.campaigns.guideline("kindness-1") == first and store.campaigns.guideline("kindness-9") == {}
    assert store.campaigns.guideline("comparison") == {}
    with pytest.raises(StoreError, match="a text in every language"):
        publish("kindness", {"en": " "}, "ada", NOW)


def test_judgments_are_read_by_campaign(store: Store) -> None:
    one, two = a_campaign(store, num_items=2, name="one"), a_campaign(store, num_items=3, name="two")
    answer_all(store, "ada", one)
    answer_all(store, "eve", two)
    for campaign, count, person in ((one, 2, "ada"), (two, 3, "eve")):
        found = list(store.judgments(campaign=campaign.id))
        assert len(found) == count and {judgment.annotator_id for judgment in found} == {person}


def test_the_pace_is_answers_by_step_of_time(store: Store) -> None:
    campaign = a_campaign(store)
    for number, at in enumerate([NOW, NOW + 10, NOW + 3_700]):
        store.tasks.submit(next_tasks(store, "ada", campaign)[0].id, "ada", ANSWER, f"k{number}", at)
    assert store.progress.recent(campaign.id, NOW) == [(NOW, 2), (NOW + 3_600, 1)]
    assert store.progress.of_person(campaign.id, "ada").last_at == NOW + 3_700
    assert [each.person for each in store.progress.of_people(campaign.id)] == ["ada"]
