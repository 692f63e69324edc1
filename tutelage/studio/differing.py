"""How far the judgments of one item are apart: the share of pairs of people who said different things of it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import combinations

from tutelage.feedback.votes import readings
from tutelage.records import Judgment

WRITTEN = ("critique", "edit", "demonstration", "instruction", "spans", "flag")      # kinds in which nobody says the same


def differs(judgments: Sequence[Judgment]) -> float:
    """0 where all said the same (or nothing that can be compared), 1 where no two did."""
    pairs = apart(judgments)
    return sum(pairs) / len(pairs) if pairs else 0.0


def apart(judgments: Sequence[Judgment]) -> list[bool]:
    """For each pair of people, and each thing both spoke of, whether they said different things of it; none where people
    write or could not judge. Of somebody's repeats the first by id counts."""
    said: dict[str, dict[tuple[str, str], Hashable]] = {}
    for judgment in judgments:
        for name, item, value in readings(judgment):
            said.setdefault(judgment.annotator_id, {}).setdefault((name, item), value)
    return [a[key] != b[key] for a, b in combinations(said.values(), 2) for key in a.keys() & b.keys()]
