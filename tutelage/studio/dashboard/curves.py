"""Curves as the page's script gets them: at most so many points a metric, spikes kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.reporting.svg import thin
from tutelage.runs.listing import RunInfo
from tutelage.studio.dashboard.measures import KL, SCORE

MOST_POINTS = 1200      # a metric; a screen shows no more


def curves(run: RunInfo) -> dict[str, Any]:
    """`curves`: metric -> [steps (from 1), values]; `frontier`: [KL, score] of the same steps."""
    points: dict[str, list[tuple[float, float]]] = {}
    for line in (*run.metrics, *run.speed):
        for name, value in line.items():
            if name != "step" and isinstance(value, int | float) and math.isfinite(value):
                points.setdefault(name, []).append((line["step"] + 1, value))
    return {"run": run.name, "done": run.done,
            "curves": {name: _columns(thin(each, MOST_POINTS)) for name, each in points.items()},
            "frontier": _columns(_evenly([(line[KL], line[SCORE]) for line in run.metrics if _has_both(line)]))}


def _has_both(line: Mapping[str, float]) -> bool:
    return all(math.isfinite(line.get(name, math.nan)) for name in (KL, SCORE))


def _evenly(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return list(points[:: max(1, math.ceil(len(points) / MOST_POINTS))])


def _columns(points: Sequence[tuple[float, float]]) -> list[list[float]]:
    return [[x for x, _ in points], [y for _, y in points]]
