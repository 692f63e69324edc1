"""Measure the privacy rules on their corpus and write the table in `privacy.md`: `make docs`, or this file alone.

    python docs/privacy_table.py [--misses tune]
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tutelage.privacy import KINDS, find

PAGE = Path(__file__).parent / "privacy.md"
CORPUS = Path(__file__).parent.parent / "tests" / "privacy" / "corpus.jsonl"
BEGIN, END = "<!-- table: docs/privacy_table.py -->\n", "<!-- end of table -->"
FOLDS = ("tune", "held_out", "challenge")
LOOSE = ("address", "name")      # where a finding that shares most of its characters with the wanted one counts


def cases(fold: str | None = None) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if fold in (None, row["fold"])]


def _is_same(kind: str, wanted: Mapping[str, Any], start: int, end: int) -> bool:
    if kind not in LOOSE:
        return (wanted["start"], wanted["end"]) == (start, end)
    shared = min(end, wanted["end"]) - max(start, wanted["start"])
    return shared > 0 and 2 * shared > max(end, wanted["end"]) - min(start, wanted["start"])


def count(rows: Iterable[Mapping[str, Any]]) -> tuple[Counter[tuple[str, str]], list[str]]:
    """(kind, "wanted" | "right" | "wrong") -> how often; and one line for each miss and each wrong finding.

    A finding is right where its kind and place are; a number found under another kind is a miss and a wrong finding.
    """
    counts: Counter[tuple[str, str]] = Counter()
    lines = []
    for row in rows:
        left = list(row["findings"])
        counts.update((each["kind"], "wanted") for each in left)
        for found in find(row["text"]):
            match = next((each for each in left if each["kind"] == found.kind
                          and _is_same(found.kind, each, found.start, found.end)), None)
            counts[found.kind, "right" if match else "wrong"] += 1
            if match:
                left.remove(match)
            else:
                lines.append(f"{row['id']} wrong {found.rule} {row['text'][found.start:found.end]!r} in {row['text']!r}")
        lines += [f"{row['id']} missed {each['kind']} {row['text'][each['start']:each['end']]!r} in {row['text']!r}"
                  for each in left]
    return counts, lines


def table() -> str:
    folds = {fold: count(cases(fold))[0] for fold in FOLDS}
    lines = ["| kind | wanted | precision | recall | held out: wanted | precision | recall "
             "| challenge: wanted | precision | recall |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for kind in (*KINDS, "all"):
        cells = []
        for counts in folds.values():
            wanted, right, wrong = (sum(counts[each, what] for each in (KINDS if kind == "all" else (kind,)))
                                    for what in ("wanted", "right", "wrong"))
            cells += [str(wanted), _share(right, right + wrong), _share(right, wanted)]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    num_cases = {fold: len(cases(fold)) for fold in folds}
    bare = {fold: sum(not row["findings"] for row in cases(fold)) for fold in folds}
    lines.append(f"\n{num_cases['tune']} cases ({bare['tune']} of them near misses) were used to tune, "
                 f"{num_cases['held_out']} ({bare['held_out']}) were held out, {num_cases['challenge']} ({bare['challenge']}) "
                 "are the challenge.")
    return "\n".join(lines) + "\n"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f}" if whole else "–"


def page(text: str) -> str:
    """The page with its table made anew."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    if sys.argv[1:2] == ["--misses"]:
        print("\n".join(count(cases(sys.argv[2]))[1]))
    else:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
