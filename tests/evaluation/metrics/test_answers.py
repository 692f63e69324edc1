"""Exact match and token F1: SQuAD's definition restated step by step, Chinese by hand, and what never changes."""

from __future__ import annotations

import re
import string

import pytest
from cases import CHINESE, EMPTY, EVERY, PLAIN

from tutelage.evaluation.metrics.answers import answer_tokens, contains_answer, exact_match, normalise, token_f1

EAST_ASIAN = re.compile("[\u3001-\u30ff\u3400-\u9fff\uff01-\uff65]")


def squad_words(text: str) -> list[str]:
    """SQuAD 1.1's normalisation, one step a line, as the paper's appendix lists them."""
    kept = "".join(letter for letter in text.lower() if letter not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def slow_f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    left, common = list(wanted), 0
    for word in said:
        if word in left:
            left.remove(word)
            common += 1
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def test_english_is_squads_word_for_word():
    pairs = [(a, b) for a, b in EVERY if not EAST_ASIAN.search(a + b)]
    assert len(pairs) >= 50
    for response, answer in pairs:
        said, wanted = squad_words(response), squad_words(answer)
        assert answer_tokens(response) == said, response
        assert token_f1(response, [answer]) == pytest.approx(slow_f1(said, wanted), abs=1e-9), (response, answer)
        assert exact_match(response, [answer]) == float(" ".join(said) == " ".join(wanted)), (response, answer)


@pytest.mark.parametrize(("text", "tokens"), [
    ("中国的首都是北京。", list("中国的首都是北京")), ("我在2024年去了Paris", ["我", "在", "2024", "年", "去", "了", "paris"]),
    ("《红楼梦》", list("红楼梦")), ("他说：“你好！”", list("他说你好")), ("The 北京 hotel", ["北", "京", "hotel"]),
    ("３月，5日", ["３", "月", "5", "日"]), ("東京タワー", ["東", "京", "タ", "ワ", "ー"])])
def test_chinese_tokens_by_hand(text, tokens):
    assert answer_tokens(text) == [token for token in tokens]


@pytest.mark.parametrize(("response", "answer", "f1"), [
    ("首都是北京", "北京", 2 * 2 / (5 + 2)), ("北京是首都", "首都是北京", 1.0), ("重复重复重复重复", "重复", 2 * 2 / (8 + 2)),
    ("我2024年去Paris", "2024年", 2 * 2 / (5 + 2)), ("上海", "北京", 0.0), ("，。", "、", 1.0), ("北", "", 0.0)])
def test_chinese_f1_by_hand(response, answer, f1):
    assert token_f1(response, [answer]) == pytest.approx(f1, abs=1e-9)


@pytest.mark.parametrize(("response", "answer"), EVERY)
def test_what_holds_of_any_two_texts(response, answer):
    assert 0 <= token_f1(response, [answer]) <= 1
    assert token_f1(response, [answer]) == token_f1(answer, [response])
    assert token_f1(response, [response]) == exact_match(response, [response]) == 1.0
    assert token_f1(response, [answer]) >= exact_match(response, [answer])
    assert normalise(normalise(response)) == normalise(response) or not response.isascii()


def test_the_best_answer_counts_and_none_gives_nothing():
    assert exact_match("Paris!", ["London", "the paris"]) == 1.0 and exact_match("Paris", []) == token_f1("Paris", []) == 0.0
    assert token_f1("in Paris", ["London", "Paris"]) == pytest.approx(2 / 3)


@pytest.mark.parametrize(("response", "answers", "found"), [
    ("The capital is Paris, I think.", ["paris"], 1.0), ("Parisian", ["Paris"], 0.0), ("首都是北京。", ["北京"], 1.0),
    ("京北", ["北京"], 0.0),
    ("two words here", ["words two", "words here"], 1.0), ("anything", [""], 0.0), ("", ["x"], 0.0), ("x", ["x y"], 0.0)])
def test_an_answer_inside_a_response(response, answers, found):
    assert contains_answer(response, answers) == found


def test_an_article_is_a_word_and_not_the_end_of_one():
    assert answer_tokens("A banana and an Iran breathe the data") == ["banana", "and", "iran", "breathe", "data"]


def test_there_are_cases_enough_of_each_kind():
    assert len(PLAIN) + len(CHINESE) + len(EMPTY) >= 50 and len(CHINESE) >= 10 and len(EMPTY) >= 8
