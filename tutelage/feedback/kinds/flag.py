"""Flag: something a reviewer has to see, and why. It trains nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import NOTE_SCHEMA, OPEN, Action, Asked, excerpt, keys_of, only_keys, place, text
from tutelage.records import Judgment, Record, Sample

NAME = "flag"
NUM_SAMPLES = (0, 6)
GUIDELINE = "flag-1"
REASONS = ("harmful", "private", "broken", "wrong_language", "leaks_model", "other")
QUESTION = {"en": "What should a reviewer look at?", "zh-CN": "请审核员看什么？"}
GUIDELINE_TEXT = {
    "en": "Flag what should not be judged as it stands: harmful or illegal content, somebody's personal data, a text "
          "that is broken, in the wrong language, or names the model that wrote it. A flag is no answer to the task; "
          "say in a few words what you saw where the reason does not say it.",
    "zh-CN": "标出不应照常评判的内容：有害或违法、涉及他人隐私、文字残缺、语言不对，或暴露了写它的模型。"
             "标记不是对任务的回答；原因说不清的，请简单写明您看到了什么。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {"reason": {"enum": list(REASONS)}, "note": NOTE_SCHEMA,
                   "sample": {"type": "integer", "minimum": 0, "maximum": 5}},
    "required": ["reason"],
    "additionalProperties": False,
    "if": {"properties": {"reason": {"const": "other"}}},
    "then": {"properties": {"note": {"minLength": 1}}, "required": ["note"]},
}
_WORDS = {"harmful": ("harmful or illegal", "有害或违法"), "private": ("personal data", "涉及隐私"),
          "broken": ("broken text", "文字残缺"), "wrong_language": ("wrong language", "语言不对"),
          "leaks_model": ("names its model", "暴露模型"), "other": ("something else", "其他")}
# "other" needs a note, so it is no whole answer.
ACTIONS = {reason: Action(str(n), {"en": _WORDS[reason][0], "zh-CN": _WORDS[reason][1]},
                          None if reason == "other" else {"reason": reason})
           for n, reason in enumerate(REASONS, start=1)}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{reason}`, with `note` (which "other" needs) and `sample` (the place of the response it is about) if given."""
    only_keys(NAME, answer, "reason", "note", "sample")
    reason = answer.get("reason")
    if reason not in REASONS:
        raise DataError(f"flag: reason is {reason!r}; wanted one of {', '.join(REASONS)}.")
    note = text(NAME, "note", answer.get("note"), optional=reason != "other")
    said = {"reason": reason, **({"note": note} if note else {})}
    if answer.get("sample") is not None:
        said["sample"] = place(NAME, answer["sample"], asked)
    return said


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Record]:
    check_answer(judgment.answer)
    return []


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    about = f"{chr(ord('A') + said['sample'])}: " if "sample" in said else ""
    note = (": " if language == "en" else "：") + excerpt(said["note"]) if "note" in said else ""
    return about + ACTIONS[said["reason"]].words[language] + note
