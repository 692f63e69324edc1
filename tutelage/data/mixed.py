"""Judgments of several kinds out of one file: each row is read by its own shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tutelage.data.datasets import Dataset, load_dataset
from tutelage.data.formats import FORMATS, detect
from tutelage.data.hub import data_files
from tutelage.data.rows import RowError
from tutelage.data.sources import open_file, prepared
from tutelage.errors import DataError
from tutelage.lineage import MANIFEST
from tutelage.project import Artifact
from tutelage.records import Record


def load_mixed(source: Artifact | Path, kinds: Sequence[str]) -> Dataset:
    """Records of any of `kinds`: of an artifact, which has one kind, or of files whose rows may each have another.

    Raises:
        DataError: if a file cannot be read, or a row is refused or of no such kind; the row is named.
    """
    if isinstance(source, Artifact) or (source / MANIFEST).is_file():
        found = load_dataset(source)
        if found.kind not in kinds:
            raise DataError(f"{source.ref if isinstance(source, Artifact) else source} holds records of kind {found.kind}; "
                            f"wanted {', '.join(kinds)}.")
        return found
    records: list[Record] = []
    hashes: dict[str, str] = {}
    for file in data_files(source):
        opened = open_file(file)
        for number, value, problem in _rows(opened):
            records += _read(value, problem, kinds, f"{file}, row {number}")
        hashes[opened.file] = opened.sha256
    return Dataset(records=records, kind=" and ".join(kinds), split="train", artifact=None, sources=hashes)


def _rows(opened: Any) -> Iterator[tuple[int, Any, str]]:
    for row in prepared(opened.container, {}):
        yield row.number, row.value, row.problem


def _read(value: Any, problem: str, kinds: Sequence[str], where: str) -> tuple[Record, ...]:
    try:
        if problem:
            raise RowError(problem)
        format = FORMATS[detect([value], where)]
        if format.kind not in kinds:
            raise RowError(f"it is a row of kind {format.kind}; wanted {', '.join(kinds)}")
        made = format.read(value, "human")
    except RowError as error:
        raise DataError(f"{where}, is no judgment: {error}. Mend it or take it out.") from None
    return made if isinstance(made, tuple) else (made,)
