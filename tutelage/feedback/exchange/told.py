"""One judgment as a file tells it, before the store knows the person, the samples or the prompt.

Nobody knows which side an imported response was shown on, unless the format says it: the sides of the others are drawn
by content, and `aggregation` leaves their position out of account (the guideline `imported` marks them). An imported
response has no token ids and no policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.feedback.aggregation import SIDES_UNKNOWN
from tutelage.messages import Message, Messages, messages_to_json, record_id
from tutelage.records import AnnotatorKind, Judgment, Prompt, Sample

IMPORTED_AS_SHOWN = "imported, sides as shown"       # the guideline of judgments whose file says how things were shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """`responses` stand in the order in which they were shown, if `as_shown`; the answer speaks of that order."""

    kind: str
    prompt: Messages
    responses: tuple[Messages, ...]
    answer: Mapping[str, Any]
    person: str = ""                       # an id; "" for the one the import is kept under
    annotator: AnnotatorKind | None = None # None for that one's kind
    as_shown: bool = False
    guideline: str = ""                    # what they were told, where the file says it
    rounded: bool = False                  # the file said something finer than an answer can
    original: str = ""                     # the judgment's own id, where the file is our own export
    meta: Mapping[str, Any] = field(default_factory=dict)


class Reader(Protocol):
    """Makes judgments of rows; `left_out` counts the parts of rows that it could not carry, by what they are."""

    left_out: dict[str, int]

    def told(self, row: Mapping[str, Any]) -> Iterator[Told]:
        """Raises DataError where the row as a whole is none."""
        ...


def text_turn(text: str, role: str = "user") -> Messages:
    return (Message.from_json({"role": role, "content": text}),)


def judgment_of(told: Told, person: str, annotator: AnnotatorKind) -> tuple[list[Sample], Judgment]:
    """The samples and the judgment, by `person`.

    Raises:
        DataError: if a response is not one message of the assistant, two are the same, or the answer is none.
    """
    prompt = Prompt(id=record_id("prompt", messages_to_json(told.prompt)), messages=told.prompt)
    samples = [sample_of(prompt, response) for response in told.responses]
    if len({sample.id for sample in samples}) != len(samples):
        raise DataError("chosen and rejected are the same response" if told.kind == "comparison"
                        else "two of the responses are the same")
    answer, shown = dict(told.answer), samples
    if not told.as_shown and len(samples) > 1:
        shown = sorted(samples, key=lambda sample: sample.id)
        answer = _turned(told.kind, answer, [samples.index(sample) for sample in shown])
    told_what = told.guideline or (IMPORTED_AS_SHOWN if told.as_shown else SIDES_UNKNOWN)
    judgment = kinds.new_judgment(told.kind, person, annotator, prompt, [sample.id for sample in shown], answer, told_what,
                                  texts=[sample.text for sample in shown])
    return samples, judgment


def _turned(kind: str, answer: dict[str, Any], order: list[int]) -> dict[str, Any]:
    """The answer when response number k is the one that stood at `order[k]`."""
    if kind == "comparison" and answer.get("winner") in ("a", "b"):
        return {**answer, "winner": "ab"[order.index("ab".index(answer["winner"]))]}
    if kind == "ranking" and "ranks" in answer:
        return {**answer, "ranks": [answer["ranks"][place] for place in order]}
    if "sample" in answer:
        return {**answer, "sample": order.index(answer["sample"])}
    return answer


def sample_of(prompt: Prompt, response: Messages) -> Sample:
    """The response as a sample of nobody knows which model; equal ones are the same sample."""
    if len(response) != 1 or response[0].role != "assistant":
        raise DataError(f"a response of {len(response)} messages; wanted one, the assistant's")
    name = record_id("imported sample", messages_to_json(prompt.messages), messages_to_json(response))
    return Sample(id=name, prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(),
                  text=response[0].text, ended=True)
