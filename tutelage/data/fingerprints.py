"""What rows are told apart by: the prompt, which decides a row's side of a split, and the salted hash (D11)."""

from __future__ import annotations

import hashlib
import hmac
import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.data.texts import prompt_messages, prompt_text
from tutelage.errors import ArtifactError
from tutelage.lineage import canonical_json
from tutelage.project import Artifact
from tutelage.records import Record

ROWS = "rows.jsonl"      # of an artifact that lists its rows: one line a row, in the order of its row files


def prompt_key(record: Record) -> str:
    """What makes two records ask the same: the first thing the user says, blanks and width of characters aside.


    A document or a labelled text is its own prompt.
    """
    messages = prompt_messages(record)
    asked = next((message.text for message in messages if message.role == "user"), "") if messages else prompt_text(record)
    return " ".join(unicodedata.normalize("NFKC", asked).split())


def row_hash(value: Mapping[str, Any], salt: str) -> str:
    """Salted sha256 of a record's JSON, 64 hex digits."""
    return hmac.new(bytes.fromhex(salt), canonical_json(value).encode(), "sha256").hexdigest()


def merkle_root(hashes: Sequence[str]) -> str:
    """One hash over row hashes, pairwise, an odd one going up alone; leaves and nodes are hashed apart (RFC 6962)."""
    level = [hashlib.sha256(b"\0" + bytes.fromhex(each)).digest() for each in hashes] or [hashlib.sha256(b"").digest()]
    while len(level) > 1:
        paired = [hashlib.sha256(b"\1" + level[at] + level[at + 1]).digest() for at in range(0, len(level) - 1, 2)]
        level = paired + level[len(paired) * 2:]
    return level[0].hex()


def fingerprint(records: Sequence[tuple[Mapping[str, Any], Sequence[str]]]) -> list[dict[str, Any]]:
    """Lines of `rows.jsonl` for records that came from no file: each (its JSON, ids of the rows that it quotes).

    The salts follow from all the records together, so that the same records have the same hashes on any machine, and so
    that a hash whose record and salt are gone tells nobody who guesses what it was.
    """
    whole = hashlib.sha256(b"tutelage row salt\0")
    for value, _ in records:
        whole.update(canonical_json(value).encode("utf-8", "surrogatepass") + b"\n")
    lines = []
    for number, (value, quoted) in enumerate(records, start=1):
        salt = hmac.new(whole.digest(), str(number).encode(), "sha256").hexdigest()[:32]
        lines.append({"id": value["id"], "row": number, "of": list(quoted), "salt": salt, "hash": row_hash(value, salt)})
    return lines


def text_file(line: Mapping[str, Any]) -> str:
    """The row file that holds the record of a line of `rows.jsonl`."""
    return f"{line['split']}.jsonl" if "split" in line else "samples.jsonl"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines of a file.

    Raises:
        ArtifactError: if it cannot be read.
    """
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            return [json.loads(line) for line in file]
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path.name} in {path.parent} cannot be read: {error}. Make the artifact again.") from None


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """One at a time: a data set may be larger than memory."""
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield json.loads(line)


def row_troubles(artifact: Artifact) -> list[str]:
    """What is wrong with the rows of an artifact that lists them: hashes that are no longer those it was made with, or
    records that are no longer what was hashed. A row that was erased has its hash only, and is no trouble."""
    if not (artifact.path / ROWS).is_file():
        return []
    try:
        lines = read_lines(artifact.path / ROWS)
        root = artifact.manifest.facts.get("merkle_root")
        same = merkle_root([line["hash"] for line in lines]) == root
        troubles = [] if same else [f"{ROWS}: these are not the hashes it was made with"]
        records = {name: _records(artifact.path / name) for name in sorted({text_file(line) for line in lines})}
        for line in lines:
            if "salt" in line and row_hash(next(records[text_file(line)], {}), line["salt"]) != line["hash"]:
                troubles.append(f"{text_file(line)}: row {line['id']} is not the one that was hashed")
        return troubles
    except (ArtifactError, OSError, KeyError, TypeError, ValueError) as error:
        return [f"its rows cannot be read: {error}"]
