"""The kinds of judgment, one file each. A new kind is a new file here; nothing else has to learn its name.

A kind says what is asked, what an answer may be, and which neutral training terms (`records`) an answer becomes.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol, cast

from tutelage.errors import DataError
from tutelage.records import AnnotatorKind, Judgment, Preference, Prompt, Sample, record_id


class Kind(Protocol):
    """What a file of this folder holds."""

    NAME: str
    NUM_SAMPLES: int                       # how many samples are shown
    GUIDELINE: str                         # name and version of what annotators are told
    QUESTION: Mapping[str, str]            # language -> what is asked
    GUIDELINE_TEXT: Mapping[str, str]      # language -> what annotators are told
    ANSWER_SCHEMA: Mapping[str, Any]       # JSON Schema of the answer

    def check_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The answer in its one form. Raises DataError if it is none."""
        ...

    def to_preferences(self, judgment: Judgment, samples: Mapping[str, Sample]) -> list[Preference]: ...


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
                 answer: Mapping[str, Any], guideline: str = "", supersedes: str | None = None) -> Judgment:
    """A judgment named by its content: the same answer by the same person to the same question is the same judgment.

    Args:
        samples: sample ids in displayed order.
        guideline: what the annotator was told, "" for the kind's own.
    Raises:
        DataError: if the answer or the number of samples is not the kind's.
    """
    asked = kind(kind_name)
    if len(set(samples)) != asked.NUM_SAMPLES or len(samples) != asked.NUM_SAMPLES:
        raise DataError(f"a {kind_name} shows {asked.NUM_SAMPLES} different samples, not "
                        f"{', '.join(samples) or 'none'}.")
    said, told = asked.check_answer(answer), guideline or asked.GUIDELINE
    content = (kind_name, annotator_id, annotator, prompt.to_json(), list(samples), said, told, supersedes)
    return Judgment(id=record_id("judgment", *content), kind=kind_name, annotator_id=annotator_id, annotator=annotator,
                    prompt=prompt, samples=tuple(samples), answer=said, guideline=told, supersedes=supersedes)


def to_preferences(judgment: Judgment, samples: Mapping[str, Sample]) -> list[Preference]:
    return kind(judgment.kind).to_preferences(judgment, samples)
