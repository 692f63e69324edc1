"""Verifiable rules: right is 1, wrong is 0, and what cannot be told is neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tutelage.errors import ConfigError, RewardError
from tutelage.records import Sample
from tutelage.rewards.rules import final_answer, load_rule
from tutelage.rewards.words import Called
from tutelage.scoring import Scoring

Say = Callable[..., Sample]


@pytest.fixture
def verdict(sample: Say) -> Callable[..., float]:
    def of(rule: str, response: str, wanted: str = "", **meta: Any) -> float:
        said = sample("p", response)
        return load_rule(rule, Scoring()).score([replace(said, prompt=replace(said.prompt, wanted=wanted, meta=meta))]).total[0]
    return of


@pytest.mark.parametrize(("rule", "response", "wanted", "right"), [
    ("exact", " Paris\n", "Paris", True), ("exact", "Paris.", "Paris", False), ("exact", "paris", "Paris", False),
    ("exact(case=no)", "paris", "Paris", True),
    ("answer", "3 + 4 = 7, so 7.", "#### 7", True), ("answer", "7 + 4 = 3", "7", False),
    ("answer", "It costs $1,200.", "So it is\n#### 1200.00", True), ("answer", "from 10 to -5", "-5", True),
    ("answer", "5-3", "3", True), ("answer", "no idea", "7", False),
    ("answer", r"So \boxed{\frac{1}{2}} it is, 3 times", r"\boxed{\frac{1}{2}}", True),
    ("answer", "<answer> new  York </answer> 5", "<answer>New York</answer>", True), ("answer", "Paris", "Paris", True),
    (r"regex('\bcat\b')", "a cat sat", "", True), (r"regex('\bcat\b')", "concatenate", "", False),
    (r"regex('[0-9]+', full=yes)", "123", "", True), (r"regex('[0-9]+', full=yes)", "123.", "", False),
    ("json", '{"a": 1}', "", True), ("json", "[1, 2", "", False), ("json", "{'a': 1}", "", False), ("json", "NaN", "", False),
    ("json(a, b)", '{"b": null, "a": 1, "c": 2}', "", True), ("json(a, b)", '{"a": 1}', "", False),
    ("json(a)", '["a"]', "", False),
    ("json", "[" * 100_000, "", False),
    ("tags(think, answer)", "<think>x</think>\n<answer>y</answer>\n", "", True),
    ("tags(think, answer)", "<answer>y</answer><think>x</think>", "", False),
    ("tags(think, answer)", "<think>x</think> so <answer>y</answer>", "", False),
    ("tags(think, answer)", "<think>x</think><answer>y</answer><answer>z</answer>", "", False),
    ("tags(think, answer)", "<think>x</think><answer>y", "", False),
], ids=str)
def test_a_rule_is_right_or_wrong(verdict: Callable[..., float], rule: str, response: str, wanted: str, right: bool) -> None:
    assert verdict(rule, response, wanted) == float(right)


def test_what_is_wanted_may_stand_by_another_key(verdict: Callable[..., float]) -> None:
    assert verdict("exact(key=gold)", "4", "5", gold=4) == 1.0 and verdict("exact(key=gold)", "5", "5", gold=4) == 0.0


@pytest.mark.parametrize(("text", "answer"), [
    ("first 3 then 4", "4"), ("#### 12 apples\nand 5", "12 apples"), (r"\boxed{1} and \boxed{2}", "2"), ("none", None),
    ("x-2", "2"), ("is -2", "-2"), ("(3)-2", "2")])
def test_the_final_answer(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


def test_prompts_without_anything_to_compare_with_are_found_before_the_run(sample: Say) -> None:
    rule = load_rule("exact", Scoring())
    with pytest.raises(RewardError, match=r"compares with a wanted response, which 1 of 1 prompts do not have \(first: p\)"):
        rule.check([sample("p", "x").prompt])
    with pytest.raises(RewardError, match=r"has nothing to compare with for 1 of 1 samples \(first: s\)"):
        rule.score([sample("p", "x")])
    skipped = load_rule("exact", Scoring(on_error="skip")).score([sample("p", "x")])
    assert set(skipped.skipped) == {0}
    load_rule("json", Scoring()).check([sample("p", "x").prompt])


def test_a_pattern_that_goes_back_without_end_is_given_up(sample: Say) -> None:
    rule = load_rule("regex('^(a|aa)+$')", Scoring(timeout_s=0.2))
    with pytest.raises(RewardError, match=r"did not answer in 0.2 s for 1 of 1 samples \(first: s\)"):
        rule.score([sample("p", "a" * 60 + "b")])


@pytest.mark.parametrize(("rule", "said"), [
    ("exakt", "no rule 'exakt'. There are: exact, answer"), ("exact(fuzzy=yes)", "exact does not take fuzzy="),
    ("exact(case=maybe)", "wanted yes or no"), ("regex", "wants one pattern, in quotes"), ("regex('(')", "no regular expression"),
    ("regex('a', 'b')", "does not take b"), ("tags", "wants the names of tags"), ("tags(<a>)", "wants the names of tags"),
    ("json(a=1)", "does not take a="), ("exact[x]", "no rule"), ("regex('a", "cannot be read"), ("tests", "allow it with"),
])
def test_what_is_no_rule_is_refused_with_what_there_is(rule: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_rule(rule, Scoring())


def test_words_in_quotes_stand_as_they_are() -> None:
    """Python's own reading would make a backspace of the word boundary."""
    assert Called.read(r"regex('\b\d{1,3}, \"x\"', full=yes)").values == (r"\b\d{1,3}, \"x\"",)
    assert Called.read("hf:org/name[not toxic](as=probability)") == Called("hf:org/name", "not toxic", (), {"as": "probability"})
    assert Called.read("json()") == Called("json") and Called.read("tags( a ,b )").values == ("a", "b")
    with pytest.raises(ConfigError, match="says a twice"):
        Called.read("x(a=1, a=2)")
