"""Critique: what is good or wrong, in words; of one response, or of all that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.feedback.asked import (
    OPEN,
    TEXT_SCHEMA,
    Asked,
    cannot_judge,
    declined,
    excerpt,
    keys_of,
    only_keys,
    origin,
    place,
    shown,
    text,
)
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Critique, Judgment, Sample

NAME = "critique"
NUM_SAMPLES = (0, 6)
GUIDELINE = "critique-1"
QUESTION = {"en": "What is good, what is wrong, what is missing?", "zh-CN": "好在哪里？错在哪里？缺了什么？"}
GUIDELINE_TEXT = {
    "en": "Write it so that somebody could mend the response by your words alone: name the passage, say what is wrong "
          "with it and what would be right. Say what is good too, so that it is kept. Speak of the text, never of the "
          "person who may have written it.",
    "zh-CN": "写到别人只凭您的话就能改好这个回答：指出是哪一处，错在哪里，怎样才对。好的地方也请写明，以便保留。"
             "只评文字，不评可能写下它的人。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"text": TEXT_SCHEMA,
                        "sample": {"type": "integer", "minimum": 0, "maximum": 5}},
         "required": ["text"], "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {"cannot_judge": cannot_judge()}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{text}` of all that is shown, `{text, sample}` of the response in that place (from 0), or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "text", "sample")
    said: dict[str, Any] = {"text": text(NAME, "text", answer.get("text"))}
    if answer.get("sample") is not None:
        said["sample"] = place(NAME, answer["sample"], asked)
    return said


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Critique]:
    """One term. Where one response is shown, the words are about it even if the answer names none."""
    answer = check_answer(judgment.answer, Asked(num_samples=len(judgment.samples)))
    given = shown(judgment, samples)
    if "text" not in answer:
        return []
    at = answer.get("sample", 0 if len(given) == 1 else None)
    response = () if at is None else given[at].response
    name = record_id("critique", messages_to_json(judgment.prompt.messages), messages_to_json(response), answer["text"],
                     judgment.annotator, [judgment.id])
    return [Critique(id=name, prompt=judgment.prompt.messages, response=response, text=answer["text"],
                     **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS["cannot_judge"].words[language]
    about = f"{chr(ord('A') + said['sample'])}: " if "sample" in said else ""
    return about + excerpt(said["text"])
