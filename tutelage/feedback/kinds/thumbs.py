"""Thumbs: one response, liked or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import OPEN, Action, Asked, cannot_judge, declined, keys_of, only_keys, origin, shown
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Judgment, Sample, Thumb

NAME = "thumbs"
NUM_SAMPLES = (1, 1)
GUIDELINE = "thumbs-1"
QUESTION = {"en": "Is this a good response?", "zh-CN": "这个回答好吗？"}
GUIDELINE_TEXT = {
    "en": "Up if you would have been content to be given this response: it is right and does what was asked. Down if "
          "not. Length and style alone decide nothing. Say \"cannot judge\" if you lack the knowledge.",
    "zh-CN": "如果您得到这个回答会满意，就选“赞”：内容正确，办到了所要求的事。否则选“踩”。篇幅和文风本身不决定好坏。"
             "缺少判断所需的知识选“无法判断”。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"up": {"type": "boolean"}}, "required": ["up"], "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {
    "down": Action("1", {"en": "thumbs down", "zh-CN": "踩"}, {"up": False}),
    "up": Action("2", {"en": "thumbs up", "zh-CN": "赞"}, {"up": True}),
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{up: true or false}`, or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "up")
    if not isinstance(answer.get("up"), bool):
        raise DataError(f"thumbs: up is {answer.get('up')!r}; wanted true or false.")
    return {"up": answer["up"]}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Thumb]:
    answer = check_answer(judgment.answer)
    [sample] = shown(judgment, samples)
    return [thumb(judgment, sample, answer["up"])] if "up" in answer else []


def thumb(judgment: Judgment, sample: Sample, up: bool) -> Thumb:
    """The term that says so of the sample."""
    name = record_id("thumb", messages_to_json(judgment.prompt.messages), sample.text, up, judgment.annotator,
                     [judgment.id])
    return Thumb(id=name, prompt=judgment.prompt.messages, response=sample.response, up=up, **origin(judgment))


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    return next(action.words[language] for action in ACTIONS.values() if action.answer == said)
