"""Spans: passages of a response that are wrong, unsafe or good, by where they begin and end.

Offsets count Unicode code points, as Python does. A page must not send JavaScript's UTF-16 indices: an emoji is one
code point and two of those (`[...text.slice(0, i)].length` turns one into the other).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import (
    NOTE_SCHEMA,
    OPEN,
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
    whole,
)
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Judgment, Marked, Sample

NAME = "spans"
NUM_SAMPLES = (1, 1)
GUIDELINE = "spans-1"
MARKS = ("wrong", "unsafe", "good")
MAX_MARKS = 200
QUESTION = {"en": "Mark what is wrong, unsafe or especially good.", "zh-CN": "请标出错误、不安全或特别好的地方。"}
GUIDELINE_TEXT = {
    "en": "Mark the shortest passage that makes the point: the wrong number, not its paragraph. Wrong: untrue, or does "
          "not follow. Unsafe: could hurt somebody who acts on it. Good: worth keeping in any rewrite. A note says "
          "why. No marks at all is an answer too.",
    "zh-CN": "标出最短的那一段：错的是数字就标数字，不标整段。错误：不属实或推不出来。不安全：照做可能使人受害。"
             "好：怎么改写都值得保留。可加备注说明理由。一处也不标同样是答案。",
}
_MARK = {"type": "object",
         "properties": {"start": {"type": "integer", "minimum": 0}, "end": {"type": "integer", "minimum": 1},
                        "mark": {"enum": list(MARKS)}, "note": NOTE_SCHEMA},
         "required": ["start", "end", "mark"], "additionalProperties": False}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"marks": {"type": "array", "items": _MARK, "maxItems": MAX_MARKS}}, "required": ["marks"],
         "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
ACTIONS = {
    "wrong": Action("1", {"en": "wrong", "zh-CN": "错误"}),
    "unsafe": Action("2", {"en": "unsafe", "zh-CN": "不安全"}),
    "good": Action("3", {"en": "good", "zh-CN": "好"}),
    "send": Action("Enter", {"en": "send", "zh-CN": "提交"}),
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{marks: [{start, end, mark, note}]}` by place, `note` where there is one; or `{declined}`. Marks of one kind
    do not overlap.
    """
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "marks")
    marks = answer.get("marks")
    if not isinstance(marks, list | tuple) or len(marks) > MAX_MARKS:
        raise DataError(f"spans: marks is {excerpt(repr(marks))}; wanted a list of at most {MAX_MARKS}.")
    length = len(asked.texts[0]) if asked.texts else None
    checked = sorted((_mark(mark, length) for mark in marks),
                     key=lambda mark: (mark["start"], mark["end"], mark["mark"]))
    reached: dict[str, int] = {}
    for mark in checked:
        if mark["start"] < reached.get(mark["mark"], 0):
            raise DataError(f"spans: two passages marked {mark['mark']!r} overlap at {mark['start']}; make them one.")
        reached[mark["mark"]] = mark["end"]
    return {"marks": checked}


def _mark(mark: Any, length: int | None) -> dict[str, Any]:
    if not isinstance(mark, Mapping):
        raise DataError(f"spans: a mark is {mark!r}; wanted start, end and mark.")
    only_keys(NAME, mark, "start", "end", "mark", "note")
    if mark.get("mark") not in MARKS:
        raise DataError(f"spans: mark is {mark.get('mark')!r}; wanted one of {', '.join(MARKS)}.")
    start = whole(NAME, "start", mark.get("start"), 0)
    end = whole(NAME, "end", mark.get("end"), start + 1, length)
    note = text(NAME, "note", mark.get("note"), optional=True)
    return {"start": start, "end": end, "mark": mark["mark"], **({"note": note} if note else {})}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Marked]:
    """One term, without marks where somebody looked and found none; no term where they could not judge."""
    [sample] = shown(judgment, samples)
    answer = check_answer(judgment.answer, Asked(texts=(sample.text,)))
    if "marks" not in answer:
        return []
    name = record_id("marked", messages_to_json(judgment.prompt.messages), sample.text, answer["marks"],
                     judgment.annotator, [judgment.id])
    return [Marked(id=name, prompt=judgment.prompt.messages, response=sample.response, marks=tuple(answer["marks"]),
                   **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS["cannot_judge"].words[language]
    counts = {name: sum(mark["mark"] == name for mark in said["marks"]) for name in MARKS}
    parts = [f"{count} {ACTIONS[name].words[language]}" if language == "en" else f"{count} 处{ACTIONS[name].words[language]}"
             for name, count in counts.items() if count]
    return ({"en": ", ", "zh-CN": "，"}[language]).join(parts) or {"en": "no marks", "zh-CN": "无标记"}[language]
