"""Files served as they are: stylesheets, scripts, the vendored libraries. Read once, named by their content.

A file's address holds a digest of all files, so that browsers keep it for good and never mix two versions: modules
that import each other by relative paths carry the digest along.
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json",
          ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    media_type: str


class Assets:
    """`folders`: first part of the address -> folder whose files are served below it."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.files = {f"{name}/{path.relative_to(folder).as_posix()}": Asset(path.read_bytes(), _media_type(path))
                      for name, folder in folders.items() for path in sorted(folder.rglob("*")) if path.is_file()}
        total = hashlib.sha256()
        for name, asset in sorted(self.files.items()):
            total.update(name.encode() + b"\0" + hashlib.sha256(asset.content).digest())
        self.digest = total.hexdigest()[:12]

    def url(self, name: str) -> str:
        """The address of a file, such as `web/shell.css`. Raises KeyError if there is none: a misspelt template."""
        return f"/static/{self.digest}/{name}" if self.files[name] else ""


def _media_type(path: Path) -> str:
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind
