"""Data sets that are more than a file: a directory of data files, what `save_to_disk` wrote, and `hf:org/name`.

Only the prefix `hf:` ever goes to the network (D12), and only when a person types it into `tutelage data import`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tutelage.errors import DataError

PREFIX = "hf:"
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".txt", ".gz", ".zst")
_NOT_DATA = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
_SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test", "evaluation": "test",
           "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation"}


def data_files(path: Path, split: str = "") -> list[Path]:
    """The files that `path` stands for: itself, or those of a directory, of one split where they are of several.

    Without `split` that is `train`, if there is one: rows that somebody set apart for testing never come in unasked.

    Raises:
        DataError: if the directory holds no data, has no such split, or has several of which none is `train`.
    """
    if not path.is_dir():
        if split:
            raise DataError(f"{path} is a file and has no split {split!r}; only directories and hf: data sets have.")
        return [path]
    by_split: dict[str, list[Path]] = {}
    for file in sorted(_saved(path) or _walked(path)):
        by_split.setdefault(_split_of(file.relative_to(path)), []).append(file)
    if not by_split:
        raise DataError(f"{path} is a directory without data; wanted files ending in {', '.join(SUFFIXES)}.")
    wanted = split or ("train" if "train" in by_split else "" if "" in by_split else next(iter(by_split)))
    named = sorted(each for each in by_split if each)
    if wanted not in by_split or (not split and wanted not in ("", "train") and len(named) > 1):
        has = f"no split {split!r}; it has" if split else "the splits"
        raise DataError(f"{path} has {has} {', '.join(named) or 'none'}. Say which with --split.")
    return by_split[wanted]


def _saved(path: Path) -> list[Path]:
    """The files of a directory that datasets' `save_to_disk` wrote: only those that its `state.json`s name."""
    found = []
    for state in sorted(path.glob("state.json")) or sorted(path.glob("*/state.json")):
        try:
            names = [str(each["filename"]) for each in json.loads(state.read_text(encoding="utf-8"))["_data_files"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{state} cannot be read: {error!r}. Save the data set again.") from None
        files = [state.parent / name for name in names]
        if missing := [name for name, file in zip(names, files, strict=True) if "/" in name or not file.is_file()]:
            raise DataError(f"{state.parent} lacks {', '.join(missing[:3])}, which its state.json names. Copy it again.")
        found += files
    return found


def _walked(path: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(root, name)
            if file.suffix.lower() in SUFFIXES and name not in _NOT_DATA and not name.startswith(".") and file.is_file():
                yield file


def _split_of(file: Path) -> str:
    """The split that a file's name or folder says, "" where it says none."""
    for part in (*reversed(file.parts[:-1]), file.name):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in _SPLITS:
                return _SPLITS[word]
    return ""


def fetch(name: str, to: Path, split: str = "") -> int:
    """Stream a hub data set into a file of JSON lines; the number of its rows.

    `name` is `org/name` or, where it has several configurations, `org/name@configuration`; of it `split` is read (train).

    Raises:
        DataError: if there is no such data set, split or network, a row that JSON cannot say, or no room for it.
    """
    rows = 0
    try:
        with open(to, "w", encoding="utf-8", newline="\n") as file:
            for line in _streamed(name, split or "train"):
                file.write(line + "\n")
                rows += 1
    except OSError as error:
        raise DataError(f"{PREFIX}{name} cannot be kept in {to.parent}: {error.strerror or error}. Make room.") from None
    return rows


def _streamed(name: str, split: str) -> Iterator[str]:
    import datasets

    path, _, configuration = name.partition("@")
    try:
        stream = datasets.load_dataset(path, configuration or None, split=split, streaming=True)
        classes = {column: feature.names for column, feature in (stream.features or {}).items()
                   if isinstance(feature, datasets.ClassLabel)}
        for row in stream:
            kept = {key: value for key, value in row.items() if value is not None}
            kept |= {key: names[kept[key]] for key, names in classes.items() if kept.get(key, -1) >= 0}
            yield json.dumps(kept, ensure_ascii=False, default=_plain)
    except (OSError, ValueError, RuntimeError, TypeError, LookupError, datasets.exceptions.DatasetsError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise DataError(f"{PREFIX}{name}, split {split}, cannot be read: {reason}. Check the name, the split (--split) and the "
                        "network, or download its files and import them.") from None


def _plain(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise TypeError(f"a value of type {type(value).__name__} is no text, number, list or object")
