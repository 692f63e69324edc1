"""The single values of other people's rows, checked: texts, numbers, names, and all that a format does not know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast, get_args

from tutelage.data.rows import RowError, kind_of
from tutelage.records import AnnotatorKind

RowObject = Mapping[str, Any]

ANNOTATORS = get_args(AnnotatorKind)
# Read in every row, whatever its format; `meta` is where our own export puts what a row said besides.
COMMON = frozenset({"id", "annotator", "person", "weight", "judgment_ids", "meta"})
DEEPEST = 100
PROGRAMS = ("tests", "test_list")      # a list of lines is one program: the unit tests of generated code
_MEDIA = ("image", "images", "video", "videos", "audio", "audios")


def required_text(row: RowObject, key: str, *, empty: bool = False) -> str:
    value = row.get(key)
    if not isinstance(value, str):
        raise RowError(f"{key} is {kind_of(value)}; wanted a string" if key in row else f"has no {key}")
    if not empty and not value.strip():
        raise RowError(f"empty {key}")
    return value


def optional_text(row: RowObject, key: str) -> str:
    """The text, or "" where the key is absent, null or blank."""
    if row.get(key) is None:
        return ""
    text = required_text(row, key, empty=True)
    return text if text.strip() else ""


def first_of(row: RowObject, *keys: str) -> str:
    """The first key that the row has; the first of all where it has none."""
    return next((key for key in keys if key in row), keys[0])


def finite(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e308 or not math.isfinite(value):
        raise RowError(f"{name} is {kind_of(value)}; wanted a finite number")
    return float(value)


def read_number(row: RowObject, key: str, default: float) -> float:
    return default if row.get(key) is None else finite(row[key], key)


def given_id(row: RowObject) -> str:
    """The row's own name, a number too; "" where it has none, and the record is named by its content."""
    value = row.get("id")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else ""


def annotator_of(row: RowObject, declared: AnnotatorKind) -> AnnotatorKind:
    value = row.get("annotator")
    if value is None:
        return declared
    if value not in ANNOTATORS:
        raise RowError(f"annotator is {str(value)[:40]!r}; wanted one of {', '.join(ANNOTATORS)}")
    return cast(AnnotatorKind, value)


def judged(row: RowObject, declared: AnnotatorKind) -> dict[str, Any]:
    """Who judged and what that counts: the fields all judged records share."""
    ids = row.get("judgment_ids") or []
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise RowError("judgment_ids is not a list of strings")
    weight = read_number(row, "weight", 1.0)
    if weight < 0:
        raise RowError(f"weight is {weight}; wanted 0 or more")
    return {"annotator": annotator_of(row, declared), "person": optional_text(row, "person"), "weight": weight,
            "judgment_ids": tuple(ids)}


def meta_of(row: RowObject, known: frozenset[str]) -> dict[str, Any]:
    """What the row says by keys that its format does not know, where it is one text, number or switch.

    Raises:
        RowError: if it holds pictures or sound, without which its text would mean something else.
    """
    if row.keys() <= known and "meta" not in row:
        return {}
    for key in _MEDIA:
        if key not in known and row.get(key):
            raise RowError(f"has {key}; only text is read")
    own = row.get("meta")
    found = dict(own) if isinstance(own, dict) else {}
    found.update((key, value) for key, value in row.items() if key not in known and _is_scalar(value))
    found.update((key, "\n".join(row[key])) for key in PROGRAMS if key not in known and _is_program(row.get(key)))
    return {key: value for key, value in found.items() if _is_scalar(value)}


def check_depth(value: Any, name: str) -> None:
    """Refuse what is nested so deeply that no other tool could read it again."""
    level = [value]
    for _ in range(DEEPEST):
        level = [each for item in level if isinstance(item, dict | list)
                 for each in (item.values() if isinstance(item, dict) else item)]
        if not level:
            return
    raise RowError(f"{name} is nested more than {DEEPEST} deep")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | float) and value != ""


def _is_program(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(line, str) for line in value)
