"""What is in the store as a file of another tool's format: one row after the other, whole or not there at all.

Pairs are the project's preferences by one of the methods of `aggregation`; other training formats hold what single
people said, one row a judgment; the rest hold the judgments themselves, with their people.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.data.exporting import write_file
from tutelage.data.formats import FORMATS as TRAINING
from tutelage.errors import DataError, UsageError
from tutelage.feedback.aggregation import preferences, terms
from tutelage.feedback.exchange.argilla import argilla_row
from tutelage.feedback.exchange.label_studio import label_studio_task
from tutelage.feedback.exchange.tables import judgment_to_row, table_row, write_table
from tutelage.records import RECORD_TYPES, AnnotatorKind, Judgment, Sample, Thumb
from tutelage.store import Store

READ_AHEAD = 500
PAIRS = ("chosen-rejected", "hh", "sharegpt-pairs")
TERMS = ("kto", "trl-kto", "rankings", "ratings", "labels", "alpaca", "messages", "sharegpt", "prompt-response")
JUDGMENTS = ("judgments", "csv", "argilla", "label-studio")
FORMATS = (*PAIRS, *TERMS, *JUDGMENTS)


@dataclass(slots=True)
class Given:
    """What an export did: rows written, and what it left out, by why."""

    rows: int = 0
    left_out: dict[str, int] = field(default_factory=Counter)


def export(store: Store, path: Path, format: str = "chosen-rejected", method: str = "vote",
           annotator: AnnotatorKind | None = None) -> Given:
    """Write the current judgments, of one kind of annotator or of all.

    Raises:
        UsageError: if there is no such format or method; DataError: if the file cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(f"no format {format!r} to export to. There are: {', '.join(FORMATS)}.")
    given = Given()
    if format == "csv":
        given.rows = write_table(path, _judgments(store, annotator, table_row, given))
        return given
    given.rows = write_file(path, _rows(store, format, method, annotator, given))
    return given


def _rows(store: Store, format: str, method: str, annotator: AnnotatorKind | None, given: Given) -> Iterator[Mapping[str, Any]]:
    if format in PAIRS:
        return _pairs(store, format, method, annotator, given)
    if format in TERMS:
        return _terms(store, format, annotator, given)
    if format == "judgments":
        return _whole(store, annotator)
    if format == "argilla":
        return _judgments(store, annotator, argilla_row, given)
    numbers = iter(range(1, 1 << 62))
    return _judgments(store, annotator, lambda judgment, samples: label_studio_task(next(numbers), judgment, samples), given)


def _pairs(store: Store, format: str, method: str, annotator: AnnotatorKind | None, given: Given) -> Iterator[Mapping[str, Any]]:
    for term in preferences(store, annotator, method=method):
        if term.label <= 0.5:
            given.left_out["draws, which have no chosen response"] += 1
        else:
            yield from _written(TRAINING[format].write, term, given)


def _terms(store: Store, format: str, annotator: AnnotatorKind | None, given: Given) -> Iterator[Mapping[str, Any]]:
    wanted = Thumb if format == "trl-kto" else RECORD_TYPES[TRAINING[format].kind]
    write = trl_kto if format == "trl-kto" else TRAINING[format].write
    for term in terms(store, annotator):
        if isinstance(term, wanted):
            yield from _written(write, term, given)
        else:
            given.left_out[f"terms of kind {type(term).__name__.lower()}"] += 1


def _written(write: Callable[[Any], Mapping[str, Any]], term: Any, given: Given) -> Iterator[Mapping[str, Any]]:
    try:
        yield write(term)
    except DataError as error:      # the format cannot say it: "record … cannot be written as hh: it has …"
        given.left_out[str(error).partition(": ")[2].partition(". ")[0] or str(error)] += 1


def trl_kto(record: Thumb) -> dict[str, Any]:
    """A row of TRL's unpaired preferences, in its conversational form."""
    def turns(messages: Any) -> list[dict[str, str]]:
        return [{"role": message.role, "content": message.text} for message in messages]
    return {"prompt": turns(record.prompt), "completion": turns(record.response), "label": record.up}


def _judgments(store: Store, annotator: AnnotatorKind | None, write: Callable[[Judgment, list[Sample]], dict[str, Any]],
               given: Given) -> Iterator[dict[str, Any]]:
    for judgment, samples in with_samples(store, store.judgments(annotator=annotator)):
        try:
            yield write(judgment, samples)
        except DataError as why:
            given.left_out[str(why)] += 1


def _whole(store: Store, annotator: AnnotatorKind | None) -> Iterator[dict[str, Any]]:
    """Every current judgment, behind those that it supersedes."""
    wanted = {judgment.supersedes for judgment in store.judgments(annotator=annotator, current=False)}
    earlier = {judgment.id: judgment for judgment in store.judgments(annotator=annotator, current=False)
               if judgment.id in wanted}

    def chains() -> Iterator[Judgment]:
        for judgment in store.judgments(annotator=annotator):
            chain = [judgment]
            while (before := chain[-1].supersedes) is not None and before in earlier:
                chain.append(earlier[before])
            yield from reversed(chain)

    for judgment, samples in with_samples(store, chains()):
        yield judgment_to_row(judgment, samples)


def with_samples(store: Store, judgments: Iterator[Judgment]) -> Iterator[tuple[Judgment, list[Sample]]]:
    """Each judgment with its samples in displayed order, read a few hundred at a time."""
    while batch := list(islice(judgments, READ_AHEAD)):
        found = {sample.id: sample for sample in store.samples({id for judgment in batch for id in judgment.samples})}
        for judgment in batch:
            yield judgment, [found[id] for id in judgment.samples]


def export_preferences(store: Store, path: Path) -> tuple[int, int]:
    """The preferences by vote in the chosen-rejected format; (rows written, draws left out)."""
    given = export(store, path)
    return given.rows, sum(given.left_out.values())


__all__ = ["FORMATS", "Given", "export", "export_preferences", "trl_kto", "with_samples"]
