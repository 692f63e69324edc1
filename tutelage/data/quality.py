"""What is wrong with one row: empty, cut off, boilerplate, going round in circles, or in the wrong language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import regex

from tutelage.data.languages import language
from tutelage.text_metrics import count_words, repetition_fraction, units

MIN_PROSE = 30          # units (words, Han characters) from which a response is prose that should end like a sentence
REPETITION = 0.5        # share of 4-grams said before from which a text goes round in circles
MIN_REPETITION = 40     # units under which a refrain or a table is no circle
FRAME = 5               # units of an opening that is counted as a frame

_PLACEHOLDER = regex.compile(
    r"(?i)[\s\"'<\[({]*(?:no ?input|n/a|null|nan|todo|tbd|undefined|lorem ipsum.*|待补充|待定|暂无内容)[\s\"'>\])}.。]*")
_LETTER = regex.compile(r"[\p{L}\p{N}\p{S}]")


def is_empty(text: str) -> bool:
    """Whether a text says nothing: no letter, number or sign at all, or a word that stands for a missing one."""
    return _LETTER.search(text) is None or _PLACEHOLDER.fullmatch(text) is not None


_ENDED = regex.compile(r"[.。!！?？…:：;；~～\p{Pe}\p{Pf}\"'”’`*_|>\p{Emoji_Presentation}\p{So}\-—=/\\^\d%]$")
_SENTENCE = regex.compile(r"[.。!！?？]")
_LIST_LINE = regex.compile(
    r"\s*(?:[-*•–·#>|+]|\d+[.)、．]|[(（]?[a-zA-Z一二三四五六七八九十]{1,2}[)）.、]|[A-Z][\w ]{0,30}:|\p{Han}{1,8}[:：])")
_DANGLING = regex.compile(
    r"(?i)(?:[,，、(（\[{]|\b(?:the|a|an|and|or|of|to|in|with|for|that|which|is|are|was|be|by|as|at|from|because|but|if|"
    r"their|his|her|its|this|these|can|will|such)|[与或及把被从但]|(?<![温柔共暖平缓总饱])和)$")
_CREDIT = regex.compile(r"#\w+$|https?://\S+$|[\"”»」] ?[-–—] ?\S.{0,60}$")      # a hashtag, a link, who said what was quoted
_CODE_LINE = regex.compile(r"[;{}()=<>]|^\s{4}|\bimport\b|\breturn\b")


def truncated(text: str) -> str:
    """Why a response looks cut off, "" where it does not.

    Prose that uses sentence marks and ends in the middle of one. Lists, verse, code, tables, signatures and formulas end
    as they like; an open code fence or a dangling word ("and", "的", a comma) tells in any text.
    """
    stripped = text.rstrip()
    if stripped.count("```") % 2 and regex.search(r"(?m)^\s*```", stripped):
        return "an open code block"
    lines = stripped.split("\n")
    last = lines[-1]
    if count_words(stripped) < MIN_PROSE or "```" in stripped:
        return ""
    if _CREDIT.search(last) or (_LIST_LINE.match(last) and count_words(last) < 4):
        return ""
    if _DANGLING.search(last) and not _CODE_LINE.search(last):
        return "ends with a word or sign that something follows"
    if _ENDED.search(last) or _LIST_LINE.match(last) or _CODE_LINE.search(last) or count_words(last) < 12:
        return ""
    prose = [line for line in lines[:-1] if count_words(line) >= 12]
    marked = sum(bool(_ENDED.search(line.rstrip())) for line in prose)
    if len(_SENTENCE.findall(stripped)) >= 2 and marked >= len(prose) / 2:
        return "ends in the middle of a sentence"
    return ""


# Phrases that a model says of itself or to please; each by the name the report calls it.
_BOILERPLATE = tuple((name, regex.compile(pattern)) for name, pattern in (
    ("as an AI", r"(?i)\bas an? (?:ai|artificial intelligence)(?: language)?(?: model| assistant)?\b"
                 r"|\bI(?:'m| am) (?:just |only )?an? (?:AI|artificial intelligence)\b|\bmy (?:knowledge cutoff|training data)\b"
                 r"|\bas a (?:large )?language model\b"),
    ("作为人工智能", r"作为(?:一个|一名)?(?:AI|人工智能|大型?语言模型|语言模型|智能助手)"
                     r"|我(?:只)?是(?:一个|一名)(?:AI|人工智能|语言模型)|我的训练数据|我的知识截止"),
    ("made by", r"(?i)\b(?:developed|trained|created|made) by (?:openai|anthropic|google|meta|alibaba|baidu)\b"
                r"|由(?:OpenAI|百度|阿里)\S{0,6}(?:开发|训练)"),
    ("hope this helps", r"(?i)\bI hope (?:this|that) helps\b"
                        r"|\blet me know if you (?:have|need) any(?:thing| (?:other|more|further))\b"
                        r"|希望(?:这|以上|对您|能)\S{0,8}(?:帮助|有用)|如果您还有(?:其他|任何)"),
))
_REFUSAL = regex.compile(
    r"(?i)\A\W*(?:(?:I(?:'m| am) (?:very |really |so )?sorry|sorry|unfortunately|apologies|I apologi[sz]e),? ?(?:but )?"
    r"[^.\n]{0,40}?)?"
    r"\b(?:I'm (?:unable|not able) to|I (?:can(?:'t|not| not)|am (?:unable|not able) to|must decline|do not feel comfortable"
    r"|(?:won't|will not) (?:help|assist|provide|create|write|answer|engage|participate|do)))\b"
    r"|\A\W*(?:(?:很|非常)?(?:抱歉|对不起|遗憾)[,，]?\S{0,12}?)?(?:我(?:无法|不能|不会|没办法)|不能(?:提供|回答|协助))")


def boilerplate(text: str) -> list[str]:
    """Names of the phrases a response has that are a model's and not an answer's."""
    return [name for name, pattern in _BOILERPLATE if pattern.search(text)]


def is_refusal(text: str) -> bool:
    """Whether a response begins by declining."""
    return _REFUSAL.search(text[:400].replace("’", "'")) is not None


def goes_in_circles(text: str) -> bool:
    return count_words(text) >= MIN_REPETITION and repetition_fraction(text) >= REPETITION


_ASKS_FOR_LANGUAGE = regex.compile(
    r"(?i)\b(?:translat\w*|language|english|chinese|mandarin|cantonese|french|german|spanish|italian|portuguese|dutch|russian|"
    r"japanese|"
    r"korean|arabic|hebrew|hindi|thai|greek|latin|hello world|pinyin)\b"
    r"|翻译|译成|译为|英文|英语|中文|汉语|法语|德语|西班牙语|日语|日文|韩语|俄语|意大利语|葡萄牙语|拼音|语言|外语|双语|单词|句子|短语|词汇")
_HAN, _FOREIGN_WORD = regex.compile(r"\p{Han}"), regex.compile(r"\p{Latin}{4,}")


def wrong_language(prompt: str, response: str, wanted: str = "") -> str:
    """`found, wanted other`, "" where nothing is wrong or nobody can tell.

    A response should be in the language of its prompt, unless the prompt speaks of languages; with `wanted` (zh, en ...)
    both should be in that one.
    """
    answered = language(response)
    asked = wanted or language(prompt)
    if not answered or not asked or answered == asked or _ASKS_FOR_LANGUAGE.search(prompt):
        return ""
    # A list of foreign titles in a Chinese answer, and an answer about a foreign word that was asked about, are right.
    if len(_HAN.findall(response)) >= 20 and asked == "zh":
        return ""
    if answered not in ("zh", "ja", "ko") and asked == "zh" and not wanted and _FOREIGN_WORD.search(prompt):
        return ""
    return f"{answered}, wanted {asked}"


def frames(texts: Iterable[str], min_share: float = 0.02, min_count: int = 10) -> dict[str, int]:
    """Openings of `FRAME` units that many texts share, and how many: "here are some of the", "以下是一些"."""
    openings: Counter[str] = Counter()
    total = 0
    for text in texts:
        opening = units(text[:200])[:FRAME]
        total += 1
        if len(opening) == FRAME:
            openings[_shown(opening)] += 1
    least = max(min_count, min_share * total)
    return {opening: count for opening, count in openings.most_common(20) if count >= least}


def _shown(opening: Sequence[str]) -> str:
    return ("" if len(opening[0]) == 1 and not opening[0].isascii() else " ").join(opening)
