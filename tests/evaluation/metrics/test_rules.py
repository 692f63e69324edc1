"""Rules that need no judge, each with a text that keeps it and a near miss."""

from __future__ import annotations

import pytest

from tutelage.errors import DataError
from tutelage.evaluation.metrics.rules import SETTINGS, check, follows

LIST = "Intro:\n- one\n* two\n3. three\n\nEnd."
KEPT_AND_MISSED = [
    ({"rule": "words", "exactly": 3}, "One two three.", "One two."),
    ({"rule": "words", "at_most": 4}, "四个汉字。", "一共五个字"),
    ({"rule": "words", "at_least": 2, "at_most": 3}, "two words", "one"), ({"rule": "words", "at_most": 0}, "", "x"),
    ({"rule": "sentences", "exactly": 2}, "One. Two!", "One, two."),
    ({"rule": "sentences", "exactly": 2}, "第一句。第二句！", "只有一句。"),
    ({"rule": "characters", "at_most": 5}, " abcde ", "abcdef"), ({"rule": "characters", "exactly": 2}, "北京", "北京市"),
    ({"rule": "paragraphs", "exactly": 2}, "one\n\ntwo", "one\ntwo"),
    ({"rule": "paragraphs", "at_least": 2}, "a\n \n\nb\n", "a\n\n"),
    ({"rule": "lines", "exactly": 3}, "a\nb\n\nc", "a b c"), ({"rule": "lines", "at_most": 1}, "a\n", "a\nb"),
    ({"rule": "bullets", "exactly": 3}, LIST, LIST.replace("3. three", "three")),
    ({"rule": "bullets", "at_least": 2}, "1、一\n2、二", "一\n二"),
    ({"rule": "bullets", "at_most": 0}, "no-dash - here", "- one"),
    ({"rule": "contains", "all": ["Paris", "seine"]}, "PARIS on the Seine", "Paris"),
    ({"rule": "contains", "any": ["猫", "狗"]}, "一只狗", "一只鸟"),
    ({"rule": "contains", "none": ["sorry"]}, "", "I'm Sorry"), ({"rule": "contains", "all": ["a"], "none": ["b"]}, "a", "ab"),
    ({"rule": "contains", "any": []}, None, "anything"),
    ({"rule": "times", "word": "go", "exactly": 2}, "Go, go!", "go"),
    ({"rule": "times", "word": "的", "at_least": 2}, "我的你的", "我的"),
    ({"rule": "times", "word": "x", "at_most": 0}, "y", "x"),
    ({"rule": "starts_with", "text": "Dear"}, "  Dear you", "My dear"),
    ({"rule": "starts_with", "text": "首先"}, "首先，", "其次，首先"),
    ({"rule": "ends_with", "text": "."}, "Done. \n", "Done"), ({"rule": "ends_with", "text": "谢谢"}, "好的，谢谢", "谢谢你"),
    ({"rule": "language", "code": "zh"}, "今天天气很好，我们去公园吧。", "The weather is nice today, and we go to the park."),
    ({"rule": "language", "code": "en"}, "The weather is nice and we go to the park with you.", "今天天气很好，我们去公园吧。"),
    ({"rule": "language", "code": "ja"}, "今日はとても良い天気ですね。", "今天天气很好，我们去公园吧。"),
    ({"rule": "json"}, "[1, 2]", "[1, 2"), ({"rule": "json"}, '```json\n{"a": 1}\n```', 'Here: {"a": 1}'),
    ({"rule": "json", "keys": ["a", "b"]}, '{"b": 1, "a": {"c": 2}, "d": 0}', '{"a": 1}'),
    ({"rule": "json", "keys": ["a"]}, '{"a": null}', '["a"]'),
    ({"rule": "json"}, "0", ""), ({"rule": "json"}, '"文"', "文"),
    ({"rule": "case", "case": "lower"}, "all small, 1 é", "Not small"),
    ({"rule": "case", "case": "upper"}, "ALL BIG 1", "NOT bIG"),
    ({"rule": "case", "case": "upper"}, "É!", "123"), ({"rule": "matches", "pattern": r"\d{4}-\d{2}"}, "in 2024-05", "in 2024"),
    ({"rule": "matches", "pattern": r"\A\p{Han}+\z"}, "汉字", "汉字a"),
]


@pytest.mark.parametrize(("rule", "kept", "missed"), KEPT_AND_MISSED)
def test_each_rule_is_kept_and_missed(rule, kept, missed):
    if kept is not None:
        assert check(kept, rule)
    assert not check(missed, rule)


def test_every_rule_has_its_cases():
    assert {rule["rule"] for rule, _, _ in KEPT_AND_MISSED} == set(SETTINGS)
    assert 2 * len(KEPT_AND_MISSED) >= 50


def test_following_counts_all_and_each():
    rules = [{"rule": "words", "at_most": 3}, {"rule": "ends_with", "text": "."}, {"rule": "case", "case": "lower"}]
    assert follows("one two.", rules) == (1.0, 1.0) and follows("One two.", rules) == (0.0, pytest.approx(2 / 3))
    assert follows("anything", []) == (1.0, 1.0)


@pytest.mark.parametrize(("rule", "complaint"), [
    ({"rule": "word", "exactly": 3}, "no rule 'word'; there are: words"), ({"exactly": 3}, "no rule None"),
    ({"rule": "words"}, r"at_least \(a number\)"), ({"rule": "words", "max": 3}, "wanted one or more of"),
    ({"rule": "words", "at_most": "3"}, "wanted one or more of"), ({"rule": "words", "at_most": True}, "wanted one or more of"),
    ({"rule": "times", "at_most": 3}, "the word that is counted"),
    ({"rule": "case", "case": "title"}, "wanted 'lower' or 'upper'"),
    ({"rule": "matches", "pattern": "("}, "cannot use the pattern")])
def test_what_is_no_rule_is_refused(rule, complaint):
    with pytest.raises(DataError, match=complaint):
        check("Text", rule)
