"""Data-set artifacts as they are written: rows stream from files to row files, and a few bytes a row stay in memory (D11).

    train.jsonl, heldout.jsonl   one record a line, as canonical JSON
    rows.jsonl                   one line a record, in the files' order: id, file, row, split, salt, hash
    refusals.jsonl               one line a refused row: file, row, reason
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from json.encoder import encode_basestring as _quoted
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from tutelage.data.erasure import is_erased
from tutelage.data.fingerprints import prompt_key
from tutelage.data.formats import FORMATS, READER
from tutelage.data.sources import Readable
from tutelage.data.splits import SPLIT_RULE, held_out
from tutelage.data.writing import content_id
from tutelage.errors import ConfigError, DataError
from tutelage.lineage import Manifest
from tutelage.project import Artifact, Project, check_name
from tutelage.records import Record

Erased = Callable[[Mapping[str, Any]], bool]      # of an id and a hash
REASONS_COUNTED = 1000      # different ones; a file of a million rows that are bad each in its own way is still one message
_CONTENT_ID = re.compile("[0-9a-f]{16}")
_readable = json.JSONEncoder(ensure_ascii=False).encode


def write_dataset(project: Project, name: str, sources: Sequence[Readable], split_ratio: float = 0.0, seed: int = 0) -> Artifact:
    """Make an artifact of what files hold; the same files, ratio and seed again give the artifact that is there.

    Raises:
        DataError: if no row is kept, the files hold records of different kinds, or one cannot be read to its end. Nothing is
            left of the artifact then.
        ConfigError: if `split_ratio` is not in [0, 1).
        DiskError: if the project cannot be written to: no space, no permission.
    """
    check_name(name)
    if not 0.0 <= split_ratio < 1.0:
        raise ConfigError(f"split_ratio is {split_ratio}; wanted at least 0 and under 1.")
    kind, names = _one_kind(sources), _file_names(sources)
    facts: dict[str, Any] = {"records": kind}      # filled in while the rows go by
    manifest = Manifest(
        kind="dataset", name=name, stage="import", seeds={"split": seed}, facts=facts,
        sources={file: each.sha256 for file, each in zip(names, sources, strict=True)},
        config={"reader": READER, "split_ratio": split_ratio, **({"split_rule": SPLIT_RULE} if split_ratio > 0 else {}),
                "formats": [each.format for each in sources],
                "asked": [dict(each.asked) for each in sources]})
    if (existing := project.made_from(manifest.key)) is not None:
        return existing
    with project.writing(manifest) as draft:
        facts.update(_write(draft.path, sources, names, split_ratio, seed, is_erased(project.ledger)))
    return draft.artifact


def _one_kind(sources: Sequence[Readable]) -> str:
    kinds = sorted({FORMATS[each.format].kind for each in sources})
    if len(kinds) != 1:
        files = ", ".join(each.file for each in sources) or "no file"
        raise DataError(f"{files} hold records of the kinds {', '.join(kinds)}; wanted one kind. Import them apart.")
    return kinds[0]


def _file_names(sources: Sequence[Readable]) -> list[str]:
    """Names for a manifest, which holds no paths: the second `train.json` is `train.json#2`."""
    seen: Counter[str] = Counter()
    names = []
    for each in sources:
        seen[each.file] += 1
        names.append(each.file if seen[each.file] == 1 else f"{each.file}#{seen[each.file]}")
    return names


def _write(directory: Path, sources: Sequence[Readable], names: Sequence[str], ratio: float, seed: int,
           erased: Erased) -> dict[str, Any]:
    """Write all files of the artifact; its facts."""
    with ExitStack() as files:
        def create(name: str) -> BinaryIO:
            return files.enter_context(open(directory / name, "wb", buffering=1 << 20))

        tally, output = _Tally(), _Output(create("rows.jsonl"), {"train": create("train.jsonl")})
        rows = _rows(sources, names, create("refusals.jsonl"), tally, erased)
        if ratio > 0:
            output.splits["heldout"] = create("heldout.jsonl")
            for row, split in _divided(rows, directory / ".spool", ratio, seed):
                output.put(row, split)
        else:
            for row in rows:
                output.put(row, "train")
    if not output.counts:
        reasons = "; ".join(f"{count} times: {reason}" for reason, count in tally.reasons.most_common(3))
        raise DataError(f"{', '.join(each.file for each in sources)}: no row was kept. {reasons}".rstrip())
    return {**tally.facts, "train": output.counts["train"], "heldout": output.counts["heldout"],
            "merkle_root": output.merkle.root()}


class _Line(NamedTuple):
    """A record on its way: its line in a row file, that line's hash, and the beginning of its line in `rows.jsonl`."""

    head: str
    hash: bytes
    text: bytes
    record: Any


class _Tally:
    """What became of the rows."""

    def __init__(self) -> None:
        self.files: list[dict[str, Any]] = []
        self.reasons: Counter[str] = Counter()
        self._ids = array("Q")            # 8 bytes a record, by its content
        self._annotators: set[str | None] = set()

    def add(self, record: Record) -> None:
        # A record that the row did not name is named by its content.
        self._ids.append(int(record.id if _CONTENT_ID.fullmatch(record.id) else content_id(record), 16))
        self._annotators.add(getattr(record, "annotator", None))

    def refuse(self, reason: str) -> None:
        if reason in self.reasons or len(self.reasons) < REASONS_COUNTED:
            self.reasons[reason] += 1

    @property
    def facts(self) -> dict[str, Any]:
        total = {name: sum(each[name] for each in self.files) for name in ("read", "kept", "refused")}
        return {**total, "files": self.files, "duplicates": len(self._ids) - _different(self._ids),
                "annotators": sorted(each for each in self._annotators if each)}


def _different(numbers: array[int]) -> int:
    import numpy

    return len(numpy.unique(numpy.frombuffer(numbers, dtype=numpy.uint64))) if numbers else 0


def _rows(sources: Sequence[Readable], names: Sequence[str], refusals: BinaryIO, tally: _Tally,
          erased: Erased) -> Iterator[_Line]:
    """Every record of every file, once; what is no record goes to `refusals`. A row that was erased from this project does
    not come back with its file.
    """
    for file, source in zip(names, sources, strict=True):
        counts: dict[str, Any] = {"file": file, "format": source.format, "read": 0, "kept": 0, "refused": 0}
        tally.files.append(counts)
        salt, named = bytes.fromhex(source.salt), _readable(file)
        for number, records, reason in source.outcomes():
            counts["read"] += 1
            lines = [_line(record, named, number, salt, f"{number}.{place}" if place else str(number))
                     for place, record in enumerate(records)]
            lines = [line for line in lines if not erased({"id": line.record.id, "hash": line.hash.hex()})]
            if not lines:
                reason = reason or "it was erased from this project"
                counts["refused"] += 1
                tally.refuse(reason)
                refusals.write((_readable({"file": file, "row": number, "reason": reason}) + "\n").encode())
                continue
            counts["kept"] += 1
            for line in lines:
                tally.add(line.record)
                yield line


def _line(record: Any, file: str, number: int, file_salt: bytes, place: str) -> _Line:
    """The salt follows from the whole source file, not from its published sha256: once a row is erased with its salt, the
    hash that is left tells nobody who guesses what it was. `fingerprints.row_hash` makes the hash again.
    """
    text = record.canonical().encode()
    salt = hashlib.sha256(file_salt + place.encode()).digest()[:16]
    digest = hmac.digest(salt, text, "sha256")
    head = (f'{{"id": {_quoted(record.id)}, "file": {file}, "row": {number}, "salt": "{salt.hex()}", '
            f'"hash": "{digest.hex()}"')
    return _Line(head, digest, text, record)


class _Output:
    """The row files and the list of rows, written together."""

    def __init__(self, rows: BinaryIO, splits: dict[str, BinaryIO]) -> None:
        self.splits, self.counts, self.merkle, self._rows = splits, Counter[str](), _Merkle(), rows

    def put(self, line: _Line, split: str) -> None:
        self.splits[split].write(line.text + b"\n")
        self._rows.write(f'{line.head}, "split": "{split}"}}\n'.encode())
        self.merkle.add(line.hash)
        self.counts[split] += 1


def _divided(lines: Iterator[_Line], spool: Path, ratio: float, seed: int) -> Iterator[tuple[_Line, str]]:
    """Each line with its side of the split. Which sides there are only all prompts together say, so the lines wait on disk."""
    with open(spool, "wb", buffering=1 << 20) as file:
        for line in lines:
            key = prompt_key(line.record)
            file.write(f"{_readable(key)}\n{line.head}\n".encode() + line.text + b"\n")
    with open(spool, "rb") as file:
        apart = held_out((json.loads(key) for key in islice(file, 0, None, 3)), ratio, seed)
    with open(spool, "rb") as file:
        for asked, head, text in zip(file, file, file, strict=True):
            start = head.decode().removesuffix("\n")
            line = _Line(start, bytes.fromhex(start[-65:-1]), text.removesuffix(b"\n"), None)
            yield line, "heldout" if json.loads(asked) in apart else "train"
    spool.unlink()


class _Merkle:
    """`fingerprints.merkle_root` of leaves that come one by one: whole subtrees wait, the largest first."""

    def __init__(self) -> None:
        self._waiting: list[tuple[int, bytes]] = []      # (height, digest)

    def add(self, leaf: bytes) -> None:
        height, digest = 0, hashlib.sha256(b"\0" + leaf).digest()
        while self._waiting and self._waiting[-1][0] == height:
            digest = hashlib.sha256(b"\1" + self._waiting.pop()[1] + digest).digest()
            height += 1
        self._waiting.append((height, digest))

    def root(self) -> str:
        digest = self._waiting[-1][1] if self._waiting else hashlib.sha256(b"").digest()
        for _, left in reversed(self._waiting[:-1]):
            digest = hashlib.sha256(b"\1" + left + digest).digest()
        return digest.hex()
