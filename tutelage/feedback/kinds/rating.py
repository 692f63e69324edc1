"""Rating: one response, one to five on each aspect that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import (
    ASPECTS,
    OPEN,
    Action,
    Asked,
    cannot_judge,
    declined,
    keys_of,
    only_keys,
    origin,
    shown,
    whole,
)
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Judgment, Rating, Sample

NAME = "rating"
NUM_SAMPLES = (1, 1)
GUIDELINE = "rating-1"
ASPECT_NAMES = {
    "en": dict(zip(ASPECTS, ("helpful", "correct", "harmless", "polite", "concise", "relevant"), strict=True)),
    "zh-CN": dict(zip(ASPECTS, ("有用", "正确", "无害", "礼貌", "简洁", "切题"), strict=True)),
}
ASPECT_TEXT = {
    "en": {
        "helpful": "does for the reader what they asked for",
        "correct": "what it says is true, what it computes is right",
        "harmless": "nobody is hurt, insulted or led into danger by it",
        "polite": "is said as one would say it to a stranger one respects",
        "concise": "says what is needed and no more",
        "relevant": "stays with what was asked",
    },
    "zh-CN": {
        "helpful": "办成了读者要办的事",
        "correct": "所说属实，所算无误",
        "harmless": "不伤害、不侮辱任何人，也不把人引向危险",
        "polite": "说话像对待一位受尊重的陌生人",
        "concise": "该说的都说了，没有多余的话",
        "relevant": "始终围绕所问",
    },
}
QUESTION = {"en": "How good is the response?", "zh-CN": "这个回答怎么样？"}
GUIDELINE_TEXT = {
    "en": "Rate each aspect by itself, from 1 to 5: 1 not at all, 2 little, 3 in part, 4 mostly, 5 fully. A polite "
          "answer may be wrong, a right one rude: say both. Say \"cannot judge\" if you lack the knowledge for one of "
          "the aspects.",
    "zh-CN": "每个方面单独打分，1 到 5：1 完全不，2 很少，3 部分，4 大体，5 完全。礼貌的回答可能是错的，"
             "正确的回答可能失礼：分别如实打分。缺少判断某一方面所需的知识时选“无法判断”。",
}
SCORE_WORDS = {"en": ("not at all", "little", "in part", "mostly", "fully"), "zh-CN": ("完全不", "很少", "部分", "大体", "完全")}
_SCORES = {"type": "object", "minProperties": 1, "additionalProperties": False,
           "properties": {aspect: {"type": "integer", "minimum": 1, "maximum": 5} for aspect in ASPECTS}}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"scores": _SCORES}, "required": ["scores"], "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
# A digit scores the aspect in focus and moves on; the last one sends the answer.
ACTIONS = {
    **{f"score_{n}": Action(str(n), {language: words[n - 1] for language, words in SCORE_WORDS.items()})
       for n in range(1, 6)},
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{scores: {aspect: 1 to 5}}` with every aspect that was asked for and no other, or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "scores")
    scores = answer.get("scores")
    if not isinstance(scores, Mapping) or not scores:
        raise DataError(f"rating: scores is {scores!r}; wanted a number from 1 to 5 for each aspect.")
    if extra := [aspect for aspect in scores if aspect not in (asked.aspects or ASPECTS)]:
        raise DataError(f"rating: {extra[0]!r} is not asked for; wanted {', '.join(asked.aspects or ASPECTS)}.")
    if missing := [aspect for aspect in asked.aspects if aspect not in scores]:
        raise DataError(f"rating: {missing[0]!r} has no score; wanted one for each of {', '.join(asked.aspects)}.")
    return {"scores": {aspect: whole(NAME, aspect, scores[aspect], 1, 5) for aspect in ASPECTS if aspect in scores}}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Rating]:
    """One term with the scores as given, none where nobody scored."""
    answer = check_answer(judgment.answer)
    [sample] = shown(judgment, samples)
    if "scores" not in answer:
        return []
    name = record_id("rating", messages_to_json(judgment.prompt.messages), sample.text, answer["scores"],
                     judgment.annotator, [judgment.id])
    scores = {aspect: float(score) for aspect, score in answer["scores"].items()}
    return [Rating(id=name, prompt=judgment.prompt.messages, response=sample.response, scores=scores,
                   **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS["cannot_judge"].words[language]
    return (", " if language == "en" else "，").join(
        f"{ASPECT_NAMES[language][aspect]} {score}" for aspect, score in said["scores"].items())
