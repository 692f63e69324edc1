"""Label: which class a text is in, or which classes. The text is the response shown, or the prompt where none is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import MAX_LABELS, OPEN, Action, Asked, cannot_judge, declined, keys_of, only_keys, origin, shown
from tutelage.messages import record_id
from tutelage.records import Judgment, Label, Sample

NAME = "label"
NUM_SAMPLES = (0, 1)
GUIDELINE = "label-1"
QUESTION = {"en": "Which label fits the text?", "zh-CN": "哪个标签符合这段文字？"}
GUIDELINE_TEXT = {
    "en": "Choose by what the text says, not by what you think of it. Where several labels are allowed choose each one "
          "that fits, and none where none does. Say \"cannot judge\" if the text is not in a language you read.",
    "zh-CN": "按文字所说的内容选择，不按您对它的看法。允许多选时，符合的都选；都不符合就一个也不选。"
             "看不懂文字所用的语言时选“无法判断”。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"labels": {"type": "array", "items": {"type": "string", "pattern": r"\S"}, "uniqueItems": True,
                                   "maxItems": MAX_LABELS}},
         "required": ["labels"], "additionalProperties": False},
        {"properties": {"declined": {"const": "cannot_judge"}}, "required": ["declined"], "additionalProperties": False},
    ],
}
# A digit picks a label (and sends the answer where one is asked for); Enter sends several.
ACTIONS = {
    **{f"label_{n}": Action(str(n), {"en": f"label {n}", "zh-CN": f"标签 {n}"}) for n in range(1, 10)},
    "send": Action("Enter", {"en": "send", "zh-CN": "提交"}),
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{labels}` in the campaign's order: exactly one, or with `multi` any number; or `{declined}`."""
    if (none := declined(NAME, answer)) is not None:
        return none
    only_keys(NAME, answer, "labels")
    labels = answer.get("labels")
    if not isinstance(labels, list | tuple) or any(not isinstance(each, str) or not each.strip() for each in labels):
        raise DataError(f"label: labels is {labels!r}; wanted a list of words.")
    if len(set(labels)) != len(labels) or len(labels) > MAX_LABELS:
        raise DataError(f"label: {len(labels)} labels, {len(set(labels))} of them different; wanted each once, "
                        f"at most {MAX_LABELS}.")
    if not asked.labels:
        return {"labels": sorted(labels)}
    if unknown := [each for each in labels if each not in asked.labels]:
        raise DataError(f"label: there is no label {unknown[0]!r}; wanted one of {', '.join(asked.labels)}.")
    if not asked.multi and len(labels) != 1:
        raise DataError(f"label: {len(labels)} labels; wanted exactly one of {', '.join(asked.labels)}.")
    return {"labels": [each for each in asked.labels if each in labels]}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Label]:
    answer = check_answer(judgment.answer)
    given = shown(judgment, samples)
    if "labels" not in answer:
        return []
    text = given[0].text if given else judgment.prompt.messages[-1].text
    labels = tuple(judgment.answer["labels"])
    name = record_id("label", text, labels, judgment.annotator, [judgment.id])
    return [Label(id=name, text=text, labels=labels, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS["cannot_judge"].words[language]
    none = {"en": "no label", "zh-CN": "无标签"}[language]
    return ({"en": ", ", "zh-CN": "、"}[language]).join(answer["labels"]) or none
