"""Comparison: two responses to one prompt, which is better?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.records import Judgment, Preference, Sample, messages_to_json, record_id

NAME = "comparison"
NUM_SAMPLES = 2
GUIDELINE = "comparison-1"
WINNERS = ("a", "b", "tie", "both_bad", "cannot_judge")    # "a" is the sample shown first
QUESTION = {"en": "Which response is better?", "zh-CN": "哪个回答更好？"}
GUIDELINE_TEXT = {
    "en": "Pick the response you would rather have been given: first what is right and answers the prompt, then what "
          "is complete, then how it is said. Length by itself is no merit. Say \"tie\" if you see no difference that "
          "matters, \"both bad\" if you would want neither, \"cannot judge\" if you lack the knowledge. Strength: "
          "1 slightly, 2 clearly, 3 far better.",
    "zh-CN": "选出您更愿意得到的回答：先看内容是否正确、是否答其所问，再看是否完整，最后看表达。篇幅长短本身不算优点。"
             "看不出要紧的差别选“平局”，两个都不想要选“都不好”，缺少判断所需的知识选“无法判断”。"
             "强度：1 略好，2 明显更好，3 好得多。",
}
ANSWER_SCHEMA = {
    "type": "object",
    "properties": {
        "winner": {"enum": list(WINNERS)},
        "strength": {"type": "integer", "minimum": 1, "maximum": 3},
    },
    "required": ["winner"],
    "additionalProperties": False,
    "if": {"properties": {"winner": {"enum": ["a", "b"]}}},
    "then": {"required": ["strength"]},
    "else": {"properties": {"strength": False}},
}


def check_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    """`{winner, strength}` for a winner, `{winner}` for the rest.

    Raises:
        DataError: naming the key, what was got and what was wanted.
    """
    if extra := sorted(set(answer) - {"winner", "strength"}):
        raise DataError(f"a comparison's answer has the key {extra[0]!r}; wanted winner and strength only.")
    winner, strength = answer.get("winner"), answer.get("strength")
    if winner not in WINNERS:
        raise DataError(f"a comparison's winner is {winner!r}; wanted one of {', '.join(WINNERS)}.")
    if winner not in ("a", "b"):
        if strength is not None:
            raise DataError(f"a comparison that says {winner!r} has a strength, {strength!r}; only a winner has one.")
        return {"winner": winner}
    if type(strength) is not int or strength not in (1, 2, 3):
        raise DataError(f"a comparison's strength is {strength!r}; wanted 1 (slightly), 2 (clearly) or 3 (far better).")
    return {"winner": winner, "strength": strength}


def to_preferences(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Preference]:
    """At most one term. A winner is chosen with label 1 and a margin of 0, 0.5 or 1 by strength; a tie has label 0.5;
    "both bad", "cannot judge" and two equal texts say nothing about which is better.

    Raises:
        DataError: if the answer is none, or a sample is not given.
    """
    answer = check_answer(judgment.answer)
    try:
        first, second = (samples[id] for id in judgment.samples)
    except KeyError as missing:
        raise DataError(f"judgment {judgment.id!r} is about sample {missing}, which was not given.") from None
    winner = answer["winner"]
    if winner in ("both_bad", "cannot_judge") or first.text == second.text:
        return []
    chosen, rejected = (second, first) if winner == "b" else (first, second)
    label, margin = (0.5, 0.0) if winner == "tie" else (1.0, (answer["strength"] - 1) / 2)
    name = record_id("preference", messages_to_json(judgment.prompt.messages), chosen.text, rejected.text, label,
                     margin, judgment.annotator, [judgment.id])
    return [Preference(id=name, prompt=judgment.prompt.messages, chosen=chosen.response, rejected=rejected.response,
                       margin=margin, label=label, annotator=judgment.annotator, judgment_ids=(judgment.id,))]
