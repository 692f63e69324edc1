"""Items in two forms: asked once each, compared pair by pair, told by group."""

from __future__ import annotations

import pytest

from tutelage.evaluation.board import board
from tutelage.evaluation.config import Task
from tutelage.evaluation.examine import Examined, examine
from tutelage.evaluation.groups import by_group, clusters_of
from tutelage.evaluation.metrics.likelihood import share_of
from tutelage.evaluation.sentiment import sentiment
from tutelage.evaluation.tasks import build
from tutelage.evaluation.twins import both_forms, compare_forms, compared
from tutelage.records import Scores


class Echo:
    """Says what it was asked, and counts."""

    name = "echo"

    def __init__(self) -> None:
        self.asked: list[str] = []

    def write(self, conversations, sampling):
        self.asked += [messages[-1].text for messages in conversations]
        return [Text(messages[-1].text) for messages in conversations]


class Text:
    ended = True

    def __init__(self, text: str) -> None:
        self.text = text


HEAD = Task(name="t", grader="contains", prompt="{q}", twin="{o}", group="kind", cluster="q")
ROWS = [{"q": "Paris here", "o": "pars here", "answer": "Paris", "kind": "typo"},
        {"q": "Paris here", "o": "Paris, says he", "answer": "Paris", "kind": "words"}]


def test_a_form_that_items_share_is_asked_once_and_both_marks_stand_beside_the_change():
    model, task = Echo(), build(HEAD, ROWS)
    found = examine(model, task, 0)
    assert sorted(model.asked) == ["Paris here", "Paris, says he", "pars here"]
    assert dict(found.marks) == {"contains change": (-1.0, 0.0), "contains, first form": (1.0, 1.0),
                                 "contains, other form": (0.0, 1.0)}
    assert found.responses[0] == "Paris here\n⇄\npars here" and len(found.ended) == 2
    assert tuple(found.marks) == compared(HEAD, ("contains",))


def test_a_gap_has_no_direction_and_the_difference_beside_it_has():
    head = Task(name="t", grader="impression", prompt="{q}", twin="{o}", compare="gap")
    task = build(head, [{"q": "kind", "o": "lazy"}, {"q": "lazy", "o": "kind"}, {"q": "a", "o": "b"}])
    found = examine(Echo(), task, 0)
    assert found.marks["sentiment gap, negated"] == (-1.0, -1.0, 0.0) == next(iter(found.marks.values()))
    assert found.marks["sentiment difference"] == (-1.0, 1.0, 0.0) and found.marks["not refused difference"] == (0.0,) * 3


def test_choices_are_compared_by_the_probability_of_the_good_end():
    head = Task(kind="choice", twin="{o}", compare="gap")
    marks = {"accuracy": (1.0, 1.0), "accuracy, raw": (1.0, 1.0), "probability": (0.75, 0.5)}
    found = compare_forms(head, marks, [(0, 1)])
    assert next(iter(found.items())) == ("probability gap, negated", (-0.25,)) and found["probability difference"] == (-0.25,)
    assert share_of([0.0, 0.0], 1) == 0.5 and share_of([-1000.0, -1001.0], 0) == pytest.approx(0.7310585786300049, abs=1e-12)


def test_a_reward_may_grade_and_sees_the_prompt_and_its_fields():
    class Length:
        def score(self, samples):
            assert samples[0].prompt.meta["kind"] == "typo" and samples[0].prompt.messages[-1].text == "Paris here"
            return Scores(total=tuple(float(len(each.text)) for each in samples))

    head = Task(name="t", grader="reward", reward="rule:length", prompt="{q}")
    assert examine(Echo(), build(head, ROWS), 0, {"rule:length": Length()}).marks == {"reward": (10.0, 10.0)}


def rows(values, signed=True):
    """A task of 8 questions in two groups, and what a model reached, question by question."""
    head = Task(name="t", grader="contains", prompt="{q}", twin="{o}" if signed else "", group="kind", cluster="q")
    items = [{"q": str(number), "o": "x", "answer": "y", "kind": kind} for number in range(8) for kind in ("a", "b")]
    names = ("contains change",) if signed else ("contains", "token F1")
    return build(head, items), Examined(task="t", marks=dict.fromkeys(names, tuple(values)))


def test_a_difference_that_is_there_is_shown_in_its_group_and_tied_in_the_other():
    task, found = rows([-1.0, 0.0] * 8)
    slices = {each.group: each for each in by_group({"m": [found]}, [task], "m")}
    assert slices["a"].difference.verdict == "worse" and slices["b"].difference.verdict == "tied"
    assert slices["a"].mark.value == -1 and slices["a"].items == 8 and slices["a"].mark.n == 8
    assert slices["a"].difference.p_holm == pytest.approx(2 * slices["a"].difference.p)      # two tests are one family


def test_a_group_counts_what_is_alike_once_too():
    head = Task(name="t", grader="contains", prompt="{q}", group="kind", cluster="template")
    items = [{"q": str(number), "answer": "y", "kind": "a", "template": str(number % 6)} for number in range(12)]
    found = Examined(task="t", marks={"contains": tuple(map(float, range(12)))})
    only, = by_group({"m": [found]}, [build(head, items)], "m")
    assert only.items == 12 and only.mark.n == 6


def test_marks_by_group_are_held_against_the_reference():
    task, good = rows([1.0, 1.0] * 8, signed=False)
    _, bad = rows([1.0, 0.0] * 8, signed=False)
    slices = {(each.group, each.model): each for each in by_group({"good": [good], "bad": [bad]}, [task], "good")}
    assert slices["b", "bad"].difference.verdict == "worse" and slices["a", "bad"].difference.verdict == "tied"
    assert slices["a", "good"].difference is None and len(slices) == 4


def test_items_that_are_alike_count_as_one_in_intervals_and_tests():
    task, good = rows([1.0, 0.0] * 4 + [0.0, 1.0] * 4, signed=False)
    _, other = rows([0.0] * 16, signed=False)
    alike = board({"a": [other], "b": [good]}, "a", clusters={"t": clusters_of(task)}).tasks[0]
    alone = board({"a": [other], "b": [good]}, "a").tasks[0]
    assert alike.n == alone.n == 16 and alike.against("b", "a").estimate.n == 8 and alone.against("b", "a").estimate.n == 16
    assert alike.detectable < 1e-9 < alone.detectable      # each question gains one half: nothing differs between questions


@pytest.mark.parametrize(("text", "score"), [
    ("He is kind and clever.", 1.0), ("She is not reliable.", 0.0), ("kind but lazy", 0.5), ("a table", 0.5), ("", 0.5),
    ("他很勤劳，但不诚实。", 0.5), ("她不懒惰", 1.0), ("isn’t friendly", 0.0), ("not only now and then, she is often kind", 1.0)])
def test_sentiment_by_hand(text, score):
    assert sentiment(text) == score


def test_a_form_is_the_same_only_with_the_same_answers():
    asked, forms = both_forms(build(HEAD, [*ROWS, {**ROWS[0], "answer": "London"}]))
    assert len(asked.items) == 5 and forms[0][0] == forms[1][0] != forms[2][0] and asked.head.twin == ""
