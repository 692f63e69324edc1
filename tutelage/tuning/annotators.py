"""Whose responses are trained on: people's, a model's and a script's are never mixed silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from tutelage.data.datasets import Dataset
from tutelage.errors import DataError
from tutelage.records import AnnotatorKind


def chosen(data: Dataset, wanted: Sequence[AnnotatorKind], name: str,
           what: str = "responses written") -> tuple[Dataset, dict[str, int]]:
    """The data with the rows of the annotators that are wanted, and how many rows each of them wrote; `what` is for messages.

    Raises:
        DataError: if several kinds wrote it and nobody said which to take, or nothing of those wanted is in it.
    """
    counts = Counter(record.annotator for record in data.records)
    told = ", ".join(f"{count} by {kind}" for kind, count in sorted(counts.items()))
    if not wanted and len(counts) > 1:
        raise DataError(f"{name} mixes {what} by different kinds of annotators: {told}. Say whose are trained on, for "
                        f"all of them: --annotators {' '.join(sorted(counts))}.")
    kept = [record for record in data.records if not wanted or record.annotator in wanted]
    if not kept:
        raise DataError(f"{name} holds no {what} by {' or '.join(wanted)}; it has {told or 'none'}.")
    return replace(data, records=kept), dict(sorted(Counter(record.annotator for record in kept).items()))


def sentence(counts: dict[str, int], done: str = "written") -> str:
    """How many rows each kind wrote, or labelled, for people."""
    return ", ".join(f"{count} {done} by {'people' if kind == 'human' else f'a {kind}'}" for kind, count in counts.items())
