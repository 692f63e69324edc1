"""What goes into the store comes out as it was, once, in an order that has nothing to do with time."""

import dataclasses
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from store_records import a_judgment, a_prompt, a_sample

from tutelage.errors import StoreError
from tutelage.store import Store

NewPlace = Callable[[], Path | str]


def test_a_sample_comes_back_with_every_field_it_had(store: Store) -> None:
    text = "第一行\n\0 “quoted” 🙂 \ue0000 \ue000e"
    odd = dataclasses.replace(a_sample("s9"), text=text, ended=False, logprobs=(-1e-30, 0.1 + 0.2))
    assert store.add_samples([odd]) == 1
    assert list(store.samples(["s9"])) == [odd]


def test_a_judgment_comes_back_with_its_samples_in_displayed_order(store: Store) -> None:
    said = [a_judgment("j1", shown=("s2", "s1")), a_judgment("j2", shown=("s1", "s2"), answer={"winner": "tie"})]
    assert store.add_judgments(said) == 2
    assert list(store.judgments()) == said


def test_a_judgment_without_samples_keeps_its_prompt(store: Store) -> None:
    demonstration = a_judgment("d1", shown=(), kind="demonstration", prompt=a_prompt("p7"), answer={"text": "So."})
    store.add_judgments([demonstration])
    assert list(store.judgments("demonstration")) == [demonstration]


def test_reads_are_ordered_by_content_id_whatever_the_order_of_writing(store: Store) -> None:
    names = [f"x{i:03d}" for i in range(40)]
    random.Random(5).shuffle(names)
    for name in names:
        store.add_samples([a_sample(name)])
        store.add_judgments([a_judgment(name)])
    assert [judgment.id for judgment in store.judgments()] == sorted(names)
    assert [sample.id for sample in store.samples()] == ["s1", "s2", *sorted(names)]
    assert [sample.id for sample in store.samples(names)] == sorted(names)


def test_the_digest_depends_on_what_was_said_and_not_on_when(store: Store, new_place: NewPlace) -> None:
    said = [a_judgment("j1"), a_judgment("j2", answer={"winner": "b", "strength": 3})]
    store.add_judgments(said)
    with Store.open(new_place()) as other:
        other.add_person("ada", "human", "Ada")
        other.add_samples([a_sample("s2"), a_sample("s1")])
        other.add_judgments(said[1:])
        assert other.digest() != store.digest()
        other.add_judgments(said[:1])
        assert other.digest() == store.digest()


def test_the_digest_knows_the_order_in_which_samples_were_shown(store: Store, new_place: NewPlace) -> None:
    store.add_judgments([a_judgment("j1", shown=("s1", "s2"))])
    with Store.open(new_place()) as other:
        other.add_person("ada", "human", "Ada")
        other.add_judgments([a_judgment("j1", shown=("s2", "s1"))], samples=store.samples())
        assert other.digest() != store.digest()


def test_the_same_batch_again_is_a_no_op(store: Store) -> None:
    said = [a_judgment("j1"), a_judgment("j2", answer={"winner": "tie"})]
    assert store.add_judgments([*said, said[0]]) == 2
    before = store.digest()
    assert store.add_judgments(said) == 0
    assert store.add_samples([a_sample("s1"), a_sample("s3")]) == 1
    assert store.digest() == before


def test_the_same_id_with_another_content_is_refused_and_takes_the_whole_batch_with_it(store: Store) -> None:
    store.add_judgments([a_judgment("j1")])
    with pytest.raises(StoreError, match="another content"):
        store.add_judgments([a_judgment("j0"), a_judgment("j1", answer={"winner": "b", "strength": 1})])
    with pytest.raises(StoreError, match="twice in this batch"):
        store.add_samples([a_sample("s7"), a_sample("s8"), a_sample("s8", text="Another.")])
    assert [judgment.id for judgment in store.judgments()] == ["j1"]
    assert store.num_samples() == 2


@pytest.mark.parametrize(("bad", "words"), [
    (a_judgment("j2", who="eve"), "does not know"),
    (a_judgment("j2", annotator="model"), "knows them as human"),
    (a_judgment("j2", shown=("s1", "s9")), "does not hold"),
    (a_judgment("j2", prompt=a_prompt("p2")), "answers another"),
    (a_judgment("j2", supersedes="j9"), "not in the store"),
    (a_judgment("j2", answer={"score": float("nan")}), "finite"),
    (a_judgment("j2", guideline="\ud800"), "Unicode"),
])
def test_what_does_not_fit_is_refused_and_the_whole_batch_rolled_back(store: Store, bad: object, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        store.add_judgments([a_judgment("j1"), bad, a_judgment("j3")])      # type: ignore[list-item]
    assert store.counts(current=False) == {}


def test_samples_and_judgments_of_one_call_stand_or_fall_together(store: Store) -> None:
    with pytest.raises(StoreError):
        store.add_judgments([a_judgment("j1", who="eve", shown=("n1", "n2"))], samples=[a_sample("n1"), a_sample("n2")])
    assert store.num_samples() == 2
    assert store.add_judgments([a_judgment("j1", shown=("n1", "n2"))], samples=[a_sample("n1"), a_sample("n2")]) == 1


def test_a_changed_mind_supersedes_and_only_the_last_word_is_current(store: Store) -> None:
    first = a_judgment("j1")
    second = a_judgment("j2", answer={"winner": "b", "strength": 1}, supersedes="j1")
    third = a_judgment("a3", answer={"winner": "tie"}, supersedes="j2")
    store.add_judgments([third, second, first])            # any order: what is superseded goes in first
    assert [judgment.id for judgment in store.judgments()] == ["a3"]
    assert [judgment.id for judgment in store.judgments(current=False)] == ["a3", "j1", "j2"]
    assert store.counts() == {"comparison": {"human": 1}}
    assert store.counts(current=False) == {"comparison": {"human": 3}}


def test_one_supersedes_only_ones_own_last_answer_to_the_same_question(store: Store) -> None:
    store.add_person("eve", "human", "Eve")
    store.add_judgments([a_judgment("j1"), a_judgment("j2", supersedes="j1")])
    for bad, words in [(a_judgment("j3", supersedes="j1"), "has been superseded by 'j2'"),
                       (a_judgment("j3", who="eve", supersedes="j2"), "another person's"),
                       (a_judgment("j3", shown=(), prompt=a_prompt("p2"), supersedes="j2"), "another prompt"),
                       (a_judgment("j3", supersedes="j3"), "circle")]:
        with pytest.raises(StoreError, match=words):
            store.add_judgments([bad])


def test_an_idempotency_key_stands_for_one_answer(store: Store) -> None:
    assert store.add_judgments([a_judgment("j1")], keys={"j1": "key"}) == 1
    assert store.add_judgments([a_judgment("j1")], keys={"j1": "key"}) == 0
    with pytest.raises(StoreError, match="stands for judgment 'j1'"):
        store.add_judgments([a_judgment("j2", answer={"winner": "tie"})], keys={"j2": "key"})


def test_counts_never_mix_annotators(store: Store) -> None:
    store.add_judgments([a_judgment("j1"), a_judgment("j2", who="bot", annotator="scripted"),
                         a_judgment("j3", who="bot", annotator="scripted", shown=("s2", "s1"))])
    assert store.counts() == {"comparison": {"human": 1, "scripted": 2}}
    assert [judgment.id for judgment in store.judgments(annotator="scripted")] == ["j2", "j3"]


def test_unknown_samples_are_named(store: Store) -> None:
    with pytest.raises(StoreError, match="no sample 'n0' and 1 more"):
        list(store.samples(["s1", "n1", "n0"]))


def test_more_ids_than_a_query_can_hold_are_fetched_in_order(store: Store) -> None:
    batch = [a_sample(f"m{i:04d}") for i in range(1_203)]
    assert store.add_samples(batch) == 1_203
    assert list(store.samples(sample.id for sample in reversed(batch))) == batch


def test_people_keep_their_kind_and_their_consents(store: Store) -> None:
    store.add_person("ada", "human", "Ada", "2", consent_text="New.", language="zh-CN", purposes=["training"])
    assert [(person.id, person.annotator, person.consent_version) for person in store.people()] == [
        ("ada", "human", "2"), ("bot", "scripted", "")]
    assert [(row["version"], row["purposes"]) for row in store.consents("ada")] == [
        ("1", ["evaluation", "training"]), ("2", ["training"])]
    with pytest.raises(StoreError, match="Choose another id"):
        store.add_person("ada", "model", "Ada")
    with pytest.raises(StoreError, match="A changed text is a new version"):
        store.add_person("ada", "human", "Ada", consent_version="2", consent_text="Newer.", language="zh-CN")


def test_a_judgment_is_kept_with_the_consent_of_its_day(store: Store) -> None:
    store.add_judgments([a_judgment("j1")])
    store.add_person("ada", "human", "Ada", consent_version="2", consent_text="New.", language="en")
    store.add_judgments([a_judgment("j2", answer={"winner": "tie"})])
    with store._reading() as connection:
        kept = connection.exec_driver_sql("SELECT id, consent_version FROM judgments ORDER BY id").all()
    assert kept == [("j1", "1"), ("j2", "2")]


def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    store.add_judgments([a_judgment(f"j{i}", shown=("s1", "s2")) for i in range(3)])
    reading = store.judgments()
    first = next(reading)
    store.add_judgments([a_judgment("j9")])
    assert [first.id, *(judgment.id for judgment in reading)] == ["j0", "j1", "j2"]
