"""What rows are told apart by: the prompt, which decides a row's side of a split, and the salted hash (D11)."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.lineage import canonical_json
from tutelage.records import Document, Label, Message, Prompt, Record


def prompt_key(record: Record) -> str:
    """What makes two records ask the same, blanks and width of characters aside: the first thing the user says, of a record
    without a prompt its whole text.
    """
    if isinstance(record, Document | Label):
        return " ".join(unicodedata.normalize("NFKC", record.text).split())
    messages: Sequence[Message] = record.messages if isinstance(record, Prompt) else record.prompt      # type: ignore[attr-defined]
    asked = next((message.text for message in messages if message.role == "user"), "")
    return " ".join(unicodedata.normalize("NFKC", asked).split())


def held_out(keys: Iterable[str], ratio: float, seed: int) -> set[str]:
    """Which prompts are held out: a share of about `ratio`, by a hash of each prompt alone.

    So a prompt stays on its side when the file is re-ordered or grows, and equal prompts never stand on both. A side
    that would be empty gets the prompt nearest to it.
    """
    places = {key: int(hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "surrogatepass")).hexdigest()[:13], 16) / 16**13
              for key in keys}
    chosen = {key for key, place in places.items() if place < ratio}
    if ratio > 0 and len(places) > 1:
        if not chosen:
            chosen = {min(places, key=lambda key: places[key])}
        elif len(chosen) == len(places):
            chosen.discard(max(places, key=lambda key: places[key]))
    return chosen


@dataclass(frozen=True, slots=True)
class Row:
    """A record, the file and row it came from, and that file's salt (`Imported.salt`)."""

    file: str
    number: int
    record: Record
    salt: str

    def line(self, split: str) -> dict[str, Any]:
        """Its line in `rows.jsonl`. The hash can be made again from the row's text and salt.

        The salt follows from the whole source file, not from its published sha256: once a row is erased with its salt,
        the hash that is left tells nobody who guesses what it was.
        """
        salt = hmac.new(bytes.fromhex(self.salt), str(self.number).encode(), "sha256").hexdigest()[:32]
        return {"id": self.record.id, "file": self.file, "row": self.number, "split": split, "salt": salt,
                "hash": row_hash(self.record.to_json(), salt)}


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
