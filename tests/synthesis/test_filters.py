"""What is kept: ROUGE-L held to the reference implementation, and each rule to cases and near misses in both languages."""

from __future__ import annotations

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from tutelage.synthesis.filters import (
    Novelty,
    longest_common,
    rouge_l,
    trouble_with_response,
    trouble_with_task,
)
from tutelage.text_metrics import units


def test_rouge_l_is_that_of_the_reference_implementation() -> None:
    """google-research's rouge_score, on word sequences its own tokeniser leaves as they are."""
    draw, scorer = random.Random(0), RougeScorer(["rougeL"])
    for _ in range(300):
        a, b = ([draw.choice("abcdefgh") for _ in range(draw.randint(1, 90))] for _ in range(2))
        wanted = scorer.score(" ".join(a), " ".join(b))["rougeL"].fmeasure
        assert rouge_l(a, b) == pytest.approx(wanted, abs=1e-12)


def test_the_longest_common_subsequence_by_hand() -> None:
    assert longest_common("ABCBDAB", "BDCABA") == 4      # BCBA, the example of Cormen et al.
    assert longest_common("abc", "xyz") == 0 and longest_common("abc", "abc") == 3 and longest_common("", "abc") == 0


@pytest.mark.parametrize(("task", "new"), [
    ("Write a short poem about the autumn sea.", False),         # as it is
    ("write a SHORT poem about the Autumn sea", False),          # case and signs aside
    ("Write a short poem about the winter sea.", False),         # 7 of 8 words: 0.875
    ("Write a letter to a friend about the sea.", True),         # write a .. about the sea: 5 of 8 and 9 words: 0.59
    ("写一首关于秋天大海的诗。", True),
])
def test_a_task_is_new_where_no_other_is_near(task: str, new: bool) -> None:
    assert Novelty(["Name three rivers.", "Write a short poem about the autumn sea."]).is_new(task, 0.7) is new


def test_chinese_is_compared_by_characters() -> None:
    novelty = Novelty(["写一首关于秋天的诗"])
    assert not novelty.is_new("写一首关于冬天的诗", 0.7)      # 8 of 9
    assert novelty.is_new("给小学生讲一个成语故事", 0.7)


def test_the_bound_that_spares_work_never_changes_the_answer() -> None:
    draw = random.Random(1)
    texts = [" ".join(draw.choice("abcd") for _ in range(draw.randint(1, 12))) for _ in range(60)]
    novelty = Novelty(texts[:30])
    for text in texts[30:]:
        plain = all(rouge_l(units(text), units(other)) < 0.7 for other in texts[:30])
        assert novelty.is_new(text, 0.7) is plain


@pytest.mark.parametrize(("task", "trouble"), [
    ("Describe the taste of a ripe mango.", ""), ("用三句话介绍杭州。", ""), ("《论语》里你最喜欢哪一句？", ""),
    ("Explain how a profile helps a job search.", ""),            # "file" inside a word
    ("Go on.", "short task"), ("写诗", "short task"), ("word " * 151, "long task"),
    ("- Describe the taste of a mango.", "task begins with a sign"),
    ("Draw a picture of a horse.", "task needs more than text"),
    ("Summarise the attached file for me.", "task needs more than text"),
    ("描述这张图片里的动物。", "task needs more than text"), ("打开链接并总结网页内容。", "task needs more than text"),
    ("Tell me why and tell me why and tell me why and tell me why.", "task repeats itself"),
])
def test_tasks_are_judged(task: str, trouble: str) -> None:
    assert trouble_with_task(task) == trouble


@pytest.mark.parametrize(("response", "ended", "trouble"), [
    ("Sweet, with a little resin and honey.", True, ""), ("Yes", True, ""), ("甜而多汁。", True, ""),
    ("I'm sorry to say that ripe ones are rare here, but they are sweet.", True, "no answer"),      # the price of a plain rule
    ("Sweet, with a little", False, "cut response"), (" \n", True, "empty response"), ("...", True, "empty response"),
    ("As an AI language model, I cannot taste.", True, "no answer"), ("抱歉，我无法品尝。", True, "no answer"),
    ("作为一个人工智能，我没有味觉。", True, "no answer"),
    ("sweet and soft and sweet and soft and sweet and soft and sweet and soft", True, "response repeats itself"),
    ("describe the taste of a ripe mango", True, "response says the task again"), ("word " * 601, True, "long response"),
])
def test_responses_are_judged(response: str, ended: bool, trouble: str) -> None:
    assert trouble_with_response("Describe the taste of a ripe mango.", response, ended) == trouble
