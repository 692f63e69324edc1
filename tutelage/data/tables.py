"""CSV and TSV: rows of texts under a header. A cell that is empty is a key the row does not have."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from tutelage.data.rows import MAX_ROW, Row, parse_value
from tutelage.errors import DataError

_BROKEN = "broken quotes"
_DELIMITERS = ",\t;|"
_BAD_BYTE = re.compile("[\udc80-\udcff]")
# By these a table is known whose name does not say that it is one; two of them must stand in its first line.
_NAMES = {"instruction", "input", "output", "prompt", "response", "completion", "chosen", "rejected", "text", "label", "labels",
          "question", "answer", "system", "messages", "conversations", "id"}
# Keys whose cells are numbers, switches or lists; all other cells stay the texts they are.
_TYPED = {"messages", "conversations", "history", "tools", "ranks", "ranking", "responses", "answers", "labels", "label",
          "margin", "weight", "scores", "ratings", "score", "rating", "key_facts", "instances", "is_classification", "kto_tag",
          "judgment_ids", "completions"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")


def looks_like_one(head: bytes) -> bool:
    """Whether the first line is a header of columns that are known here."""
    line = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return any(len(_NAMES & {name.strip(' "').lower() for name in line.split(char)}) >= 2 for char in _DELIMITERS)


def read_table(stream: BinaryIO, name: str) -> Iterator[Row]:
    """A row a record under the header, which is no row itself; numbered by the line it begins on.

    Raises:
        DataError: if the header is no header.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))      # its own is 128 KiB
    lines = _Lines(stream)
    delimiter = max(_DELIMITERS, key=(lines.peek() or "").count)
    names: list[str] = []
    for row in _records(lines, delimiter):
        if not names:
            names = _header(row, name)
        elif row.problem or len(row.value) == len(names):
            yield row if row.problem else Row(row.number, dict(pair for pair in zip(names, row.value, strict=True) if pair[1]))
        else:
            yield Row(row.number, None, f"has {len(row.value)} fields; the header has {len(names)}")


def _header(header: Row, name: str) -> list[str]:
    if header.problem:
        raise DataError(f"{name} has a header that cannot be read: {header.problem}. Mend its first line.")
    names = [str(cell).strip() for cell in header.value]
    twice = next((each for each in names if names.count(each) > 1), None)
    if twice is not None or "" in names:
        raise DataError(f"{name} has {'a column without a name' if '' in names else f'the column {twice!r} twice'} in its "
                        f"header ({', '.join(names)[:200]}); wanted one name a column.")
    return names


class _Lines:
    """Numbered lines of a stream, which can be put back. What is not UTF-8 becomes lone surrogates."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._back = stream, deque[str]()
        self.number = 0                # of the line that was last given
        first = self._read()
        if first is not None:
            self._back.append(first.removeprefix("\ufeff"))

    def _read(self) -> str | None:
        raw = self._stream.readline(MAX_ROW)
        return raw.decode("utf-8", "surrogateescape") if raw else None

    def peek(self) -> str | None:
        return self._back[0] if self._back else None

    def take(self) -> str | None:
        line = self._back.popleft() if self._back else self._read()
        self.number += line is not None
        return line

    def put_back(self, lines: list[str]) -> None:
        self._back.extendleft(reversed(lines))
        self.number -= len(lines)


def _records(lines: _Lines, delimiter: str) -> Iterator[Row]:
    """Lists of cells. A quote that is never closed, or closed where no cell ends, costs its line, not those it runs over."""
    while (line := lines.take()) is not None:
        number, taken, size, is_open = lines.number, [line], len(line), _left_open(line, False, delimiter)
        while is_open and size <= MAX_ROW and (more := lines.take()) is not None:
            taken.append(more)
            size += len(more)
            is_open = _left_open(more, True, delimiter)
        if not any(cell.strip("\r\n") for cell in taken):
            continue
        row = Row(number, None, "opens a quote that is never closed") if is_open else _cells(number, taken, delimiter)
        if is_open or row.problem.startswith(_BROKEN):
            lines.put_back(taken[1:])
        yield row


def _left_open(line: str, is_open: bool, delimiter: str) -> bool:
    """Whether a quoted cell is open at the line's end, as it `is_open` or not at its beginning."""
    if '"' not in line:
        return is_open
    at = 0
    while True:
        if is_open or line.startswith('"', at):
            at = _after_quote(line, at if is_open else at + 1)
            if at < 0:
                return True
        at, is_open = line.find(delimiter, at) + 1, False
        if at == 0:
            return False


def _after_quote(line: str, at: int) -> int:
    """The place after the quote that closes a cell, doubled ones aside; -1 if none does."""
    while (at := line.find('"', at) + 1) > 0:
        if not line.startswith('"', at):
            return at
        at += 1
    return -1


def _cells(number: int, taken: list[str], delimiter: str) -> Row:
    text = "".join(taken)
    if bad := _BAD_BYTE.search(text):
        return Row(number, None, f"broken UTF-8: it holds the byte 0x{ord(bad.group()) - 0xDC00:02x}")
    if len(text) > MAX_ROW:
        return Row(number, None, f"longer than {MAX_ROW >> 20} MiB")
    try:
        return Row(number, next(csv.reader(taken, delimiter=delimiter, strict=True)))
    except (csv.Error, StopIteration) as error:
        return Row(number, None, f"{_BROKEN}: {error}")


def typed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with numbers, switches and lists where the formats want such; every other cell stays the text it is."""
    return {key: _typed(cell) if key in _TYPED and isinstance(cell, str) else cell for key, cell in row.items()}


def _typed(cell: str) -> Any:
    text = cell.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if _NUMBER.fullmatch(text) and len(text) < 30:
        number = float(text)
        return int(number) if number.is_integer() and abs(number) < 1e15 else number
    if text[:1] in ("[", "{"):
        parsed = parse_value(text)
        return cell if parsed is None else parsed
    return cell
