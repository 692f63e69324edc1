"""Read other people's files: every row becomes a record or a refusal with its reason, and none is lost between."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.data.formats import FORMATS, Record, detect
from tutelage.data.rows import read_bytes, split_rows
from tutelage.data.turns import RowError
from tutelage.errors import DataError
from tutelage.records import AnnotatorKind, Instruction, Preference, Prompt

ROWS_LOOKED_AT = 100      # for the format; enough that a few damaged rows in front do not decide it
_RECORD_KINDS = {Instruction: "instruction", Preference: "preference", Prompt: "prompt"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is no record: its file, its number from 1 (the line, for JSON lines) and why."""

    file: str
    row: int
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"file": self.file, "row": self.row, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What a file held. `num_read == len(records) + len(refusals)`, always."""

    file: str                       # its name, without the directory
    format: str
    records: list[Record]
    rows: list[int]                 # the number of the row each record came from
    refusals: list[Refusal]
    num_read: int
    sha256: str                     # of the file's bytes
    salt: str                       # 64 hex digits that only somebody who has the file can compute

    @property
    def kind(self) -> str:
        """instruction, preference or prompt."""
        return _RECORD_KINDS[type(self.records[0])] if self.records else ""


def read_file(path: Path | str, format: str | None = None, annotator: AnnotatorKind = "human") -> Imported:
    """Read a JSON array or JSON lines file.

    Args:
        format: a name in `formats.FORMATS`; None finds it by the keys of the first rows.
        annotator: who judged the preferences of rows that do not say it themselves.

    Raises:
        DataError: if the file as a whole cannot be read: missing, empty, not JSON, or of an unknown format.
    """
    path = Path(path).expanduser()
    if format is not None and format not in FORMATS:
        raise DataError(f"no format {format!r}. There are: {', '.join(FORMATS)}.")
    content = read_bytes(path)
    rows = split_rows(content, path.name)
    objects = [row.value for row in rows if not row.problem]
    if not objects:
        raise DataError(_nothing(path.name, [row.problem for row in rows]))
    chosen = format or detect(objects[:ROWS_LOOKED_AT], path.name)
    records, numbers, refusals = [], [], []
    for row in rows:
        try:
            if row.problem:
                raise RowError(row.problem)
            records.append(FORMATS[chosen](row.value, annotator))
            numbers.append(row.number)
        except RowError as error:
            refusals.append(Refusal(path.name, row.number, str(error)))
    return Imported(file=path.name, format=chosen, records=records, rows=numbers, refusals=refusals, num_read=len(rows),
                    sha256=hashlib.sha256(content).hexdigest(),
                    salt=hashlib.sha256(b"tutelage row salt\0" + content).hexdigest())


def _nothing(name: str, problems: list[str]) -> str:
    if not problems:
        return f"{name} has no rows; wanted a JSON array of objects, or one object a line."
    reason, count = Counter(problems).most_common(1)[0]
    return f"{name} has {len(problems)} rows and none is a JSON object ({count} times: {reason})."
