"""Ranking: two to six responses to one prompt, from the best to the worst; equal ones share a place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import OPEN, Action, Asked, cannot_judge, declined, keys_of, only_keys, origin, shown, whole
from tutelage.messages import messages_to_json, record_id
from tutelage.records import Judgment, Ranking, Sample

NAME = "ranking"
NUM_SAMPLES = (2, 6)
GUIDELINE = "ranking-1"
DECLINED = ("all_bad", "cannot_judge")
QUESTION = {"en": "Put the responses in order, the best first.", "zh-CN": "请给这些回答排序，最好的在前。"}
GUIDELINE_TEXT = {
    "en": "Give each response a place: 1 for the one you would most like to have been given. What is right and answers "
          "the prompt comes first, then what is complete, then how it is said; length by itself is no merit. Responses "
          "between which you see no difference that matters share a place. Say \"all bad\" if you would want none of "
          "them, \"cannot judge\" if you lack the knowledge.",
    "zh-CN": "给每个回答一个名次：您最愿意得到的排第 1。先看内容是否正确、是否答其所问，再看是否完整，最后看表达；"
             "篇幅长短本身不算优点。看不出要紧差别的可以并列。一个都不想要选“都不好”，缺少判断所需的知识选“无法判断”。",
}
_RANKS = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 6}, "minItems": 2, "maxItems": 6}
ANSWER_SCHEMA = {
    "type": "object",
    "oneOf": [
        {"properties": {"ranks": _RANKS}, "required": ["ranks"], "additionalProperties": False},
        {"properties": {"declined": {"enum": list(DECLINED)}}, "required": ["declined"], "additionalProperties": False},
    ],
}
# A digit gives the response in focus its place and moves on; the last one sends the answer.
ACTIONS = {
    **{f"place_{n}": Action(str(n), {"en": f"place {n}", "zh-CN": f"第 {n} 名"}) for n in range(1, 7)},
    "all_bad": Action("8", {"en": "all bad", "zh-CN": "都不好"}, {"declined": "all_bad"}),
    "cannot_judge": cannot_judge(),
}
KEYS = keys_of(ACTIONS)


def check_answer(answer: Mapping[str, Any], asked: Asked = OPEN) -> dict[str, Any]:
    """`{ranks}`, one place a response in displayed order, from 1 without gaps (1, 3, 3 becomes 1, 2, 2); or
    `{declined}`.
    """
    if (none := declined(NAME, answer, DECLINED)) is not None:
        return none
    only_keys(NAME, answer, "ranks")
    ranks = answer.get("ranks")
    fewest, most = NUM_SAMPLES[0], asked.max_samples
    if (asked.num_samples or 0) > most:
        raise DataError(f"ranking: {asked.num_samples} responses are shown; the campaign wants at most {most}.")
    wanted = range(fewest, most + 1) if asked.num_samples is None else [asked.num_samples]
    if not isinstance(ranks, list | tuple) or len(ranks) not in wanted:
        got = f"{len(ranks)} places" if isinstance(ranks, list | tuple) else repr(ranks)
        raise DataError(f"ranking: ranks is {got}; wanted one place for each of the {wanted[-1]} responses.")
    places = [whole(NAME, "a place", rank, 1, NUM_SAMPLES[1]) for rank in ranks]
    order = sorted(set(places))
    return {"ranks": [1 + order.index(rank) for rank in places]}


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Ranking]:
    """One term; none where nobody ranked. Of equal texts the first shown stays, with the mean of their places."""
    answer = check_answer(judgment.answer, Asked(num_samples=len(judgment.samples)))
    given = shown(judgment, samples)
    if "ranks" not in answer:
        return []
    places: dict[str, list[int]] = {}
    for sample, rank in zip(given, answer["ranks"], strict=True):
        places.setdefault(sample.text, []).append(rank)
    if len(places) < 2:
        return []
    means = {text: sum(ranks) / len(ranks) for text, ranks in places.items()}
    order = sorted(set(means.values()))
    kept = {sample.text: sample for sample in reversed(given)}
    responses = tuple(kept[text].response for text in places)
    ranks = tuple(1 + order.index(means[text]) for text in places)
    name = record_id("ranking", messages_to_json(judgment.prompt.messages), list(places), ranks, judgment.annotator,
                     [judgment.id])
    return [Ranking(id=name, prompt=judgment.prompt.messages, responses=responses, ranks=ranks, **origin(judgment))]


def in_words(answer: Mapping[str, Any], language: str = "en") -> str:
    """Letters in order of place: "B > A = C"."""
    said = check_answer(answer)
    if "declined" in said:
        return ACTIONS[said["declined"]].words[language]
    levels = [[chr(ord("A") + at) for at, rank in enumerate(said["ranks"]) if rank == place]
              for place in range(1, 1 + max(said["ranks"]))]
    return " > ".join(" = ".join(level) for level in levels)
