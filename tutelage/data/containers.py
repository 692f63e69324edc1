"""What a file is, whatever its name says, and its rows one after the other: the one way in for bytes from outside.

    JSON array · JSON lines · CSV · TSV · plain text      as they are, or packed with gzip or zstd
    Parquet · Arrow file · Arrow stream                   `columnar` reads these

The first bytes decide; the name only where they leave a choice. Nothing here holds more of a file than a few rows.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from tutelage.data import columnar, tables
from tutelage.data.rows import CHUNK, MAX_ROW, Row, parse_row, read_array, read_lines
from tutelage.errors import DataError

Kind = Literal["json array", "json lines", "csv", "tsv", "text", "parquet", "arrow file", "arrow stream"]

UNPACKED_FREELY = 32 << 20     # bytes that any packed file may become; past that the ratio counts
LARGEST_RATIO = 200            # text packs to a twentieth at best; what packs to less than this was made to do harm
ZSTD_WINDOW = 1 << 27          # bytes of memory a zstd frame may ask for: what the zstd program allows itself

_BOM = b"\xef\xbb\xbf"
_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_COLUMNAR: dict[bytes, Kind] = {b"PAR1": "parquet", b"ARROW1": "arrow file", b"\xff\xff\xff\xff": "arrow stream"}
_STRANGE = {b"PK": "a ZIP archive", b"BZh": "packed with bzip2", b"\xfd7zXZ": "packed with xz", b"7z\xbc\xaf": "a 7z archive",
            b"FEA1": "Feather version 1", b"PARE": "encrypted Parquet", b"SQLite format 3": "an SQLite database",
            b"%PDF": "a PDF", b"\x89PNG": "a picture", b"\xff\xd8\xff": "a picture", b"GIF8": "a picture"}
_KINDS = "JSON, JSON lines, CSV, TSV, Parquet, Arrow or text in UTF-8, as it is or packed with gzip or zstd"


@dataclass(frozen=True, slots=True)
class Container:
    """A file and how its rows are got out of it."""

    path: Path
    kind: Kind
    packing: str = ""              # gzip, zstd or none

    def rows(self) -> Iterator[Row]:
        """Every row, from the beginning; each call reads the file again.

        Raises:
            DataError: where the file cannot be read on: damaged, cut off, or changed while it was read.
        """
        name = self.path.name
        if self.kind in ("parquet", "arrow file", "arrow stream"):
            yield from columnar.read(self.path, self.kind)
            return
        with opened(self.path, self.packing) as stream:
            if self.kind == "json array":
                yield from read_array(stream, name)
            elif self.kind == "json lines":
                yield from read_lines(stream)
            elif self.kind == "text":
                yield _document(stream, name)
            else:
                yield from tables.read_table(stream, name)

    @property
    def typed(self) -> bool:
        """Whether a value knows that it is a number or a list: in CSV and TSV all are texts."""
        return self.kind not in ("csv", "tsv")


def recognise(path: Path) -> Container:
    """What kind of file it is.

    Raises:
        DataError: if it is missing, no file, unreadable, empty, or nothing that is read here.
    """
    check_file(path)
    with _reading(path), open(path, "rb") as file:
        first = file.read(16)
    packing = next((name for magic, name in _PACKED.items() if first.startswith(magic)), "")
    with opened(path, packing) as stream:
        head = stream.read(CHUNK)
    for magic, kind in _COLUMNAR.items():
        if head.startswith(magic):
            if packing:
                raise DataError(f"{path.name} is {kind} packed with {packing}; wanted it unpacked. Unpack it.")
            return Container(path, kind)
    _refuse_strange(path, head)
    bare = path.with_suffix("") if packing else path
    return Container(path, _text_kind(head, bare.suffix.lower(), path.name), packing)


def check_file(path: Path) -> None:
    """Refuse what is no regular file; to open a FIFO would wait for a writer."""
    with _reading(path):
        mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise DataError(f"{path} is a directory; wanted a file. Name the files in it.")
    if not stat.S_ISREG(mode):
        what = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise DataError(f"{path} is {what}; wanted a file, which can be read twice. Write what it gives into a file.")


def _refuse_strange(path: Path, head: bytes) -> None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or [bool(byte) for byte in head[:4]] in ([1, 0, 1, 0], [0, 1, 0, 1]):
        raise DataError(f"{path} is UTF-16 text; wanted UTF-8. Save it as UTF-8.")
    if not head.removeprefix(_BOM).strip():
        raise DataError(f"{path} is empty; wanted {_KINDS}.")
    for magic, what in _STRANGE.items():
        if head.startswith(magic):
            raise DataError(f"{path} is not text but {what}; wanted {_KINDS}.")
    if head[:4096].count(0) * 20 > len(head[:4096]):      # one in an honest row costs that row; these are not rows
        raise DataError(f"{path} is not text; wanted {_KINDS}.")


def _text_kind(head: bytes, suffix: str, name: str) -> Kind:
    start = head.removeprefix(_BOM).lstrip()
    if start.startswith(b"["):
        return "json lines" if _is_lines_after_all(head, name) else "json array"
    if not start.startswith(b"{"):
        if suffix in (".csv", ".tsv", ".tab"):
            return "csv" if suffix == ".csv" else "tsv"
        if tables.looks_like_one(head):
            return "csv"
        if suffix in (".txt", ".md"):
            return "text"
    _check_lines(head, name)
    return "json lines"


def _is_lines_after_all(head: bytes, name: str) -> bool:
    """JSON lines whose first line is damaged may begin with a bracket too."""
    try:
        for _ in read_array(io.BytesIO(head), name):
            pass
        return False
    except DataError:
        return len(head) < CHUNK and _objects(head) * 2 > len(_head_lines(head))


def _head_lines(head: bytes) -> list[bytes]:
    lines = head.split(b"\n")
    return [line for line in (lines if len(head) < CHUNK else lines[:-1]) if line.strip(b" \t\r\xef\xbb\xbf")]


def _objects(head: bytes) -> int:
    return sum(isinstance(parse_row(0, line).value, dict) for line in _head_lines(head))


def _check_lines(head: bytes, name: str) -> None:
    """Refuse a file in which no line is an object, as one object over many lines would be."""
    lines = _head_lines(head)
    first = parse_row(1, lines[0]) if lines else None
    if first is None or isinstance(first.value, dict):
        return
    whole = parse_row(1, head)
    if not whole.problem or whole.problem.startswith("not an object but "):
        what = f"one object with the keys {', '.join(whole.value)[:300]}" if not whole.problem else whole.problem.split("but ")[1]
        raise DataError(f"{name} is {what}; wanted a JSON array of objects, or one object a line.")
    if not any(isinstance(parse_row(1, line).value, dict) for line in lines):
        raise DataError(f"{name} is not JSON: no line of it is an object ({first.problem}). "
                        "Wanted a JSON array of objects, or one object a line.")


def _document(stream: BinaryIO, name: str) -> Row:
    raw = stream.read(MAX_ROW + 1)
    if len(raw) > MAX_ROW:
        raise DataError(f"{name} is a text of more than {MAX_ROW >> 20} MiB; wanted documents. Write one "
                        '{"text": …} a line, or cut it into files.')
    try:
        return Row(1, {"text": raw.decode("utf-8-sig").replace("\r\n", "\n")})
    except UnicodeDecodeError as error:
        return Row(1, None, f"broken UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}")


# ---- unpacking ------------------------------------------------------------------------------------------------------

@contextmanager
def opened(path: Path, packing: str) -> Iterator[BinaryIO]:
    """The file's bytes, unpacked; what goes wrong below while they are read is a DataError that says so."""
    with _reading(path), open(path, "rb", buffering=CHUNK) as file:
        if not packing:
            yield file
            return
        chunks = _gzip(file) if packing == "gzip" else _zstd(file)
        yield io.BufferedReader(_Chunks(_bounded(chunks, file, path.name)), CHUNK)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError(f"{path} does not exist. Check the name.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged or cut off: {str(error)[:200]}. Get it again.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ValueError as error:
        if "null byte" not in str(error):
            raise
        raise DataError(f"{str(path)!r} cannot be a file's name: it holds a NUL.") from None


def _gzip(file: BinaryIO) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as unpacked:
        while chunk := unpacked.read(1 << 18):
            yield chunk


def _zstd(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    unpacker, left = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW), b""
    try:
        # A small piece at a time: one of 1 KiB can become 32 MiB.
        while piece := left or file.read(1024):
            frame, left = unpacker.decompressobj(), b""
            yield frame.decompress(piece)
            while not frame.eof:
                if not (piece := file.read(1024)):
                    raise EOFError("it ends within a zstd frame")
                yield frame.decompress(piece)
            left = frame.unused_data
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from None


def _bounded(chunks: Iterator[bytes], file: BinaryIO, name: str) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > UNPACKED_FREELY and total > LARGEST_RATIO * file.tell():
            raise DataError(f"{name} becomes more than {LARGEST_RATIO} times its size when it is unpacked "
                            f"({total >> 20} MiB so far). If you trust it, unpack it and import that.")
        yield chunk


class _Chunks(io.RawIOBase):
    """An iterator of bytes as a file that is read forward."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._left = chunks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:      # type: ignore[override]
        while not self._left:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count], self._left = self._left[:count], self._left[count:]
        return count
