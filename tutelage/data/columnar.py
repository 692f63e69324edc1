"""Parquet and Arrow: rows of typed columns, a batch at a time. The only file that imports pyarrow.

A column of classes (Hugging Face's ClassLabel) holds numbers; their names stand in the schema and take their place. A
null is a key the row does not have: such files give every row every column.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tutelage.data.rows import MAX_ROW, Row
from tutelage.errors import DataError

BATCH_ROWS = 256
MOST_ROWS_A_BYTE = 100     # a file that says it holds more was made to do harm


def read(path: Path, kind: str) -> Iterator[Row]:
    """The rows of a Parquet file, Arrow file or Arrow stream, numbered from 1.

    Raises:
        DataError: if it is damaged: what a changed byte did to the rows after it nobody can tell.
    """
    number = 0
    with _reading(path.name, kind):
        for batch in (_parquet if kind == "parquet" else _arrow)(path, kind):
            batch.validate(full=True)
            names = _class_names(batch.schema)
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for value in batch.slice(start, BATCH_ROWS).to_pylist():
                    number += 1
                    yield _row(number, value, names)


@contextmanager
def _reading(name: str, kind: str) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"{name} is {kind} and damaged, or of a kind that is not read: {reason}. Get it again.") from None


def _parquet(path: Path, kind: str) -> Iterator[Any]:
    import pyarrow.parquet

    # No mapped memory and no threads: a damaged page must not take the process with it, and batches come in order.
    with pyarrow.parquet.ParquetFile(path, memory_map=False, pre_buffer=False) as file:
        if file.metadata.num_rows > MOST_ROWS_A_BYTE * path.stat().st_size:
            raise DataError(f"{path.name} says that it holds {file.metadata.num_rows} rows in {path.stat().st_size} bytes. "
                            "Get it again, or write it as JSON lines.")
        yield from file.iter_batches(batch_size=BATCH_ROWS, use_threads=False)


def _arrow(path: Path, kind: str) -> Iterator[Any]:
    import pyarrow

    with open(path, "rb") as file:
        if kind == "arrow stream":
            yield from pyarrow.ipc.open_stream(file)
            return
        reader = pyarrow.ipc.open_file(file)
        yield from (reader.get_batch(at) for at in range(reader.num_record_batches))


def _class_names(schema: Any) -> Mapping[str, Sequence[str]]:
    """Names of classes by column, where the file was written by Hugging Face's datasets."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {column: tuple(feature["names"]) for column, feature in features.items()
                if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _row(number: int, value: Mapping[str, Any], names: Mapping[str, Sequence[str]]) -> Row:
    row = {key: each for key, each in value.items() if each is not None}
    for column, words in names.items():
        if column in row:
            place = row[column]
            if not isinstance(place, int) or not 0 <= place < len(words):
                return Row(number, None, f"{column} is class {place}, which has no name")
            row[column] = words[place]
    try:
        plain, size = _plain(row)
    except ValueError as error:
        return Row(number, None, str(error))
    if size > MAX_ROW:
        return Row(number, None, f"longer than {MAX_ROW >> 20} MiB")
    return Row(number, plain)


def _plain(value: Any) -> tuple[Any, int]:
    """The value as JSON would hold it, and about how many bytes it takes; nulls inside objects are left out."""
    if isinstance(value, str):
        return value, len(value)
    if value is None or isinstance(value, bool | int):
        return value, 8
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"holds the number {value}, which is not JSON")
        return value, 8
    if isinstance(value, dict):
        pairs = {key: _plain(each) for key, each in value.items() if each is not None}
        return {key: each for key, (each, _) in pairs.items()}, sum(size for _, size in pairs.values())
    if isinstance(value, list):
        items = [_plain(each) for each in value]
        return [each for each, _ in items], sum(size for _, size in items)
    writing: Callable[[], str] | None = getattr(value, "isoformat", None)
    if writing is None:
        raise ValueError(f"holds a value of type {type(value).__name__}; wanted text, numbers, lists and objects")
    return writing(), 32
