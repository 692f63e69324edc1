"""Judgments as items: each pair once, with who said what of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest

from tutelage.errors import DataError
from tutelage.evaluation.judged_pairs import Item, Voice, items_of, judgments_of, sample_of
from tutelage.messages import Message, Messages
from tutelage.records import Instruction, Preference, Ranking, Rating, Thumb

Prefer = Callable[..., Preference]


def said(text: str) -> Messages:
    return (Message.of("assistant", text),)


def only(voices: Sequence[Voice]) -> Item:
    item, = items_of(voices)
    return item


def test_two_against_one_whichever_way_round_they_wrote_it(preference: Prefer) -> None:
    """Two say good is better, one says bad is: share 2/3; of the three pairs of judges one agrees."""
    voices = [Voice(term=preference("p", "good", "bad", person="a")),
              Voice(term=preference("p", "good", "bad", id="2", person="b")),
              Voice(term=preference("p", "bad", "good", person="c"))]
    for order in permutations(voices):
        item = only(order)
        assert item.better[0].text == "good" and item.share == pytest.approx(2 / 3) and item.judges == 3
        assert item.agreement == pytest.approx(1 / 3)


def test_agreement_is_the_mean_over_pairs_of_judges_and_a_tie_a_coin(preference: Prefer) -> None:
    draw = random.Random(0)
    for _ in range(50):
        votes = [draw.choice([0.0, 0.5, 1.0]) for _ in range(draw.randint(2, 6))]
        item = only([Voice(term=preference("p", "one", "two", id=f"{n}", person=f"{n}", label=vote))
                     for n, vote in enumerate(votes)])
        each = [a * b + (1 - a) * (1 - b) for (i, a), (j, b) in permutations(enumerate(votes), 2)]
        assert item.agreement == pytest.approx(sum(each) / len(each))
        assert item.share == pytest.approx(max(sum(votes), len(votes) - sum(votes)) / len(votes))


def test_votes_that_were_combined_before_count_as_many(preference: Prefer) -> None:
    """Three of four: of the six pairs of judges three agree."""
    item = only([Voice(term=preference("p", "one", "two", label=0.75, judgment_ids=("1", "2", "3", "4")))])
    assert (item.judges, item.share, item.agreement) == (4, 0.75, 0.5)


def test_who_was_asked_twice_is_one_judge_and_a_row_that_stands_twice_is_one(preference: Prefer) -> None:
    twice = [Voice(term=preference("p", "a", "b", id="1", person="x")), Voice(term=preference("p", "b", "a", id="2", person="x"))]
    assert (only(twice).judges, only(twice).share, only(twice).agreement) == (1, 0.5, None)
    row = Voice(term=preference("p", "a", "b"))
    assert only([row, row]).judges == 1
    assert only([row, Voice(term=preference("p", "b", "a"))]).judges == 2


def test_kinds_of_annotators_never_meet_in_one_item(preference: Prefer) -> None:
    items = items_of([Voice(term=preference("p", "a", "b")), Voice(term=preference("p", "a", "b", id="2", annotator="model"))])
    assert [item.annotator for item in items] == ["human", "model"]
    assert items_of([Voice(term=preference("p", "same", "same"))]) == []


def test_where_the_better_one_stood(preference: Prefer) -> None:
    """Chosen and shown first by two, chosen and shown second by one, the other chosen and shown first by one."""
    voices = [Voice(term=preference("p", "a", "b", id="1", person="1"), chosen_first=True),
              Voice(term=preference("p", "a", "b", id="2", person="2"), chosen_first=True),
              Voice(term=preference("p", "a", "b", id="3", person="3"), chosen_first=False),
              Voice(term=preference("p", "b", "a", id="4", person="4"), chosen_first=True)]
    item = only(voices)
    assert item.better[0].text == "a" and item.shown == 0.0      # a was shown first, first, second, second
    assert only(voices[:3]).shown == pytest.approx(1 / 3)
    assert only([Voice(term=preference("p", "a", "b"))]).shown is None


def test_rankings_ratings_and_thumbs(preference: Prefer) -> None:
    asked = (Message.of("user", "p"),)
    ranking = Ranking(id="r", prompt=asked, responses=(said("x"), said("y"), said("z")), ranks=(2, 1, 2))
    rated: list[Any] = [Rating(id=name, prompt=asked, response=said(name), scores=scores, person=who) for name, scores, who in (
        ("u", {"good": 1.0, "true": 4.0}, "m"), ("v", {"good": 5.0, "true": 4.0}, "m"), ("w", {"good": 2.0}, "m"),
        ("q", {"good": 3.0, "true": 3.0}, "n"))]
    found = judgments_of([ranking, *rated, Thumb(id="t", prompt=asked, response=said("x"), up=True)])
    items = items_of(found.voices)
    assert [(item.kind, item.better[0].text, item.worse[0].text, item.share) for item in items[:2]] == [
        ("ranking", "y", "x", 1.0), ("ranking", "x", "z", 0.5)]
    assert [(item.kind, item.better[0].text, item.worse[0].text, item.margin, item.quotes) for item in items[3:]] == [
        ("rating", "v", "u", 2.0, ("u", "v"))]      # w lacks an aspect, q is somebody else's
    assert len(items) == 4 and len(found.ratings) == 4 and len(found.thumbs) == 1


def test_other_records_are_refused() -> None:
    row = Instruction(id="i", messages=((Message.of("user", "a")), Message.of("assistant", "b")))
    with pytest.raises(DataError, match="got a record of kind instruction"):
        judgments_of([row])


def test_of_several_turns_the_last_is_the_response() -> None:
    asked = (Message.of("user", "p"),)
    sample = sample_of(asked, (Message.of("assistant", "one"), Message.of("user", "more"), Message.of("assistant", "two")))
    assert [message.text for message in sample.prompt.messages] == ["p", "one", "more"] and sample.text == "two"
