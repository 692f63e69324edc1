"""Runs side by side: where each ended, what was best, in which settings they differ, and their curves as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tutelage.reporting import Curve, Line, Report, Row, Table, render_html
from tutelage.reporting.report import Cell, Language
from tutelage.runs.listing import RunInfo, direction

LEAST_COMMON = 2      # runs that must have a metric for it to be compared; one that only one has says nothing
_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Runs compared", "运行对比"), "metrics": ("Metrics", "指标"), "metric": ("metric", "指标"),
    "final": ("last", "末值"), "best": ("best", "最佳值"), "settings": ("Settings that differ", "不同的设置"),
    "setting": ("setting", "设置"), "steps": ("steps", "步"), "same": ("none", "无"), "state": ("state", "状态"),
    "metrics_about": ("The value of the last step that was made, and the best one where it is known which way is better.",
                      "最后一步的数值；若已知优劣方向，另列最佳值。"),
}


def common_metrics(runs: Sequence[RunInfo]) -> list[str]:
    """Metrics that at least two of the runs have, in the order in which they were logged."""
    counts: dict[str, int] = {}
    for run in runs:
        for metric in dict.fromkeys(name for line in run.metrics for name in line if name != "step"):
            counts[metric] = counts.get(metric, 0) + 1
    return [metric for metric, count in counts.items() if count >= min(LEAST_COMMON, len(runs))]


def differing(runs: Sequence[RunInfo]) -> dict[str, list[Any]]:
    """Settings, parents and circumstances in which the runs are not all alike: name -> the value of each."""
    flat = [_flat({**run.record.get("config", {}), "parent": _names(run.record.get("parents", {})),
                   "circumstances": run.record.get("circumstances", {})}) for run in runs]
    names = dict.fromkeys(name for each in flat for name in each)
    values = {name: [each.get(name) for each in flat] for name in names}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each[1:])}


def _names(parents: Mapping[str, str]) -> dict[str, str]:
    """Parents with as much of their content ids as tells them apart."""
    return {role: f"{parent.partition('#')[0]} {parent.partition('#')[2][:8]}" for role, parent in parents.items()}


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in value.items():
        found.update(_flat(each, f"{prefix}{name}.") if isinstance(each, Mapping) else {f"{prefix}{name}": each})
    return found


def rows(runs: Sequence[RunInfo]) -> list[tuple[str, list[float | None]]]:
    """(what, value of each run): the last value of every metric, and the best where one is."""
    found: list[tuple[str, list[float | None]]] = []
    for metric in common_metrics(runs):
        found.append((metric, [run.final(metric) for run in runs]))
        if direction(metric) is not None:
            found.append((f"{metric} (best)", [run.best(metric) for run in runs]))
    return found


def curves(runs: Sequence[RunInfo], x_unit: str) -> tuple[Curve, ...]:
    """One small plot a metric, one line a run, over the steps that any of them made."""
    found = []
    for metric in common_metrics(runs):
        x = sorted({line["step"] + 1 for run in runs for line in run.metrics if metric in line})
        lines = []
        for run in runs:
            values = {line["step"] + 1: line[metric] for line in run.metrics if metric in line}
            lines.append(Line(name=run.name, y=[values.get(step, float("nan")) for step in x]))
        found.append(Curve(name=metric, unit="", x_unit=x_unit, x=x, lines=tuple(lines)))
    return tuple(found)


def page(runs: Sequence[RunInfo], language: Language) -> str:
    """The comparison as one self-contained page."""
    say = {name: words[("en", "zh").index(language)] for name, words in _WORDS.items()}
    names = tuple(run.name for run in runs)
    metrics = [Row(label=say["steps"], cells=tuple(run.done for run in runs))]
    for metric in common_metrics(runs):
        metrics.append(Row(label=metric, cells=tuple(run.final(metric) for run in runs)))
        if direction(metric) is not None:
            metrics.append(Row(label=metric, unit=say["best"], cells=tuple(run.best(metric) for run in runs)))
    settings = [Row(label=name, cells=tuple(_cell(value) for value in values)) for name, values in differing(runs).items()]
    tables = [Table(title=say["metrics"], columns=(say["metric"], *names), rows=tuple(metrics), about=say["metrics_about"])]
    if settings:
        tables.append(Table(title=say["settings"], columns=(say["setting"], *names), rows=tuple(settings)))
    return render_html(Report(title=say["title"], language=language, lede=", ".join(names), tables=tuple(tables),
                              curves=curves(runs, say["steps"])))


def _cell(value: Any) -> Cell:
    return None if value is None else str(value)
