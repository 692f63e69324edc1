"""Training files as judgments and judgments as training files: the formats are those of `data.formats`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.asked import ASPECTS
from tutelage.feedback.exchange.told import Told, text_turn
from tutelage.records import Instruction, Label, Preference, Ranking, Rating, Record, Thumb


def told_of(record: Record) -> Told:
    """What somebody must have said for a file to hold this record.

    A soft label becomes the plain answer it leans to (0.5 a tie), a margin the nearest strength.

    Raises:
        DataError: if no judgment says such a thing.
    """
    if isinstance(record, Preference):
        return _comparison(record)
    if isinstance(record, Ranking):
        return _told(record, "ranking", record.responses, {"ranks": list(record.ranks)})
    if isinstance(record, Rating):
        return _told(record, "rating", (record.response,), {"scores": _scores(record.scores)})
    if isinstance(record, Thumb):
        return _told(record, "thumbs", (record.response,), {"up": record.up})
    if isinstance(record, Label):
        return Told(kind="label", prompt=text_turn(record.text), responses=(), answer={"labels": list(record.labels)},
                    person=record.person, annotator=record.annotator)
    if isinstance(record, Instruction):
        if record.response.role != "assistant" or any(message.role == "tool" for message in record.messages):
            raise DataError("a conversation with tools; a demonstration is plain text")
        return Told(kind="demonstration", prompt=record.prompt, responses=(), answer={"text": record.response.text},
                    person=record.person, annotator=record.annotator)
    raise DataError(f"a {type(record).__name__.lower()} is nobody's judgment")


def _told(record: Any, kind: str, responses: tuple[Any, ...], answer: Mapping[str, Any], rounded: bool = False) -> Told:
    return Told(kind=kind, prompt=record.prompt, responses=responses, answer=answer, person=record.person,
                annotator=record.annotator, rounded=rounded)


def _comparison(record: Preference) -> Told:
    strength = max(1, min(3, 1 + round(2 * record.margin)))
    winner = "a" if record.label > 0.5 else "b"
    answer: dict[str, Any] = {"winner": "tie"} if record.label == 0.5 else {"winner": winner, "strength": strength}
    return _told(record, "comparison", (record.chosen, record.rejected), answer, record.label not in (0.0, 0.5, 1.0))


def _scores(scores: Mapping[str, float]) -> dict[str, int]:
    wrong = [f"{aspect} {score:g}" for aspect, score in scores.items()
             if aspect not in ASPECTS or score not in (1, 2, 3, 4, 5)]
    if wrong:
        raise DataError(f"the scores {', '.join(wrong)}; a rating has whole numbers from 1 to 5 for {', '.join(ASPECTS)}")
    return {aspect: int(score) for aspect, score in scores.items()}


class Training:
    """Reads records that `data.sources` has made of a file's rows."""

    def __init__(self) -> None:
        self.left_out: dict[str, int] = {}

    def told(self, record: Record) -> Iterator[Told]:
        yield told_of(record)
