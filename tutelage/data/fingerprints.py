"""What rows are told apart by: the prompt, which decides a row's side of a split, and the salted hash (D11)."""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.data.formats import Record
from tutelage.data.texts import prompt_messages, prompt_text
from tutelage.lineage import canonical_json


def prompt_key(record: Any) -> str:
    """What makes two records ask the same: the first thing the user says, blanks and width of characters aside.

    A document or a labelled text is its own prompt.
    """
    messages = prompt_messages(record)
    asked = next((message.text for message in messages if message.role == "user"), "") if messages else prompt_text(record)
    return " ".join(unicodedata.normalize("NFKC", asked).split())


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
