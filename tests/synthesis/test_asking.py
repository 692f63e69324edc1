"""Requests follow from seed and number; answers are read strictly, and nothing of them is lost."""

from __future__ import annotations

import pytest

from tutelage.synthesis.asking import language_of, read_tasks, request

SEEDS = [f"Describe thing number {i} in a poem." for i in range(20)]
ZH = [f"请写一首关于第{i}件事的诗。" for i in range(20)]


def shown(number: int, seed: int = 0, own: list[str] | None = None) -> str:
    message, = request(SEEDS, own or [], "en", demonstrations=4, own_demonstrations=2, seed=seed, number=number)
    return message.text


def test_a_request_follows_from_seed_and_number_and_shows_what_it_says() -> None:
    assert shown(3) == shown(3) != shown(4) and shown(3) != shown(3, seed=1)
    text = shown(0, own=["A task of its own.", "Another of its own.", "A third of its own."])
    assert sum(seed in text for seed in SEEDS) == 4 and text.count("of its own") == 2
    assert "Below are 6 different tasks" in text and "Write 4 more" in text
    assert "Below are 4 different" in shown(0)      # where nothing was written yet, it says so too


def test_the_language_is_that_of_the_seeds() -> None:
    assert language_of(SEEDS) == "en" and language_of(ZH) == "zh"
    message, = request(ZH, [], "zh", demonstrations=2, own_demonstrations=0, seed=0, number=0)
    assert message.text.startswith("下面是一个人交给助手的2个不同的任务。请再写4个新任务")


@pytest.mark.parametrize(("text", "ended", "tasks", "reasons"), [
    ("7. Name a river.\n8) List two fruits.", True, ["Name a river.", "List two fruits."], []),
    ("Task 7: Name a river.", True, ["Name a river."], []),
    ("任务7：写一首诗。\n8、说一个笑话。", True, ["写一首诗。", "说一个笑话。"], []),
    ("7. Name a river.\n8. List two fr", False, ["Name a river."], ["cut task"]),
    ("Sure, here are more tasks:\n\n7. Name a river.", True, ["Name a river."], ["no numbered task"]),
    ("7. \n8. Name a river.", True, ["Name a river."], ["empty task"]),
    ("7. **\"Name a river.\"**", True, ["Name a river."], []),
    ("", True, [], ["empty answer"]), (" \n ", True, [], ["empty answer"]),
    ("In 1999 there were 3 rivers.", True, [], ["no numbered task"]),
])
def test_an_answer_is_read_line_by_line(text: str, ended: bool, tasks: list[str], reasons: list[str]) -> None:
    found, refused = read_tasks(text, ended)
    assert found == tasks and [each.reason for each in refused] == reasons
