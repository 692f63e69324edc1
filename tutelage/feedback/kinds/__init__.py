"""The kinds of judgment, one file each. A new kind is a new file here; nothing else has to learn its name.

A kind says what is asked, what an answer may be, which keys give it, and which neutral training terms (`records`) an
answer becomes. What a campaign settles (the aspects of a rating, the labels of a label) comes as an `Asked`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast

from tutelage.errors import DataError
from tutelage.feedback.asked import Action, Asked
from tutelage.messages import record_id
from tutelage.records import AnnotatorKind, Judgment, Preference, Prompt, Record, Sample


class Kind(Protocol):
    """What a file of this folder holds."""

    NAME: str
    NUM_SAMPLES: tuple[int, int]           # fewest and most responses that are shown
    GUIDELINE: str                         # name and version of what annotators are told
    QUESTION: Mapping[str, str]            # language -> what is asked
    GUIDELINE_TEXT: Mapping[str, str]      # language -> what annotators are told
    ANSWER_SCHEMA: Mapping[str, Any]       # JSON Schema of the answer
    ACTIONS: Mapping[str, Action]          # action -> its key, words and answer, in the order a page shows them
    KEYS: Mapping[str, str]                # action -> its default key

    def check_answer(self, answer: Mapping[str, Any], asked: Asked = ...) -> dict[str, Any]:
        """The answer in its one form. Raises DataError if it is none."""
        ...

    def terms(self, judgment: Judgment, samples: Mapping[str, Sample]) -> Sequence[Record]:
        """What the judgment means for training; empty where it means nothing. Raises DataError."""
        ...

    def in_words(self, answer: Mapping[str, Any], language: str = "en") -> str:
        """The answer as a reviewer reads it, on one line."""
        ...


@cache
def names() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


@cache
def kind(name: str) -> Kind:
    """The kind called `name`. Raises DataError if there is none."""
    if name not in names():
        raise DataError(f"no kind of judgment {name!r}. There are: {', '.join(names())}.")
    return cast(Kind, importlib.import_module(f"{__name__}.{name}"))


def new_judgment(kind_name: str, annotator_id: str, annotator: AnnotatorKind, prompt: Prompt, samples: Sequence[str],
                 answer: Mapping[str, Any], guideline: str = "", supersedes: str | None = None,
                 settings: Mapping[str, Any] | None = None, texts: Sequence[str] | None = None,
                 occasion: str = "") -> Judgment:
    """A judgment named by its content: the same answer by the same person to the same question is the same judgment.

    Args:
        samples: sample ids in displayed order.
        guideline: what the annotator was told, "" for the kind's own.
        settings: of the campaign, as `Asked.of` takes them; None leaves open what they would settle.
        texts: of the samples, in the same order; without them an edit or a span is not checked against the text.
        occasion: tells apart askings of one same question (a planned duplicate: its task's id).
    Raises:
        DataError: if the answer or the number of samples is not the kind's.
    """
    asked = kind(kind_name)
    fewest, most = asked.NUM_SAMPLES
    if len(set(samples)) != len(samples) or not fewest <= len(samples) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise DataError(f"a judgment of kind {kind_name} shows {wanted} different samples, not "
                        f"{', '.join(samples) or 'none'}.")
    said = asked.check_answer(answer, Asked.of(settings, len(samples), texts))
    told = guideline or asked.GUIDELINE
    content = (kind_name, annotator_id, annotator, prompt.to_json(), list(samples), said, told, supersedes)
    name = record_id("judgment", *content, *([occasion] if occasion else []))
    return Judgment(id=name, kind=kind_name, annotator_id=annotator_id, annotator=annotator, prompt=prompt,
                    samples=tuple(samples), answer=said, guideline=told, supersedes=supersedes)


def terms(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Record]:
    """The neutral training terms of a judgment of any kind; `samples` holds those it was about, by id.

    Raises:
        DataError: if the answer is none of its kind, or a sample is not given.
    """
    return list(kind(judgment.kind).terms(judgment, samples))


def to_preferences(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Preference]:
    """Those of the terms that are preferences."""
    return [term for term in terms(judgment, samples) if isinstance(term, Preference)]


def in_words(judgment: Judgment, language: str = "en") -> str:
    """What was answered, on one line, for a reviewer who reads `language` (en or zh-CN)."""
    return kind(judgment.kind).in_words(judgment.answer, language)
