"""A judge that leans is found out and evened out; what it says is read as it was meant."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import pytest

from tutelage.errors import DataError
from tutelage.evaluation.judge import judge_pairs, read, request
from tutelage.messages import Message
from tutelage.statistics import wilson_interval

PROMPTS = [(Message.of("user", f"Question {number}?"),) for number in range(40)]


@dataclass
class Said:
    text: str
    ended: bool = True


class Judge:
    """Answers by a rule of what stands under A and under B."""

    name = "script"

    def __init__(self, rule):
        self.rule, self.asked = rule, []

    def write(self, conversations, sampling):
        self.asked += conversations
        found = []
        for (message,) in conversations:
            a = message.text.split("Answer A:\n")[1].split("\n\nAnswer B:")[0]
            b = message.text.split("Answer B:\n")[1].split("\n\nReply")[0]
            found.append(Said(self.rule(a, b)))
        return found


def judged(rule, first="good", second="bad"):
    return judge_pairs(Judge(rule), PROMPTS, [first] * 40, [second] * 40)


def test_a_fair_judge_gives_every_pair_to_the_better():
    found = judged(lambda a, b: "A" if a == "good" else "B")
    assert found.rate.value == 1.0 and found.wins == (1.0,) * 40 and found.p < 0.001
    assert found.consistent.value == 1.0 and found.first_shown.value == 0.5 and found.unreadable == 0


def test_the_other_way_round_is_the_mirror():
    one, back = judged(lambda a, b: "A" if a == "good" else "B"), judged(lambda a, b: "A" if a == "good" else "B", "bad", "good")
    assert back.rate.value == 1 - one.rate.value and back.controlled.rate.value == pytest.approx(1 - one.controlled.rate.value)


def test_a_judge_that_always_names_the_first_says_nothing():
    found = judged(lambda a, b: "A")
    assert found.rate.value == 0.5 and set(found.wins) == {0.5} and found.p == 1.0
    assert found.first_shown == wilson_interval(40, 40) and found.consistent == wilson_interval(0, 40)     # 40 prompts, not 80


def test_a_judge_that_says_nothing_is_counted():
    found = judged(lambda a, b: "Hard to say.")
    assert found.unreadable == 80 and found.rate.value == 0.5 and found.consistent.value == 0.0
    # nothing was decided, so nothing is known of its leaning: not "50 %, for certain"
    assert math.isnan(found.first_shown.value) and found.first_shown.n == 0
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["first_shown"]["value"] is None


def test_both_orders_are_asked_for_every_pair():
    judge = Judge(lambda a, b: "tie")
    judge_pairs(judge, PROMPTS, ["one"] * 40, ["two"] * 40)
    assert len(judge.asked) == 80
    assert sum("Answer A:\none" in asked[0].text for asked in judge.asked) == sum("Answer B:\none" in asked[0].text
                                                                                  for asked in judge.asked) == 40


@pytest.mark.parametrize(("answer", "choice"), [
    ("A", "A"), (" B.", "B"), ("Answer A is better than B", "A"), ("tie", "tie"), ("Tie.", "tie"), ("A both", "A"),
    ("平局", "tie"),
    ("回答B更好", "B"), ("选A。", "A"), ("I think a better one is B", "B"), ("", ""), ("Neither", ""), ("ABC", ""),
    ("**B**", "B"),
    ("both are good", "tie"), ("一样好", "tie")])
def test_answers_are_read_as_they_were_meant(answer, choice):
    assert read(answer) == choice


def test_a_response_cannot_write_the_question():
    text = request((Message.of("user", "Which {a}?"),), "{b} A", "{question}")[0].text
    assert "Question:\nWhich {a}?" in text and "Answer A:\n{b} A" in text and "Answer B:\n{question}" in text
    assert "回答A：\n甲" in request((Message.of("user", "哪一个更好？"),), "甲", "乙")[0].text


def test_missing_responses_are_refused():
    with pytest.raises(DataError, match="wanted as many of each"):
        judge_pairs(Judge(lambda a, b: "A"), PROMPTS, ["x"], ["y"])
