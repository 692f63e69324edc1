"""A file cut into rows: a JSON array or JSON lines, known by the content and not by the name.

No row is lost on the way: each comes out as a value or with the reason why it has none. Keys a row does not have stay
absent (a reader that merges all rows into one schema fills them with None: TRL's migration notes, ms-swift#10125).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import DataError

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_BAD_BYTE = re.compile("[\udc80-\udcff]")      # what the "surrogateescape" decoder makes of a byte that is not UTF-8
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """Row `number` of a file, from 1 (for JSON lines the line of the file), and its value or why there is none."""

    number: int
    value: Any = None
    problem: str = ""


def read_bytes(path: Path) -> bytes:
    """The file's bytes.

    Raises:
        DataError: if it is missing, a directory, unreadable, empty or not UTF-8 text at all.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Check the name.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; wanted a JSON or JSON lines file. Name the files in it.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if content.startswith(_UTF16):
        raise DataError(f"{path} is UTF-16 text; wanted UTF-8. Save it as UTF-8.")
    if not content.strip():
        raise DataError(f"{path} is empty; wanted a JSON array or JSON lines.")
    if b"\0" in content[:4096]:
        raise DataError(f"{path} is not text; wanted a JSON array or JSON lines in UTF-8 (unpack it if it is packed).")
    return content


def split_rows(content: bytes, name: str) -> list[Row]:
    """Every row of a file's content, in order.

    Raises:
        DataError: if it is neither a JSON array nor JSON lines, or an array that breaks off.
    """
    # A byte that is not UTF-8 becomes a lone surrogate, so that one bad row does not take the others with it.
    text = content.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    if not text.lstrip().startswith("["):
        return _lines(text, name)
    try:
        return list(_array(text, name))
    except DataError:
        rows = _rows_of_lines(text)      # JSON lines whose first line is damaged may begin with a bracket too
        if 2 * sum(isinstance(row.value, dict) for row in rows) > len(rows):
            return rows
        raise


def _lines(text: str, name: str) -> list[Row]:
    rows = _rows_of_lines(text)
    if isinstance(rows[0].value, dict):
        return rows
    try:
        whole = json.loads(text)      # one object written over many lines?
    except (ValueError, RecursionError):
        if any(isinstance(row.value, dict) for row in rows):
            return rows
        raise DataError(f"{name} is not JSON: no line of it is an object ({rows[0].problem}). "
                        "Wanted a JSON array of objects, or one object a line.") from None
    what = f"one object with the keys {', '.join(whole)}" if isinstance(whole, dict) else kind_of(whole)
    raise DataError(f"{name} is {what}; wanted a JSON array of objects, or one object a line.")


def _rows_of_lines(text: str) -> list[Row]:
    # Only "\n" ends a line: str.splitlines would also cut at U+2028 and U+0085, which may stand inside a JSON string.
    return [_row(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip(" \t\r\ufeff")]


def _row(number: int, line: str) -> Row:
    if problem := _broken_bytes(line):
        return Row(number, problem=problem)
    try:
        value = json.loads(line.strip("\ufeff"))
    except json.JSONDecodeError as error:
        return Row(number, problem=f"not JSON: {error.msg} at column {error.colno}")
    except (ValueError, RecursionError) as error:
        return Row(number, problem=f"not JSON: {_reason(error)}")
    return Row(number, value, value_problem(value))


def _array(text: str, name: str) -> Iterator[Row]:
    at, number = text.index("[") + 1, 0
    at = _skip(text, at)
    while text[at:at + 1] != "]":
        number += 1
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            where = error.pos if isinstance(error, json.JSONDecodeError) else at
            raise DataError(f"{name} is a JSON array that cannot be read from row {number} on "
                            f"(line {text.count(chr(10), 0, where) + 1}: {_reason(error)}). Mend it there, or write "
                            "one object a line: then one bad row costs no other.") from None
        if problem := _broken_bytes(text[at:end]):
            yield Row(number, problem=problem)
        else:
            yield Row(number, value, value_problem(value))
        at = _skip(text, end)
        if text[at:at + 1] == ",":
            at = _skip(text, at + 1)
        elif text[at:at + 1] != "]":
            raise DataError(f"{name} is a JSON array that breaks off after row {number} "
                            f"(line {text.count(chr(10), 0, at) + 1}: wanted ',' or ']'). Mend it there.")
    if _skip(text, at + 1) != len(text):
        raise DataError(f"{name} goes on after the end of its JSON array (line {text.count(chr(10), 0, at) + 1}).")


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _reason(error: BaseException) -> str:
    if isinstance(error, json.JSONDecodeError):
        return error.msg
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0]


def _broken_bytes(raw: str) -> str:
    """Why the row is not UTF-8, naming its first bad byte; counting starts at 1, inside the row. Empty if it is."""
    if (bad := _BAD_BYTE.search(raw)) is None:
        return ""
    before = len(raw[:bad.start()].encode("utf-8", "surrogateescape"))
    return f"broken UTF-8: byte {before + 1} of the row is 0x{ord(bad.group()) - 0xDC00:02x}"


def value_problem(value: Any) -> str:
    """Why no honest JSON writer made this value: NaN, an infinity, half a character. Empty if one could have."""
    if not isinstance(value, dict):
        return f"not an object but {kind_of(value)}"
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each)
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, float) and not math.isfinite(each):
            return f"holds the number {each}, which is not JSON"
        elif isinstance(each, str) and _SURROGATE.search(each):
            return "holds a lone surrogate: half of a character, which no UTF-8 text can hold"
    return ""


def kind_of(value: Any) -> str:
    """A JSON value's kind in words, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names[type(value)]
