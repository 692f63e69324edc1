"""Comparison: two responses to one prompt, which is better?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import OPEN, Action, Asked, keys_of, origin, shown
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Judgment, Preference, Sample

NAME = "comparison"
NUM_SAMPLES = (2, 2)
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


def _winner(key: str, winner: str, strength: int) -> Action:
    english = ("slightly", "clearly", "far")[strength - 1]
    chinese = ("略好", "明显更好", "好得多")[strength - 1]
    return Action(key, {"en": f"{winner.upper()} is {english} better", "zh-CN": f"{winner.upper()} {chinese}"},
                  {"winner": winner, "strength": strength})


# One key a decision, strength and all: the further out on the row, the surer.
ACTIONS = {
    "a_far": _winner("1", "a", 3), "a_clearly": _winner("2", "a", 2), "a_slightly": _winner("3", "a", 1),
    "tie": Action("4", {"en": "tie", "zh-CN": "平局"}, {"winner": "tie"}),
    "b_slightly": _winner("5", "b", 1), "b_clearly": _winner("6", "b", 2), "b_far": _winner("7", "b", 3),
    "both_bad": Action("8", {"en": "both bad", "zh-CN": "都不好"}, {"winner": "both_bad"}),
    "cannot_judge": Action("0", {"en": "cannot judge", "zh-CN": "无法判断"}, {"winner": "cannot_judge"}),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
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


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Preference]:
    """At most one term. A winner is chosen with label 1 and a margin of 0, 0.5 or 1 by strength; a tie has label 0.5;
    "both bad", "cannot judge" and two equal texts say nothing about which is better.
    """
    answer = check_answer(judgment.answer)
    first, second = shown(judgment, samples)
    winner = answer["winner"]
    if winner in ("both_bad", "cannot_judge") or first.text == second.text:
        return []
    chosen, rejected = (second, first) if winner == "b" else (first, second)
    label, margin = (0.5, 0.0) if winner == "tie" else (1.0, (answer["strength"] - 1) / 2)
    name = record_id("preference", messages_to_json(judgment.prompt.messages), chosen.text, rejected.text, label,
                     margin, judgment.annotator, [judgment.id])
    return [Preference(id=name, prompt=judgment.prompt.messages, chosen=chosen.response, rejected=rejected.response,
                       margin=margin, label=label, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    said = check_answer(answer)
    return next(action.words[language] for action in ACTIONS.values() if action.answer == said)
