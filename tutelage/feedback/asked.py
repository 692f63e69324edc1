"""What one task asks, as far as an answer has to fit it, and the checks that the kinds of judgment share.

A campaign's settings (`{"aspects": [...], "labels": [...], "multi": true, "max_samples": 4}`) and what was shown make an
`Asked`. Nothing in it is needed to read an answer again later: an answer in its one form stands for itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tutelage.errors import DataError
from tutelage.records import Judgment, Sample

LANGUAGES = ("en", "zh-CN")
ASPECTS = ("helpful", "correct", "harmless", "polite", "concise", "relevant")
MAX_LABELS = 500
MAX_TEXT = 20_000                  # characters a person may write into one answer
TEXT_SCHEMA = {"type": "string", "pattern": r"\S", "maxLength": MAX_TEXT}
NOTE_SCHEMA = {"type": "string", "pattern": r"^$|\S", "maxLength": MAX_TEXT}      # may be empty
CANNOT_JUDGE = {"declined": "cannot_judge"}      # an answer every kind but comparison and flag accepts


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Empty `aspects` or `labels` leave open which ones an answer names; None is not known, and not checked."""

    aspects: tuple[str, ...] = ()            # of a rating, in the order they are asked for
    labels: tuple[str, ...] = ()             # of a label
    multi: bool = False                      # of a label: any number of labels, none too
    max_samples: int = 6                     # of a ranking: how many responses a task may show
    num_samples: int | None = None           # how many responses are shown
    texts: tuple[str, ...] | None = None     # their texts, in displayed order

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None = None, num_samples: int | None = None,
           texts: Sequence[str] | None = None) -> Self:
        """The settings of a campaign, and what is shown.

        Raises:
            DataError: if a setting is not known, or no question could be asked with it.
        """
        given = dict(settings or {})
        if extra := sorted(set(given) - {"aspects", "labels", "multi", "max_samples"}):
            raise DataError(f"a question has no setting {extra[0]!r}; wanted aspects, labels, multi or max_samples.")
        if not isinstance(given.get("multi", False), bool):
            raise DataError(f"multi is {given['multi']!r}; wanted true or false.")
        aspects = _words("aspects", given.get("aspects", ()))
        if unknown := [aspect for aspect in aspects if aspect not in ASPECTS]:
            raise DataError(f"there is no aspect {unknown[0]!r}; wanted some of {', '.join(ASPECTS)}.")
        labels = _words("labels", given.get("labels", ()))
        if len(labels) == 1 and not given.get("multi"):
            raise DataError(f"{labels[0]!r} is the only label; wanted two or more to choose from, or multi.")
        most = whole("a question", "max_samples", given.get("max_samples", 6), 2, 6)
        return cls(aspects=aspects, labels=labels, multi=given.get("multi", False), max_samples=most,
                   num_samples=len(texts) if texts is not None else num_samples,
                   texts=None if texts is None else tuple(texts))


OPEN = Asked()                     # settles nothing: any answer of the kind will do


def _words(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise DataError(f"{name} is {value!r}; wanted a list of words.")
    if len(value) > MAX_LABELS or any(not isinstance(word, str) or not word.strip() for word in value):
        raise DataError(f"{name} must be at most {MAX_LABELS} words that are not blank.")
    if len(set(value)) != len(value):
        raise DataError(f"{name} names {next(word for word in value if list(value).count(word) > 1)!r} twice.")
    return tuple(value)


@dataclass(frozen=True, slots=True)
class Action:
    """One decision on the annotating page: its default key, its words, and the whole answer it gives.

    `answer` is None where the action is a part of an answer that takes more (a place in a ranking, a mark on a span).
    """

    key: str
    words: Mapping[str, str]
    answer: Mapping[str, Any] | None = None


def cannot_judge(key: str = "0") -> Action:
    return Action(key, {"en": "cannot judge", "zh-CN": "无法判断"}, CANNOT_JUDGE)


def keys_of(actions: Mapping[str, Action]) -> dict[str, str]:
    """action -> its default key."""
    return {name: action.key for name, action in actions.items()}


# --- checks: each raises DataError naming the kind, what was got and what was wanted ----------------------------------

def only_keys(kind: str, answer: Mapping[str, Any], *wanted: str) -> None:
    if extra := sorted(map(str, set(answer) - set(wanted))):
        raise DataError(f"{kind}: the answer has the key {extra[0]!r}; wanted {' and '.join(wanted)} only.")


def declined(kind: str, answer: Mapping[str, Any], reasons: Sequence[str] = ("cannot_judge",)) -> dict[str, Any] | None:
    """The answer of somebody who gives none, with the reason; None if this is not one."""
    if "declined" not in answer:
        return None
    only_keys(kind, answer, "declined")
    if answer["declined"] not in reasons:
        raise DataError(f"{kind}: declined is {answer['declined']!r}; wanted {' or '.join(reasons)}.")
    return {"declined": answer["declined"]}


def text(kind: str, key: str, value: Any, optional: bool = False) -> str:
    """Words somebody wrote, as they wrote them."""
    if optional and value in (None, ""):
        return ""
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{kind}: {key} is {value!r}; wanted a text that says something.")
    if len(value) > MAX_TEXT:
        raise DataError(f"{kind}: {key} has {len(value)} characters; wanted at most {MAX_TEXT}.")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise DataError(f"{kind}: {key} holds characters that no text has (NUL or half of a surrogate pair).")
    return value


def whole(kind: str, key: str, value: Any, low: int, high: int | None = None) -> int:
    if type(value) is not int or value < low or (high is not None and value > high):
        span = f"from {low} to {high}" if high is not None else f"of {low} or more"
        raise DataError(f"{kind}: {key} is {value!r}; wanted a whole number {span}.")
    return value


def place(kind: str, value: Any, asked: Asked) -> int:
    """Which of the responses shown, from 0."""
    return whole(kind, "sample", value, 0, 5 if asked.num_samples is None else asked.num_samples - 1)


# --- from judgments to terms -----------------------------------------------------------------------------------------

def shown(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Sample]:
    """The samples of a judgment in displayed order.

    Raises:
        DataError: if one of them is not given.
    """
    try:
        return [samples[id] for id in judgment.samples]
    except KeyError as missing:
        raise DataError(f"judgment {judgment.id!r} is about sample {missing}, which was not given.") from None


def origin(judgment: Judgment) -> dict[str, Any]:
    """Who said it and where it is kept: the fields every term has."""
    return {"annotator": judgment.annotator, "person": judgment.annotator_id, "judgment_ids": (judgment.id,)}


def excerpt(words: str, length: int = 60) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(words.split())
    return line if len(line) <= length else line[:length - 1] + "…"
