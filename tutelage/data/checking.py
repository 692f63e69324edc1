"""The report of `data check`: what is in a data set, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tutelage.data.balance import balance, field_of
from tutelage.data.diversity import diversity
from tutelage.data.filters import PROBLEMS, Examination
from tutelage.data.quality import frames
from tutelage.data.texts import prompt_text, responses
from tutelage.privacy import redact
from tutelage.text_metrics import count_words

SHOWN = 5              # rows that are named for each problem
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)


def report(examination: Examination, fields: Sequence[str] = ("language",), evenness: float = 1.0) -> dict[str, Any]:
    """Everything as JSON values. Rows are named by split and number, not by id, which may be personal itself; of their
    text only openings that many share are shown.

    `leakage` has `proved: true` where both splits are there and no held-out prompt, nor a near duplicate of it, is to be
    trained on.
    """
    entries = examination.entries
    records = [entry.record for entry in entries]
    prompts = [prompt_text(record) for record in records]
    answers = [text for record in records for text in responses(record)]
    return {
        "rows": dict(Counter(entry.split for entry in entries)),
        "problems": {kind: _problem(examination, kind) for kind in examination.counts()},
        "personal_data": dict(examination.personal.most_common()),
        "near_duplicate_pairs": {"within": _pairs(examination, across=False), "across": _pairs(examination, across=True)},
        "leakage": _leakage(examination),
        "lengths": {"prompt": lengths(prompts), "response": lengths(answers)},
        "diversity": diversity([prompt for prompt in prompts if prompt], answers),
        "frames": {redact(opening)[0]: count for opening, count in frames(answers).items()},
        "balance": {name: balance([field_of(record, name) for record in records], evenness) for name in fields},
    }


def _problem(examination: Examination, kind: str) -> dict[str, Any]:
    places = [at for at, problems in enumerate(examination.problems) if kind in problems]
    details = Counter(examination.problems[at][kind] for at in places)
    return {"rows": len(places), "share": len(places) / len(examination.entries), "means": PROBLEMS[kind],
            "first": [{"split": entry.split, "row": entry.row, "detail": examination.problems[at][kind]}
                      for at in places[:SHOWN] for entry in [examination.entries[at]]],
            "most_often": dict(details.most_common(SHOWN)) if len(details) < len(places) else {}}


def _pairs(examination: Examination, across: bool) -> int:
    entries = examination.entries
    return sum((entries[pair.first].split != entries[pair.second].split) is across for pair in examination.near)


def _leakage(examination: Examination) -> dict[str, Any]:
    splits = {entry.split for entry in examination.entries}
    return {"heldout_prompts_leaked": len(examination.leaks), "proved": splits == {"train", "heldout"} and not examination.leaks,
            "first": [{"train": leak.train + 1, "heldout": leak.heldout + 1, "similarity": leak.similarity}
                      for leak in examination.leaks[:SHOWN]]}


def lengths(texts: Sequence[str]) -> dict[str, float]:
    """Quantiles in units (words, Han characters), and the mean; empty where there is no text."""
    if not texts:
        return {}
    counts = [count_words(text) for text in texts]
    names = ("min", "p05", "median", "p95", "max")
    return {**dict(zip(names, map(float, np.quantile(counts, QUANTILES)), strict=True)), "mean": float(np.mean(counts))}


def row_lines(value: Mapping[str, Any]) -> list[list[Any]]:
    """The table of problems: kind, rows, share, the first rows."""
    return [[kind, each["rows"], f"{each['share']:.1%}",
             ", ".join(f"{first['split']} {first['row']}" for first in each["first"][:3]), _details(each)]
            for kind, each in value["problems"].items()]


def _details(problem: Mapping[str, Any]) -> str:
    details = problem["most_often"] or {first["detail"]: 1 for first in problem["first"][:1]}
    return "; ".join(f"{detail} ({count})" if count > 1 else detail for detail, count in list(details.items())[:2])


