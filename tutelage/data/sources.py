"""Read other people's files: every row becomes a record or a refusal with its reason, and none is lost between."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from tutelage.data.columns import check_columns, renamed
from tutelage.data.containers import Container, recognise
from tutelage.data.formats import FORMATS, detect
from tutelage.data.rows import Row, RowError
from tutelage.data.tables import typed
from tutelage.errors import DataError
from tutelage.records import RECORD_TYPES, AnnotatorKind, Record

ROWS_LOOKED_AT = 100      # for the format; enough that a few damaged rows in front do not decide it
CHARACTERS_LOOKED_AT = 1 << 24
_KIND_NAMES = {record_type: name for name, record_type in RECORD_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is no record: its file, its number from 1 (the line, for JSON lines) and why."""

    file: str
    row: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"file": self.file, "row": self.row, "reason": self.reason}


Outcome = tuple[int, tuple[Record, ...], str]      # a row's number, its records, and why it has none


class Readable(Protocol):
    """Rows with their outcomes: a `Source`, which reads as it goes, or an `Imported`, which holds all."""

    @property
    def file(self) -> str: ...
    @property
    def format(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def salt(self) -> str: ...
    @property
    def asked(self) -> Mapping[str, Any]: ...

    def outcomes(self) -> Iterator[Outcome]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file held. `num_read == len(set(rows)) + len(refusals)`, always; few formats make several records of a row."""

    file: str                       # its name, without the directory
    format: str
    records: list[Record]
    rows: list[int]                 # the number of the row each record came from
    refusals: list[Refusal]
    num_read: int
    sha256: str                     # of the file's bytes
    salt: str                       # 64 hex digits that only somebody who has the file can compute
    asked: Mapping[str, Any] = field(default_factory=dict)     # how it was to be read, where that changes the records

    @property
    def kind(self) -> str:
        """As in `records.RECORD_TYPES`."""
        return _KIND_NAMES[type(self.records[0])] if self.records else ""

    def outcomes(self) -> Iterator[Outcome]:
        """Every row in order."""
        made: dict[int, tuple[Record, ...]] = {}
        for number, record in zip(self.rows, self.records, strict=True):
            made[number] = (*made.get(number, ()), record)
        reasons = {refusal.row: refusal.reason for refusal in self.refusals}
        for number in sorted({*made, *reasons}):
            yield number, made.get(number, ()), reasons.get(number, "")


@dataclass(frozen=True)
class Source:
    """A file that is read row by row, as often as it is asked; use `open_file`."""

    container: Container
    format: str
    annotator: AnnotatorKind = "human"
    columns: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False            # the first bad row is an error of the whole file

    @property
    def file(self) -> str:
        return self.container.path.name

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return self._digests[0]

    @property
    def salt(self) -> str:
        """64 hex digits that only somebody who has the file can compute."""
        return self._digests[1]

    @property
    def asked(self) -> Mapping[str, Any]:
        """How it is to be read, where that changes the records."""
        said: dict[str, Any] = {"annotator": self.annotator} if self.annotator != "human" else {}
        return {**said, "columns": dict(self.columns)} if self.columns else said

    @cached_property
    def _digests(self) -> tuple[str, str]:
        plain, salted = hashlib.sha256(), hashlib.sha256(b"tutelage row salt\0")
        try:
            with open(self.container.path, "rb", buffering=0) as stream:
                while chunk := stream.read(1 << 20):
                    plain.update(chunk)
                    salted.update(chunk)
        except OSError as error:
            raise DataError(f"{self.container.path} cannot be read: {error.strerror}.") from None
        return plain.hexdigest(), salted.hexdigest()

    def outcomes(self) -> Iterator[Outcome]:
        """Every row in order: its records, or why it has none.

        Raises:
            DataError: if the file cannot be read to its end or changes meanwhile, or a row is bad and `strict` is set.
        """
        read, before = FORMATS[self.format].read, self._stamp()
        for row in prepared(self.container, self.columns):
            try:
                if row.problem:
                    raise RowError(row.problem)
                made = read(row.value, self.annotator)
                yield row.number, made if isinstance(made, tuple) else (made,), ""
            except RowError as error:
                if self.strict:
                    raise DataError(f"{self.file}, row {row.number}: {error}. Mend it, or import without --strict, which leaves "
                                    "such rows out and lists them.") from None
                yield row.number, (), str(error)
        if self._stamp() != before:
            raise DataError(f"{self.file} was changed while it was read. Import it again once nobody writes to it.")

    def _stamp(self) -> tuple[int, int]:
        found = os.stat(self.container.path)
        return found.st_size, found.st_mtime_ns


def prepared(container: Container, columns: Mapping[str, str]) -> Iterator[Row]:
    """The container's rows with our names for mapped columns, and numbers where a table has only texts."""
    if not columns and container.typed:
        yield from container.rows()
        return
    for row in container.rows():
        if row.problem:
            yield row
        else:
            value = renamed(row.value, columns) if columns else row.value
            yield Row(row.number, value if container.typed else typed(value))


def open_file(path: Path | str, format: str | None = None, annotator: AnnotatorKind = "human",
              columns: Mapping[str, str] | None = None, strict: bool = False) -> Source:
    """Recognise a file and its format; nothing but its beginning is read yet.

    Args:
        format: a name in `formats.FORMATS`; None finds it by the keys of the first rows.
        annotator: who judged, or wrote the responses, where a row does not say it itself.
        columns: our key -> the file's column.

    Raises:
        DataError: if the file as a whole cannot be read: missing, empty, of no known kind, or of an unknown format.
        ConfigError: if `columns` names a key that no format reads.
    """
    if format is not None and format not in FORMATS:
        raise DataError(f"no format {format!r}. There are: {', '.join(FORMATS)}.")
    columns = dict(columns or {})
    check_columns(columns)
    container = recognise(Path(path).expanduser())
    first = _first_rows(container, columns)
    objects = [row.value for row in first if not row.problem]
    if not objects and (format is None or len(first) < ROWS_LOOKED_AT):
        raise DataError(_nothing(container.path.name, [row.problem for row in first]))
    return Source(container, format or detect(objects, container.path.name), annotator, columns, strict)


def _first_rows(container: Container, columns: Mapping[str, str]) -> list[Row]:
    rows, size = [], 0
    for row in islice(prepared(container, columns), ROWS_LOOKED_AT):
        rows.append(row)
        size += len(str(row.value))
        if size > CHARACTERS_LOOKED_AT:
            break
    return rows


def read_file(path: Path | str, format: str | None = None, annotator: AnnotatorKind = "human",
              columns: Mapping[str, str] | None = None, strict: bool = False) -> Imported:
    """Read a file whole, as `open_file` and `Source.outcomes` do."""
    source = open_file(path, format, annotator, columns, strict)
    records: list[Record] = []
    numbers: list[int] = []
    refusals, count = [], 0
    for number, made, reason in source.outcomes():
        count += 1
        records += made
        numbers += [number] * len(made)
        if not made:
            refusals.append(Refusal(source.file, number, reason))
    return Imported(file=source.file, format=source.format, records=records, rows=numbers, refusals=refusals, num_read=count,
                    sha256=source.sha256, salt=source.salt, asked=source.asked)


def _nothing(name: str, problems: list[str]) -> str:
    if not problems:
        return f"{name} has no rows; wanted objects: a JSON array of them, one a line, or a table."
    reason, count = Counter(problems).most_common(1)[0]
    hint = " If it is GBK or another encoding, save it as UTF-8." if "UTF-8" in reason else ""
    return f"{name} has {len(problems)} rows and none is a JSON object ({count} times: {reason}).{hint}"
