"""Edit: one response, made as good as one can. Both a demonstration and a comparison: the edited text beats the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import (
    OPEN,
    TEXT_SCHEMA,
    Action,
    Asked,
    cannot_judge,
    declined,
    excerpt,
    keys_of,
    only_keys,
    origin,
    shown,
    text,
)
from tutelage.feedback.kinds.thumbs import thumb
from tutelage.messages import Message, messages_to_json, record_id
from tutelage.records import Instruction, Judgment, Preference, Record, Sample

NAME = "edit"
NUM_SAMPLES = (1, 1)
GUIDELINE = "edit-1"
DECLINED = ("good_as_it_is", "beyond_repair", "cannot_judge")
MARGIN = 0.5                # as much as "clearly better": somebody took the trouble
QUESTION = {"en": "Make the response as good as you can.", "zh-CN": "请把这个回答改到最好。"}
GUIDELINE_TEXT = {
    "en": "Change what is wrong, missing or badly said, and leave what is good. The result must be a response you "
          "would be glad to be given, written by you: do not paste another program's text. Say \"good as it is\" if "
          "nothing needs changing, \"beyond repair\" if you would have to write it anew.",
    "zh-CN": "改掉错误、遗漏和不当的说法，保留好的部分。改完应是您乐于得到的回答，并由您亲自写成：不要粘贴其他程序生成的"
             "文字。无须改动选“已经很好”，不如重写选“无法修改”。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"text": TEXT_SCHEMA}, "required": ["text"],
         "additionalProperties": False},
        {"properties": {"declined": {"enum": list(DECLINED)}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {
    "good_as_it_is": Action("8", {"en": "good as it is", "zh-CN": "已经很好"}, {"declined": "good_as_it_is"}),
    "beyond_repair": Action("9", {"en": "beyond repair", "zh-CN": "无法修改"}, {"declined": "beyond_repair"}),
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{text}`, which must differ from the response shown, or `{declined}`."""
    if (none := declined(NAME, answer, DECLINED)) is not None:
        return none
    only_keys(NAME, answer, "text")
    edited = text(NAME, "text", answer.get("text"))
    if asked.texts is not None and edited.strip() == asked.texts[0].strip():
        raise DataError("edit: the text is the response as it was; wanted a changed one, or declined: good_as_it_is.")
    return {"text": edited}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Record]:
    """A demonstration and a preference of the edited text over the original; of a response that needs no edit, or is
    beyond it, a thumb.
    """
    answer = check_answer(judgment.answer)
    [sample] = shown(judgment, samples)
    if "declined" in answer:
        verdict = {"good_as_it_is": True, "beyond_repair": False}.get(answer["declined"])
        return [] if verdict is None else [thumb(judgment, sample, verdict)]
    edited = (Message.of("assistant", answer["text"]),)
    prompt = judgment.prompt.messages
    if edited == sample.response:
        return [thumb(judgment, sample, True)]
    conversation = messages_to_json(prompt + edited)
    return [Instruction(id=record_id("instruction", conversation, [judgment.id]), messages=prompt + edited,
                        **origin(judgment)),
            Preference(id=record_id("preference", conversation, sample.text, judgment.annotator, [judgment.id]),
                       prompt=prompt, chosen=edited, rejected=sample.response, margin=MARGIN, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS[said["declined"]].words[language]
    return {"en": "edited: ", "zh-CN": "改为："}[language] + excerpt(said["text"])
