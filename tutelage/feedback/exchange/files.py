"""A file of judgments, recognised by its content, row by row into the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.data.containers import Container, recognise
from tutelage.data.formats import FORMATS as TRAINING
from tutelage.data.sources import open_file
from tutelage.errors import DataError, UsageError
from tutelage.feedback.exchange.argilla import ArgillaReader
from tutelage.feedback.exchange.label_studio import LabelStudioReader
from tutelage.feedback.exchange.meaning import Meaning
from tutelage.feedback.exchange.records import told_of
from tutelage.feedback.exchange.tables import TableReader, judgment_from_row
from tutelage.feedback.exchange.taking import Row, Taken, take
from tutelage.feedback.exchange.told import Reader, Told
from tutelage.records import AnnotatorKind, Record
from tutelage.store import Store

_READERS: Mapping[str, Callable[[Meaning], Reader]] = {
    "argilla": ArgillaReader, "label-studio": LabelStudioReader, "csv": TableReader}
_JUDGED = ("preference", "ranking", "rating", "thumb", "label", "instruction")
FORMATS = ("judgments", *_READERS, *(name for name, format in TRAINING.items() if format.kind in _JUDGED))
ROWS_LOOKED_AT = 20


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file. `left_out` counts the parts of rows that were not carried, by what they are."""

    format: str
    person: str
    taken: Taken
    left_out: Mapping[str, int] = field(default_factory=dict)


def import_file(store: Store, path: Path, format: str | None = None, annotator: AnnotatorKind = "human", person: str = "",
                given: Mapping[str, Sequence[str]] | None = None) -> Imported:
    """Keep what a file tells, each judgment by whom it names or by `person`.

    Args:
        format: a name in FORMATS; None finds it by the first rows.
        annotator: what everybody is who is not said to be another kind.
        person: who said what names nobody; "" makes an id of the file's name.
        given: what fields and questions mean, as `meaning.Meaning` takes it; only where the format has such.
    Raises:
        DataError: if the file cannot be read or is of no format with judgments; UsageError: for an unknown format.
    """
    if format is not None and format not in FORMATS:
        raise UsageError(f"no format {format!r} to import from. There are: {', '.join(FORMATS)}.")
    name = format or _recognise(path)
    by = person or f"{annotator}:{path.name}"
    known = {each.id for each in store.people()}

    def add(id: str, kind: AnnotatorKind) -> None:
        if id not in known:
            store.add_person(id, kind, id, created_by=f"feedback import ({name})")
            known.add(id)

    if name == "judgments":
        return Imported(name, by, take(store, _whole(recognise(path)), by, annotator, add))
    meaning = Meaning(given)
    if name in _READERS:
        reader = _READERS[name](meaning)
        return Imported(name, by, take(store, _told(recognise(path), reader), by, annotator, add), reader.left_out)
    if given:
        raise UsageError(f"--map says what the questions of argilla, label-studio and csv files mean; {path} is {name}. "
                         "Its columns are named by: tutelage data import --map")
    return Imported(name, by, take(store, _records(path, name, annotator), by, annotator, add))


def _recognise(path: Path) -> str:
    """The format by the first rows' keys; what names people before what does not.

    Raises:
        DataError: if the file is of no known format, or of one without judgments.
    """
    votes: Counter[str] = Counter()
    for row in islice(recognise(path).rows(), ROWS_LOOKED_AT):
        if isinstance(row.value, Mapping):
            votes[_format_of(row.value)] += 1
    best = votes.most_common(1)[0][0] if votes else ""
    if best:
        return best
    found = open_file(path).format
    if TRAINING[found].kind not in _JUDGED or TRAINING[found].kind == "instruction":
        raise DataError(f"{path} is of format {found}, which holds no preferences nor other judgments. Other files go in with: "
                        f"tutelage data import. To keep instructions as somebody's demonstrations, say --format {found}.")
    return found


def _format_of(row: Mapping[str, Any]) -> str:
    if isinstance(row.get("judgment"), Mapping) and "samples" in row:
        return "judgments"
    if (isinstance(row.get("fields"), Mapping) and "responses" in row) or any(key.endswith(".responses") for key in row):
        return "argilla"
    if isinstance(row.get("data"), Mapping) and "annotations" in row:
        return "label-studio"
    if "prompt" in row and ({"answer", "kind"} <= row.keys() or "winner" in row):
        return "csv"
    return ""


def _told(container: Container, reader: Reader) -> Iterator[Row]:
    for row in container.rows():
        yield _row(row.number, row.value, row.problem, reader.told)


def _whole(container: Container) -> Iterator[Row]:
    for row in container.rows():
        yield _row(row.number, row.value, row.problem, lambda value: [judgment_from_row(value)])


def _row(number: int, value: Any, problem: str, read: Callable[[Any], Iterable[Any]]) -> Row:
    def tell() -> Iterable[Any]:
        if problem:
            raise DataError(problem)
        if not isinstance(value, Mapping):
            raise DataError("is no object")
        return read(value)
    return f"row {number}", tell


def _records(path: Path, format: str, annotator: AnnotatorKind) -> Iterator[Row]:
    for number, records, reason in open_file(path, format, annotator).outcomes():
        yield _record_row(number, records, reason)


def _record_row(number: int, records: Sequence[Record], reason: str) -> Row:
    def tell() -> Iterable[Told]:
        if reason:
            raise DataError(reason)
        return [told_of(record) for record in records]
    return f"row {number}", tell
