"""Demonstration: a response to a prompt, written from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.feedback.asked import OPEN, TEXT_SCHEMA, Asked, cannot_judge, declined, excerpt, keys_of, only_keys, origin, text
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.records import Instruction, Judgment, Sample

NAME = "demonstration"
NUM_SAMPLES = (0, 0)
GUIDELINE = "demonstration-1"
QUESTION = {"en": "Write the response you would want to be given.", "zh-CN": "请写出您希望得到的回答。"}
GUIDELINE_TEXT = {
    "en": "Answer the prompt as a kind and competent person would: right, complete, and no longer than it has to be. "
          "If the right thing is to refuse, refuse politely and say why. Write it yourself; do not paste another "
          "program's text. Say \"cannot judge\" if you lack the knowledge.",
    "zh-CN": "像一位友善而内行的人那样作答：正确、完整、不啰嗦。若理应拒绝，就礼貌地拒绝并说明原因。请亲自写，"
             "不要粘贴其他程序生成的文字。缺少所需的知识选“无法判断”。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"text": TEXT_SCHEMA}, "required": ["text"],
         "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {"cannot_judge": cannot_judge()}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{text}`, or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "text")
    return {"text": text(NAME, "text", answer.get("text"))}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Instruction]:
    answer = check_answer(judgment.answer)
    if "text" not in answer:
        return []
    conversation = (*judgment.prompt.messages, Message.of("assistant", answer["text"]))
    name = record_id("instruction", messages_to_json(conversation), [judgment.id])
    return [Instruction(id=name, messages=conversation, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    return ACTIONS["cannot_judge"].words[language] if "declined" in said else excerpt(said["text"])
