"""Was the examination in the textbook? Evaluation texts found again in training data, by runs of 13 units and by MinHash.

A unit is a word, or a Han character, normalised (`text_metrics.units`): 13 of them in a row, as Brown et al. 2020
(arXiv:2005.14165, appendix C) looked for. Short texts have no such run, so texts that are near duplicates as a whole are
looked for too (`data.duplicates`, Jaccard 0.8 of eight-byte shingles).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.data.duplicates import clusters, near_duplicates
from tutelage.messages import Message
from tutelage.text_metrics import ngrams

RUN = 13


@dataclass(frozen=True, slots=True)
class Contamination:
    """Which evaluation texts were found in training data, by their places."""

    checked: int
    by_run: tuple[int, ...]            # share a run of 13 units with a training text
    by_likeness: tuple[int, ...]       # are near duplicates of a training text

    @property
    def found(self) -> tuple[int, ...]:
        return tuple(sorted({*self.by_run, *self.by_likeness}))


def contamination(evaluation: Sequence[str], training: Sequence[str]) -> Contamination:
    """Look for every text of `evaluation` in `training`."""
    grams: dict[int, set[int]] = {}
    for place, text in enumerate(evaluation):
        for gram in ngrams(text, RUN):
            grams.setdefault(hash(gram), set()).add(place)
    runs: set[int] = set()
    for text in training if grams else ():
        for gram in ngrams(text, RUN):
            runs |= grams.get(hash(gram), set())
    return Contamination(len(evaluation), tuple(sorted(runs)), tuple(_alike(evaluation, training)))


def _alike(evaluation: Sequence[str], training: Sequence[str]) -> Iterator[int]:
    """Places of evaluation texts in a cluster that holds a training text too."""
    if not training:
        return
    texts = [*evaluation, *training]
    roots = clusters(len(texts), near_duplicates(texts))
    trained = {roots[at] for at in range(len(evaluation), len(texts))}
    yield from (at for at in range(len(evaluation)) if roots[at] in trained)


def texts_of(records: Iterable[Any]) -> list[str]:
    """What training saw: of each record every message, and all of them together."""
    found = []
    for record in records:
        text = getattr(record, "text", "")
        parts = [text] if isinstance(text, str) else []
        for name in ("messages", "prompt", "chosen", "rejected", "response"):
            value = getattr(record, name, ())
            if isinstance(value, tuple) and all(isinstance(each, Message) for each in value):
                parts += [message.text for message in value]
        parts += [message.text for response in getattr(record, "responses", ()) for message in response]
        parts = [part for part in parts if part]
        found += [*parts, "\n".join(parts)] if len(parts) > 1 else parts
    return found
