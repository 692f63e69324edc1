"""A kind is one file; its answers are checked, and become neutral training terms."""

import pytest
from feedback_records import PASTA, say

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.records import Judgment

A, B = say(PASTA, "Boil it well and stir it now and then."), say(PASTA, "Pasta is nice.")
SAMPLES = {A.id: A, B.id: B}


def judgment(**answer: object) -> Judgment:
    return kinds.new_judgment("comparison", "ada", "human", PASTA, (A.id, B.id), answer)


def test_every_file_of_the_folder_is_a_kind() -> None:
    assert "comparison" in kinds.names()
    for name in kinds.names():
        asked = kinds.kind(name)
        assert name == asked.NAME and 0 <= asked.NUM_SAMPLES[0] <= asked.NUM_SAMPLES[1] <= 6 and asked.GUIDELINE
        assert set(asked.QUESTION) == set(asked.GUIDELINE_TEXT) == {"en", "zh-CN"}
    with pytest.raises(DataError, match="There are: comparison, critique"):
        kinds.kind("duel")


@pytest.mark.parametrize(("answer", "words"), [
    ({}, "winner is None"),
    ({"winner": "c", "strength": 1}, "winner is 'c'"),
    ({"winner": "a"}, "strength is None"),
    ({"winner": "a", "strength": 4}, "strength is 4"),
    ({"winner": "a", "strength": True}, "strength is True"),
    ({"winner": "tie", "strength": 2}, "only a winner has one"),
    ({"winner": "a", "strength": 1, "why": ""}, "the key 'why'"),
])
def test_an_answer_that_is_none_is_refused_in_words(answer: dict[str, object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        judgment(**answer)


def test_a_comparison_shows_two_different_samples() -> None:
    for shown in [(A.id,), (A.id, A.id), (A.id, B.id, "c")]:
        with pytest.raises(DataError, match="shows 2 different samples"):
            kinds.new_judgment("comparison", "ada", "human", PASTA, shown, {"winner": "tie"})


def test_the_winner_is_chosen_and_strength_is_the_margin() -> None:
    for winner, chosen, rejected in [("a", A, B), ("b", B, A)]:
        for strength, margin in [(1, 0.0), (2, 0.5), (3, 1.0)]:
            said = judgment(winner=winner, strength=strength)
            [term] = kinds.to_preferences(said, SAMPLES)
            assert (term.chosen, term.rejected) == (chosen.response, rejected.response)
            assert (term.label, term.margin, term.weight) == (1.0, margin, 1.0)
            assert (term.prompt, term.annotator, term.judgment_ids) == (PASTA.messages, "human", (said.id,))


def test_a_tie_is_half_and_the_rest_says_nothing_about_which_is_better() -> None:
    [term] = kinds.to_preferences(judgment(winner="tie"), SAMPLES)
    assert (term.label, term.margin) == (0.5, 0.0)
    for winner in ("both_bad", "cannot_judge"):
        assert kinds.to_preferences(judgment(winner=winner), SAMPLES) == []
    with pytest.raises(DataError, match="was not given"):
        kinds.to_preferences(judgment(winner="tie"), {A.id: A})


def test_a_judgment_is_named_by_its_content() -> None:
    first = judgment(winner="a", strength=1)
    assert judgment(strength=1, winner="a") == first
    others = [judgment(winner="a", strength=2), judgment(winner="tie"),
              kinds.new_judgment("comparison", "eve", "human", PASTA, (A.id, B.id), {"winner": "a", "strength": 1}),
              kinds.new_judgment("comparison", "ada", "human", PASTA, (B.id, A.id), {"winner": "a", "strength": 1})]
    assert len({first.id, *(other.id for other in others)}) == 5
