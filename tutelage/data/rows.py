"""JSON cut into rows as it streams by: lines or one array, strictly read, and no more than a row of it in memory.

No row is lost on the way: each comes out as a value or with the reason why it has none. Keys a row does not have stay
absent (a reader that merges all rows into one schema fills them with None: TRL's migration notes, ms-swift#10125).
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, NoReturn

from tutelage.errors import DataError

MAX_ROW = 64 << 20      # bytes of one row; a longer one is refused without ever being held whole
CHUNK = 1 << 20

_SPACE = re.compile(r"[ \t\r\n]*")
_BAD_BYTE = re.compile("[\udc80-\udcff]")      # what the "surrogateescape" decoder makes of a byte that is not UTF-8
_SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_TOO_LONG = f"longer than {MAX_ROW >> 20} MiB"


class RowError(ValueError):
    """Why one row cannot be a record. It never leaves `sources`, which makes it a `Refusal`."""


class Row(NamedTuple):
    """Row `number` of a file, from 1 (for JSON lines the line of the file), and its value or why there is none."""

    number: int
    value: Any = None
    problem: str = ""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise RowError(f"has the key {next(name for name in names if names.count(name) > 1)[:40]!r} twice")
    return made


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RowError(f"holds the number {number}, which is not JSON")
    return number


_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_finite)
_SCAN = _STRICT.scan_once      # type: ignore[attr-defined]
_LENIENT = json.JSONDecoder()


def parse_row(number: int, raw: bytes) -> Row:
    """One row of its bytes: an object that an honest JSON writer could have made, or why it is none."""
    try:
        text = raw.rstrip(b" \t\r\n").decode().strip("\ufeff")
        value = _whole(text)
    except UnicodeDecodeError as error:
        return Row(number, None, f"broken UTF-8: byte {error.start + 1} of the row is 0x{raw[error.start]:02x}")
    except (ValueError, RecursionError) as error:
        return Row(number, None, _reason(error))
    return Row(number, value, _value_problem(value, text))


def _whole(text: str) -> Any:
    """`_STRICT.decode` without its two searches for blanks, where there is none."""
    try:
        value, end = _SCAN(text, 0)
    except StopIteration:
        return _STRICT.decode(text)
    return value if end == len(text) else _STRICT.decode(text)


def parse_value(text: str) -> Any:
    """Any JSON value of a text, by the same rules; None if it is none."""
    try:
        value = _STRICT.decode(text)
    except (ValueError, RecursionError):
        return None
    return None if _holds_surrogate(value) else value


def _reason(error: BaseException) -> str:
    if isinstance(error, RowError):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at column {error.colno}"
    return "not JSON: " + ("nested too deeply" if isinstance(error, RecursionError) else str(error).split(";")[0])


def _value_problem(value: Any, text: str) -> str:
    if not isinstance(value, dict):
        return f"not an object but {kind_of(value)}"
    # Decoded UTF-8 holds no surrogate, so a lone one can only come from an escape.
    if ("\\ud" in text or "\\uD" in text) and _holds_surrogate(value):
        return "holds a lone surrogate: half of a character, which no UTF-8 text can hold"
    return ""


def _holds_surrogate(value: Any) -> bool:
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting.extend(each)
            waiting.extend(each.values())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, str) and _SURROGATE.search(each):
            return True
    return False


def read_lines(stream: BinaryIO) -> Iterator[Row]:
    """A row a line that is not blank. Only "\\n" ends a line: U+2028 and U+0085 may stand inside a JSON string."""
    number = 0
    while line := stream.readline(MAX_ROW):
        number += 1
        if len(line) == MAX_ROW and not line.endswith(b"\n"):
            while (rest := stream.readline(MAX_ROW)) and not rest.endswith(b"\n"):
                pass
            yield Row(number, None, _TOO_LONG)
        elif line.strip(b" \t\r\n\xef\xbb\xbf"):
            yield parse_row(number, line)


def read_array(stream: BinaryIO, name: str) -> Iterator[Row]:
    """The elements of one JSON array.

    Raises:
        DataError: where it stops being one: after a broken element nobody can tell where the next begins.
    """
    text, number = _Window(stream), 0
    text.skip("[")
    while text.peek() != "]":
        number += 1
        yield _element(text, number, name)
        if text.peek() == ",":
            text.skip(",")
        elif text.peek() != "]":
            raise DataError(f"{name} is a JSON array that breaks off after row {number} "
                            f"(line {text.line}: wanted ',' or ']'). Mend it there.")
    text.skip("]")
    if text.peek():
        raise DataError(f"{name} goes on after the end of its JSON array (line {text.line}).")


class _Window:
    """The part of a stream of text that is being looked at: `text` from `at` on."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        # A byte that is not UTF-8 becomes a lone surrogate, so that one bad row does not take the others with it.
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self.text, self.at, self.ended, self._lines = "", 0, False, 1
        self.more()
        self.text = self.text.removeprefix("\ufeff")

    def more(self) -> bool:
        """Read on, at least doubling what is there to look at; False at the end of the stream."""
        self._lines += self.text.count("\n", 0, self.at)
        raw = self._stream.read(max(CHUNK, len(self.text) - self.at))
        self.text = self.text[self.at:] + self._decoder.decode(raw, final=not raw)
        self.at, self.ended = 0, not raw
        return bool(raw)

    @property
    def line(self) -> int:
        return self._lines + self.text.count("\n", 0, self.at)

    def peek(self) -> str:
        """The next character that is no blank; "" at the end."""
        while True:
            found = _SPACE.match(self.text, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.text) or not self.more():
                return self.text[self.at:self.at + 1]

    def skip(self, char: str) -> None:
        assert self.peek() == char
        self.at += 1


def _element(text: _Window, number: int, name: str) -> Row:
    text.peek()
    while True:
        at = error = None
        try:
            value, end, problem = _decoded(text.text, text.at)
            if 0 <= end < len(text.text):
                return _row(text, number, value, end, problem)
        except ValueError as broken:
            error, at = broken, broken.pos - text.at if isinstance(broken, json.JSONDecodeError) else 0
        # What breaks off near the end of the window may go on in the stream.
        breaks_off = at is None or at > len(text.text) - text.at - 16 or str(error).startswith("Unterminated string")
        if not breaks_off or len(text.text) - text.at > MAX_ROW or not text.more():
            _unreadable(text, text.at + (at or 0), number, name, error or ValueError("it is nowhere closed"))


def _decoded(text: str, at: int) -> tuple[Any, int, str]:
    """The value at `at`, where it ends (-1: not in this text) and why it is none."""
    try:
        return *_STRICT.raw_decode(text, at), ""
    except RowError as error:
        problem = str(error)
    except RecursionError:
        return None, _closing(text, at), "not JSON: nested too deeply"
    try:
        return None, _LENIENT.raw_decode(text, at)[1], problem     # only to see where it ends
    except RecursionError:
        return None, _closing(text, at), problem


def _row(text: _Window, number: int, value: Any, end: int, problem: str) -> Row:
    raw, text.at = text.text[text.at:end], end
    if bad := _BAD_BYTE.search(raw):
        before = len(raw[:bad.start()].encode("utf-8", "surrogateescape"))
        problem = f"broken UTF-8: byte {before + 1} of the row is 0x{ord(bad.group()) - 0xDC00:02x}"
    return Row(number, None if problem else value, problem or _value_problem(value, raw))


def _closing(text: str, start: int) -> int:
    """Where the element that begins at `start` ends, by its brackets alone; -1 if not in this text."""
    depth = 0
    for found in _TOKEN.finditer(text, start):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found.group(), 0)
        if depth <= 0:
            return found.end()
    return -1


def _unreadable(text: _Window, at: int, number: int, name: str, error: BaseException) -> NoReturn:
    text.at = min(at, len(text.text))
    reason = error.msg if isinstance(error, json.JSONDecodeError) else _reason(error).removeprefix("not JSON: ")
    raise DataError(f"{name} is a JSON array that cannot be read from row {number} on (line {text.line}: {reason}). "
                    "Mend it there, or write one object a line: then one bad row costs no other.") from None


def kind_of(value: Any) -> str:
    """A JSON value's kind in words, for messages."""
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}
    return names.get(type(value), f"a {type(value).__name__}")
