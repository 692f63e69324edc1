"""The originals of redacted text: in the project, beside the artifacts and never in one, readable by its owner alone.

    DIR/vault/KEY.jsonl     one line a redacted row: {"origin": its hash in the data set it came from, "originals": {...}}

The files have mode 0600 and their directory 0700. They are not encrypted: a key would have to lie in the same project,
where whoever can read the one can read the other. Against theft of the disk, encrypt the disk; to make a redaction final,
delete the file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from tutelage.errors import ProjectError
from tutelage.project import Project, sync_directory

FOLDER = "vault"


def write_vault(project: Project, key: str, originals: Mapping[str, Mapping[str, str]]) -> Path:
    """Keep what was redacted: origin -> placeholder -> original. Written whole or not at all; again is harmless.

    Raises:
        ProjectError: if the directory exists and others may read it.
    """
    folder = _folder(project)
    path = folder / f"{key[:16]}.jsonl"
    _write(path, originals)
    return path


def read_vault(project: Project) -> dict[str, dict[str, str]]:
    """All originals of a project, by origin; of two files that know one, both count."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted((project.root / FOLDER).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            value = json.loads(line)
            found.setdefault(value["origin"], {}).update(value["originals"])
    return found


def forget(project: Project, origins: Iterable[str]) -> int:
    """Take rows out of the vault, when they are erased; how many there were."""
    gone, count = set(origins), 0
    for path in sorted((project.root / FOLDER).glob("*.jsonl")):
        values = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        kept = {value["origin"]: value["originals"] for value in values if value["origin"] not in gone}
        if len(kept) < len(values):
            count += len(values) - len(kept)
            _write(path, kept)
    return count


def _folder(project: Project) -> Path:
    folder = project.root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        raise ProjectError(f"{folder} can be read by others (mode {folder.stat().st_mode & 0o777:o}); wanted 700, as it holds "
                           f"personal data. Run: chmod 700 {folder}")
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text("*\n", encoding="utf-8")      # nobody should commit it by accident
    return folder


def _write(path: Path, originals: Mapping[str, Mapping[str, str]]) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            for origin, each in originals.items():
                file.write(json.dumps({"origin": origin, "originals": dict(each)}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
