"""Instruction: an instruction and its response, both written from scratch. The prompt of the task is what to write about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.feedback.asked import (
    NOTE_SCHEMA,
    OPEN,
    TEXT_SCHEMA,
    Asked,
    cannot_judge,
    declined,
    excerpt,
    keys_of,
    only_keys,
    origin,
    text,
)
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.records import Instruction, Judgment, Sample

NAME = "instruction"
NUM_SAMPLES = (0, 0)
GUIDELINE = "instruction-1"
QUESTION = {"en": "Write an instruction and the response you would want.", "zh-CN": "请写一条指令和您希望得到的回答。"}
GUIDELINE_TEXT = {
    "en": "Write something a real person could ask for, on the topic given, and answer it as a kind and competent "
          "person would. It must be possible to answer from the words alone. Vary what you ask: explain, rewrite, "
          "plan, compare, correct, decide. Name no real private person. Write both yourself; do not paste another "
          "program's text.",
    "zh-CN": "就所给的主题，写一条真实的人可能提出的要求，再像一位友善而内行的人那样作答。只凭文字就应能回答。"
             "请变换要求的类型：解释、改写、计划、比较、纠错、抉择。不要写出真实的个人姓名。两者都请亲自写，"
             "不要粘贴其他程序生成的文字。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"prompt": TEXT_SCHEMA, "response": TEXT_SCHEMA, "system": NOTE_SCHEMA},
         "required": ["prompt", "response"], "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {"cannot_judge": cannot_judge()}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{prompt, response}` and `system` where there is one, or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "prompt", "response", "system")
    said = {key: text(NAME, key, answer.get(key)) for key in ("prompt", "response")}
    system = text(NAME, "system", answer.get("system"), optional=True)
    return {**said, "system": system} if system else said


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Instruction]:
    """One term; the task's own prompt, the topic, is no part of it."""
    answer = check_answer(judgment.answer)
    if "prompt" not in answer:
        return []
    system = (Message.of("system", answer["system"]),) if "system" in answer else ()
    conversation = (*system, Message.of("user", answer["prompt"]), Message.of("assistant", answer["response"]))
    name = record_id("instruction", messages_to_json(conversation), [judgment.id])
    return [Instruction(id=name, messages=conversation, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS["cannot_judge"].words[language]
    return f"{excerpt(said['prompt'], 40)} → {excerpt(said['response'], 40)}"
