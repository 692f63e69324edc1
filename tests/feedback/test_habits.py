"""Which side somebody likes, and whether they say the same twice."""

import pytest
from feedback_records import PASTA, ask, say

from tutelage.feedback.agreement import REASONS
from tutelage.feedback.habits import position_bias, self_consistency
from tutelage.feedback.kinds import new_judgment
from tutelage.feedback.summary import MEASURES, agreement_lines
from tutelage.feedback.votes import votes_by_question
from tutelage.records import Judgment


def compared(number: int, winner: str, who: str = "ada", turned: bool = False, guideline: str = "") -> Judgment:
    prompt = ask(f"Question {number}?")
    shown = [say(prompt, text).id for text in ("So.", "No.")]
    answer = {"winner": winner, "strength": 1} if winner in "ab" else {"winner": winner}
    return new_judgment("comparison", who, "human", prompt, shown[::-1] if turned else shown, answer, guideline)


def test_position_bias_is_the_share_of_firsts_among_winners() -> None:
    said = [compared(n, "a" if n < 30 else "b") for n in range(40)] + [compared(50, "tie"), compared(51, "both_bad")]
    found = position_bias(said)
    assert found.value == 0.75 and found.num_items == 40
    assert found.low is not None and found.high is not None and 0.55 < found.low < 0.70 < 0.80 < found.high < 0.90


def test_a_bias_without_exception_has_an_interval_all_the_same() -> None:
    found = position_bias([compared(n, "a") for n in range(10)])
    assert found.value == 1.0 and found.low is not None and 0.6 < found.low < 0.8          # Wilson, 10 of 10: 0.72


def test_of_imports_nobody_knows_the_side() -> None:
    found = position_bias([compared(n, "a", guideline="imported") for n in range(10)])
    assert found.value is None and found.in_words("en") == REASONS["no_winner"]["en"]


def test_the_same_answer_the_other_way_round_is_the_same() -> None:
    """Asked twice, sides turned: says the same response three times of four."""
    said = [compared(n, "a") for n in range(4)]
    said += [compared(n, "b", turned=True) for n in range(3)] + [compared(3, "a", turned=True)]
    assert self_consistency(said).value == 0.75
    votes = votes_by_question(said)["comparison"]
    assert (votes.codes >= 0).sum() == 3                     # where they said two things they have no vote


def test_nobody_asked_twice_is_said_so() -> None:
    found = self_consistency([compared(1, "a"), compared(1, "a", "bob")])
    assert found.value is None and found.reason == "no_duplicates"


def test_votes_are_about_the_content_whatever_the_side() -> None:
    said = [compared(n, "a") for n in range(6)] + [compared(n, "b", "bob", turned=True) for n in range(6)]
    lines = {(line.question, line.measure): line.agreement for line in agreement_lines(said)}
    assert lines["comparison", "percent"].value == 1.0
    assert {measure for _, measure in lines} <= set(MEASURES)


def test_every_kind_with_votes_has_its_question() -> None:
    shown = [say(PASTA, text).id for text in ("one", "two", "three")]
    said = [new_judgment("ranking", "ada", "human", PASTA, shown, {"ranks": [1, 2, 2]}),
            new_judgment("ranking", "bob", "human", PASTA, shown[::-1], {"ranks": [2, 2, 1]}),
            new_judgment("rating", "ada", "human", PASTA, shown[:1], {"scores": {"correct": 4, "polite": 2}}),
            new_judgment("thumbs", "ada", "human", PASTA, shown[:1], {"up": True}),
            new_judgment("label", "ada", "human", PASTA, shown[:1], {"labels": ["b", "a"]}),
            new_judgment("critique", "ada", "human", PASTA, shown[:1], {"text": "Good."})]
    votes = votes_by_question(said)
    assert sorted(votes) == ["label", "ranking", "rating: correct", "rating: polite", "thumbs"]
    ranking = votes["ranking"]
    assert len(ranking.items) == 3 and len(set(ranking.clusters)) == 1       # pairs of one prompt are drawn together
    assert (ranking.codes[:, 0] == ranking.codes[:, 1]).all() and votes["label"].values == (("a", "b"),)


@pytest.mark.parametrize("catalogue", [MEASURES, REASONS])
def test_words_are_in_both_languages(catalogue: dict[str, dict[str, str]]) -> None:
    assert all(set(words) == {"en", "zh-CN"} and all(words.values()) for words in catalogue.values())
