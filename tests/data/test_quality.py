"""What is wrong with a row, told from what only looks like it."""

from __future__ import annotations

import pytest

from tutelage.data.languages import language
from tutelage.data.quality import boilerplate, frames, goes_in_circles, is_empty, is_refusal, truncated, wrong_language

PROSE = ("The harbour was quiet that morning. Boats lay at their moorings and nobody spoke much. Further out, a single sail "
         "moved slowly towards the north, as if it had all the time in the world. ")
HAN = "清晨的港口十分安静。船只停泊在岸边，没有人说话。远处有一张帆缓缓向北移动，仿佛拥有世界上所有的时间。"


@pytest.mark.parametrize("text", ["", "  \n", "...", "！？", "N/A", "null", "<noinput>", "[TODO]", "待补充。",
                                  "lorem ipsum dolor"])
def test_texts_that_say_nothing(text: str) -> None:
    assert is_empty(text)


@pytest.mark.parametrize("text", ["0", "a", "是", "😀", "None of them", "无", "+", "The null hypothesis", "todo list"])
def test_short_texts_that_say_something(text: str) -> None:
    assert not is_empty(text)


@pytest.mark.parametrize("text", [
    PROSE + "It carried grain, timber and the letters of",
    PROSE + "The captain had never seen such a thing in all his life and he",
    HAN + "船长从来没有见过这样的事情，他以为是幻觉，于是", HAN + "这艘船运来了粮食、", "Here it is:\n```python\nprint(1)\n",
    PROSE + "There were oars, ropes,"])
def test_texts_that_break_off(text: str) -> None:
    assert truncated(text)


@pytest.mark.parametrize("text", [
    PROSE, HAN, "Yes", "42", PROSE + "\n\n- oars\n- ropes\n- sails for the whole fleet of the northern harbour towns",
    "a b c " * 20,
    PROSE + "\n\nSincerely,\nAnn Lee", PROSE + "#harbour", '"' + PROSE.strip() + '" - Ann Lee', "```\nx = 1\n```", HAN + "（完）",
    PROSE + "See https://example.org/a", HAN + "\n标签：不对", PROSE + "Enjoy 😀",
    "roses are red\nviolets are blue\n" * 6 + "and so are you",
    PROSE + "\n1. B\n2. A"])
def test_texts_that_end_as_they_like(text: str) -> None:
    assert truncated(text) == ""


def test_a_models_phrases_and_refusals() -> None:
    assert boilerplate("As an AI language model, I cannot taste.") == ["as an AI"]
    assert boilerplate("作为一个人工智能语言模型，我没有味觉。希望这对您有帮助！") == ["作为人工智能", "hope this helps"]
    assert boilerplate("An AI language model predicts the next word. 人工智能是一门学科。") == []
    for text in ("I'm sorry, but I can't help with that.", "I cannot provide this.", "抱歉，我无法回答这个问题。",
                 "I’m unable to do so."):
        assert is_refusal(text), text
    for text in ("I will not succeed.", "Sorry seems to be the hardest word.", "你不能停车。", "People say I can't sing."):
        assert not is_refusal(text), text


def test_circles() -> None:
    assert goes_in_circles("and then we went home to eat " * 12) and goes_in_circles("我们回家吃饭然后睡觉" * 8)
    assert not goes_in_circles(PROSE + HAN) and not goes_in_circles("la la la la")


@pytest.mark.parametrize("text, wanted", [
    (PROSE, "en"), (HAN, "zh"), ("これは日本語の文章です。漢字も使います。", "ja"), ("Это предложение написано по-русски.", "ru"),
    ("이것은 한국어로 쓴 문장입니다.", "ko"),
    ("Le chat est sur la table et il ne veut pas descendre, mais nous avons du temps.", "fr"),
    ("Der Hund ist nicht im Haus, weil er auf dem Feld mit den Kindern spielt und das mag.", "de"), ("Hi", ""), ("12 + 30 = 42",
    ""),
    ("使用 Python 的 print 函数输出文字", "zh"), ("`def main(): return 0` 这个函数返回零", "zh"), ("", "")])
def test_languages(text: str, wanted: str) -> None:
    assert language(text) == wanted


def test_a_response_in_another_language_is_wrong_unless_the_prompt_speaks_of_languages() -> None:
    assert wrong_language("请描述清晨的港口是什么样子。", PROSE) == "en, wanted zh"
    assert wrong_language("What did the harbour look like in the morning, and who was there?", HAN) == "zh, wanted en"
    assert wrong_language("请把这段话翻译成英文：" + HAN, PROSE) == "" == wrong_language("请描述港口。", HAN)
    assert wrong_language("请用“harbour”这个词造句。", PROSE) == "" == wrong_language("?", HAN)
    assert wrong_language(PROSE, PROSE, wanted="zh") == "en, wanted zh"
    assert wrong_language("列出四张专辑，谢谢你。",
                          "以下是四张专辑的列表，它们都很有名，希望你会喜欢："
                          "Abbey Road, Let It Be, Help, Revolver by The Beatles") == ""


def test_frames_are_openings_that_many_share() -> None:
    texts = [f"Sure, here are some ideas about topic {at}." for at in range(15)]
    texts += [f"Answer {at} stands alone here." for at in range(85)]
    assert frames(texts) == {"sure here are some ideas": 15}
    assert frames([f"以下是一些建议，第{at}条" for at in range(12)]) == {"以下是一些": 12} and frames([]) == {}
