"""Other people's column names brought to ours: `--map prompt=question response=answer`, or `[import.columns]`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.data.writing import KNOWN
from tutelage.errors import ConfigError, UsageError


def parse_map(words: Sequence[str]) -> dict[str, str]:
    """`OURS=THEIRS` words as a mapping.

    Raises:
        UsageError: if one is not of that form, or says twice what a key is.
    """
    columns: dict[str, str] = {}
    for word in words:
        ours, equals, theirs = word.partition("=")
        if not (ours and equals and theirs):
            raise UsageError(f"--map got {word!r}; wanted OURS=THEIRS, such as prompt=question. Files stand before --map.")
        if ours in columns:
            raise UsageError(f"--map says twice what {ours} is: {columns[ours]} and {theirs}.")
        columns[ours] = theirs
    return columns


def check_columns(columns: Mapping[str, str]) -> None:
    """Refuse keys that no format reads.

    Raises:
        ConfigError: naming the nearest key.
    """
    for ours in columns:
        if ours not in KNOWN:
            near = difflib.get_close_matches(ours, KNOWN, n=1)
            raise ConfigError(f"columns: no format reads {ours!r}.{f' Did you mean {near[0]!r}?' if near else ''} "
                              f"There are: {', '.join(sorted(KNOWN))}.")


def renamed(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The row with our names for the mapped columns (`a.b` is b inside of a); the others stay, where no name is taken."""
    taken = {*columns.values(), *columns}
    made = {key: value for key, value in row.items() if key not in taken}
    for ours, theirs in columns.items():
        found, value = _at(row, theirs)
        if found:
            made[ours] = value
    return made


def _at(row: Mapping[str, Any], path: str) -> tuple[bool, Any]:
    if path in row:
        return True, row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        elif isinstance(value, dict) and step in value:
            value = value[step]
        else:
            return False, None
    return True, value
