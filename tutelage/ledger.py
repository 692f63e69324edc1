"""The log of a project's artifacts: what was made, erased from and removed, each line chained to the one before (D10, D11).

    artifacts/LOG    one JSON object a line; `previous` is the sha256 of the line before it, "" in the first

A manifest that is changed on disk no longer has the content id its line says, and a line that is changed no longer is
what the next one names. Who can write here can still rewrite the whole log: keep its head, a sha256, somewhere else.
No line holds text of a row, a time or a person: rows and artifacts by their names only.

    made     artifact, content          written before the artifact's directory gets its name, so that no kill comes between
    adopted  artifact, content          it was there without a line, and somebody said that this is right
    erasing  number, root, rows, holders, descendants, checkpoints      what an erasure is about to do
    erased   number, files, tombstones  it is done: what each changed file is now, and the hash that is left of each row
    removed  artifact, content          pruned
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.lineage import canonical_json, content_hash

LOG = "LOG"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: what happened, and the facts of it."""

    event: str
    facts: Mapping[str, Any]


class Ledger:
    """The log as it is now. Cheap to read: an artifact is a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.problems: list[str] = []        # where the chain is broken
        self.head = ""                       # sha256 of the last line
        self.heads: list[str] = []           # sha256 of every line
        for number, line in enumerate(_whole_lines(path), start=1):
            self._take(number, line)

    def _take(self, number: int, line: bytes) -> None:
        try:
            facts = dict(json.loads(line))
            previous, event = facts.pop("previous"), str(facts.pop("event"))
        except (ValueError, KeyError, TypeError):
            self.problems.append(f"line {number} is not one this program wrote")
        else:
            if previous != self.head:
                self.problems.append(f"line {number} does not follow from the one before it: something was changed, added or "
                                     "taken away there")
            self.entries.append(Entry(event, facts))
        self.head = hashlib.sha256(line).hexdigest()
        self.heads.append(self.head)

    def append(self, event: str, **facts: Any) -> None:
        """Write one line and have the disk hold it. What a killed process left of a line is taken away first."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            whole = b"".join(line + b"\n" for line in _whole_lines(self.path))
            file.truncate(len(whole))
            last = whole[:-1].rpartition(b"\n")[2]
            said = canonical_json({"event": event, "previous": hashlib.sha256(last).hexdigest() if last else "", **facts})
            written = said.encode("utf-8", "surrogatepass")
            try:
                if file.write(written + b"\n") != len(written) + 1:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                os.truncate(self.path, len(whole))      # what was not said in whole was not said
                raise
        self._take(len(self.heads) + 1, written)

    def _of(self, *events: str) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.event in events)

    @property
    def content(self) -> dict[str, str]:
        """artifact -> the content id it was made with; without those that were removed."""
        known: dict[str, str] = {}
        for entry in self._of("made", "adopted", "removed"):
            if entry.event == "removed":
                known.pop(entry.facts["artifact"], None)
            else:
                known[entry.facts["artifact"]] = entry.facts["content"]
        return known

    def last_version(self, kind: str, name: str) -> int:
        """The highest version that ever was: a number is never used again, so that no old line speaks of a new artifact."""
        refs = (entry.facts["artifact"] for entry in self._of("made", "adopted"))
        return max((int(ref.rpartition("@")[2]) for ref in refs if ref.startswith(f"{kind}/{name}@")), default=0)

    @property
    def descendants(self) -> set[str]:
        """Artifacts that were made with, or may hold, a row that was erased since."""
        return {ref for entry in self._of("erasing") for ref in entry.facts["descendants"]}

    @property
    def erased_rows(self) -> set[str]:
        """Ids of the rows that were erased from data sets of this project."""
        return {row for entry in self._of("erasing") for row in entry.facts["rows"]}

    @property
    def erased_lines(self) -> set[str]:
        """Ids of those rows and of whatever quoted them, such as samples that answered them."""
        return {line for entry in self._of("erasing") for lines in entry.facts["holders"].values() for line in lines}

    @property
    def unfinished(self) -> Entry | None:
        """The erasure that was begun and not brought to its end, if any."""
        done = {entry.facts["number"] for entry in self._of("erased")}
        return next((entry for entry in self._of("erasing") if entry.facts["number"] not in done), None)

    def erased_from(self, ref: str) -> list[str]:
        """Ids of the rows that artifact `ref` held and no longer holds."""
        return sorted({row for entry in self._of("erasing") for row in entry.facts["holders"].get(ref, ())})

    def state(self, ref: str) -> str:
        """Names which rows are gone from `ref`: "" while it is as it was made. Children's manifests name it."""
        gone = self.erased_from(ref)
        return content_hash(gone)[:16] if gone else ""

    def states(self, ref: str) -> set[str]:
        """Every state that `ref` has been in."""
        gone: set[str] = set()
        found = {""}
        for entry in self._of("erasing"):
            gone |= set(entry.facts["holders"].get(ref, ()))
            found.add(content_hash(sorted(gone))[:16] if gone else "")
        return found

    def files(self, ref: str) -> dict[str, str | None]:
        """What erasures made of the files of `ref`: sha256 now, None where the file was taken away."""
        return {name: digest for entry in self._of("erased") for name, digest in entry.facts["files"].get(ref, {}).items()}

    def tombstones(self, ref: str) -> list[Mapping[str, str]]:
        """What is left of the rows that were erased from `ref`: each its id and its salted hash."""
        return [stone for entry in self._of("erased") for stone in entry.facts["tombstones"].get(ref, ())]


def _whole_lines(path: Path) -> list[bytes]:
    """Without the half line that a process may have been killed in."""
    try:
        return path.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return []
