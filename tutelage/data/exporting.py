"""`tutelage data export`: a data set as a file that others read, in the format it came in or another that can say it."""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from tutelage.console import console
from tutelage.data.formats import FORMATS, Format
from tutelage.errors import ArtifactError, DataError, UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Artifact, Project
from tutelage.records import RECORD_TYPES

SPLITS = ("train", "heldout")


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("export", help="write a data set to a file", epilog=COMMON_HELP)
    parser.add_argument("name", metavar="NAME", help="an artifact")
    parser.add_argument("--to", required=True, type=Path, metavar="FILE",
                        help="ends in .json, .jsonl, .csv or .tsv, perhaps with .gz or .zst after it")
    parser.add_argument("--format", choices=list(FORMATS), help="default: the one it was imported from")
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="all", help="default: all rows, in the files' order")


def run(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    artifact = Project.open(options.project).artifact(words.name, kind="dataset")
    name = words.format or _own_format(artifact)
    format = FORMATS[name]
    if format.kind != artifact.manifest.facts.get("records"):
        fitting = ", ".join(each for each, other in FORMATS.items() if other.kind == artifact.manifest.facts.get("records"))
        raise UsageError(f"{artifact.ref} holds {artifact.manifest.facts.get('records')}s, which {name} cannot say; "
                         f"wanted one of: {fitting}.")
    count = write_file(words.to, rows_of(artifact, format, words.split))
    console.print(f"{count} rows of {artifact.ref} written to {words.to} as {name}")
    return {"file": str(words.to), "format": name, "rows": count}


def _own_format(artifact: Artifact) -> str:
    named = sorted(set(artifact.manifest.config.get("formats", ())))
    if len(named) == 1 and named[0] in FORMATS:
        return str(named[0])
    raise UsageError(f"{artifact.ref} came from files of the formats {', '.join(named) or 'none'}. Say which with --format.")


def rows_of(artifact: Artifact, format: Format, split: str = "all") -> Iterator[dict[str, Any]]:
    """A row a record, in the order of the files that were imported.

    Raises:
        ArtifactError: if a row file is not what `rows.jsonl` lists; DataError: if the format cannot say a record.
    """
    record_type = RECORD_TYPES[format.kind]
    files = {each: _values(artifact, f"{each}.jsonl") for each in SPLITS if (artifact.path / f"{each}.jsonl").is_file()}
    for listed in _values(artifact, "rows.jsonl"):
        if "salt" not in listed:          # erased: its record is gone, its hash stays
            continue
        try:
            record = record_type.from_json(next(files[listed["split"]]))
        except (StopIteration, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{artifact.ref} lacks the row {listed.get('id')} or holds it changed: {error!r}. "
                                "See: tutelage verify") from None
        if split in ("all", listed["split"]):
            yield format.write(record)


def _values(artifact: Artifact, name: str) -> Iterator[Any]:
    try:
        with open(artifact.path / name, encoding="utf-8", newline="\n") as file:
            for line in file:
                yield json.loads(line)
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{name} of {artifact.ref} cannot be read: {error}. See: tutelage verify") from None


def write_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write rows as the file's name says; the file is there whole or not at all. The number of rows.

    Raises:
        UsageError: if the name ends in nothing that is written here; DataError: if there is no room or permission.
    """
    packing = path.suffix if path.suffix in (".gz", ".zst") else ""
    kind = (path.with_suffix("") if packing else path).suffix
    if kind not in _WRITERS:
        raise UsageError(f"--to got {path}; wanted a name that ends in {', '.join(_WRITERS)}, perhaps with .gz or .zst after it.")
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(draft, "wb") as file:
            with _packed(file, packing) as stream:
                count = _WRITERS[kind](stream, rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from None
    finally:
        draft.unlink(missing_ok=True)
    return count


def _packed(file: BinaryIO, packing: str) -> Any:
    if packing == ".gz":
        return gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0)      # without a time: the same rows, the same bytes
    if packing == ".zst":
        import zstandard

        return zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    return nullcontext(file)


def _lines(stream: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        stream.write(_json(row).encode() + b"\n")
        count += 1
    return count


def _array(stream: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        stream.write((",\n" if count else "[\n").encode() + _json(row).encode())
        count += 1
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _table(delimiter: str) -> Callable[[BinaryIO, Iterable[Mapping[str, Any]]], int]:
    def write(stream: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> int:
        listed = list(rows)           # the header wants all keys first
        header = list(dict.fromkeys(key for row in listed for key in row))
        text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(row.get(key)) for key in header] for row in listed)
        text.flush()
        text.detach()
        return len(listed)
    return write


def _cell(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_WRITERS: Mapping[str, Callable[[BinaryIO, Iterable[Mapping[str, Any]]], int]] = {
    ".jsonl": _lines, ".json": _array, ".csv": _table(","), ".tsv": _table("\t")}
