"""Runs side by side: where each ended, what was best, in which settings they differ, and their curves as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tutelage.reporting import Curve, Line, Report, Row, Table, render_html
from tutelage.reporting.report import Cell, Language
from tutelage.runs.listing import RunInfo, direction
from tutelage.runs.speed import Summary

LEAST_COMMON = 2      # runs that must have a metric for it to be compared; one that only one has says nothing
_WORDS: Mapping[str, tuple[str, str]] = {
    "title": ("Runs compared", "运行对比"), "metrics": ("Metrics", "指标"), "metric": ("metric", "指标"),
    "final": ("last", "末值"), "best": ("best", "最佳值"), "settings": ("Settings that differ", "不同的设置"),
    "setting": ("setting", "设置"), "steps": ("steps", "步"), "same": ("none", "无"), "state": ("state", "状态"),
    "metrics_about": ("The value of the last step that was made, and the best one where it is known which way is better.",
                      "最后一步的数值；若已知优劣方向，另列最佳值。"),
    "speed": ("Speed and memory", "速度与内存"), "what": ("what", "项目"),
    "speed_about": ("Over all steps. The ceiling is what the processor was measured to do in matrix products; phases are shares "
                    "of all the time.", "按全部步骤计。上限为实测的矩阵乘法速率；各阶段为占总时间的比例。"),
}
# In a Chinese page, what the rows of speed are called
_SPEED_ZH: Mapping[str, str] = {
    "tokens/s": "词元/秒", "share of the ceiling": "占上限比例", "seconds": "总秒数", "peak memory, GB": "内存峰值（GB）",
    "planned, GB": "计划内存（GB）", "data": "数据", "forward": "前向", "backward": "反向",
    "optimizer": "优化器", "other": "其他",
    "checkpoint": "检查点", "sampling": "采样", "scoring": "打分", "rollout": "采样后重算",
    "evaluation": "评估", "reference": "参考模型",
}
# What is drawn of `speed.jsonl`; the rest is in the table, as shares
_DRAWN = ("speed/tokens_per_s", "time/step_s", "memory/resident_gb")


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


def speed_rows(runs: Sequence[RunInfo]) -> list[tuple[str, list[float | None]]]:
    """(what, value of each run) of the runs' summaries: speed, memory against the plan, shares of the time by phase."""
    summaries = [run.summary for run in runs]

    def values(read: Callable[[Summary], float | None]) -> list[float | None]:
        return [None if summary is None else read(summary) for summary in summaries]

    phases = dict.fromkeys(phase for summary in summaries if summary is not None for phase in summary.shares)
    found = [("tokens/s", values(lambda each: each.tokens_per_s)),
             ("share of the ceiling", values(lambda each: each.ceiling_share)),
             ("seconds", values(lambda each: each.seconds)), ("peak memory, GB", values(lambda each: each.peak_gb)),
             ("planned, GB", values(lambda each: each.planned_gb))]
    found += [(f"time in {phase}", [None if each is None else each.shares.get(phase) for each in summaries]) for phase in phases]
    return [(what, each) for what, each in found if any(value is not None for value in each)]


def curves(runs: Sequence[RunInfo], x_unit: str) -> tuple[Curve, ...]:
    """One small plot a metric, one line a run, over the steps that any of them made; then those of speed."""
    found = [_curve(metric, {run.name: run.metrics for run in runs}, x_unit) for metric in common_metrics(runs)]
    found += [_curve(name, {run.name: run.speed for run in runs}, x_unit) for name in _DRAWN
              if any(name in line for run in runs for line in run.speed)]
    return tuple(found)


def _curve(metric: str, logs: Mapping[str, Sequence[Mapping[str, float]]], x_unit: str) -> Curve:
    x = sorted({line["step"] + 1 for log in logs.values() for line in log if metric in line})
    lines = []
    for name, log in logs.items():
        values = {line["step"] + 1: line[metric] for line in log if metric in line}
        lines.append(Line(name=name, y=[values.get(step, float("nan")) for step in x]))
    return Curve(name=metric, unit="", x_unit=x_unit, x=x, lines=tuple(lines))


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
    if speed := speed_rows(runs):
        tables.append(Table(title=say["speed"], columns=(say["what"], *names), about=say["speed_about"], rows=tuple(
            Row(label=what if language == "en" else _in_chinese(what), cells=tuple(values),
                percent=what.startswith(("share", "time"))) for what, values in speed)))
    if settings:
        tables.append(Table(title=say["settings"], columns=(say["setting"], *names), rows=tuple(settings)))
    return render_html(Report(title=say["title"], language=language, lede=", ".join(names), tables=tuple(tables),
                              curves=curves(runs, say["steps"])))


def _in_chinese(what: str) -> str:
    phase = what.removeprefix("time in ")
    known = _SPEED_ZH.get(phase, phase)
    return known if phase == what else f"耗时占比：{known}"


def _cell(value: Any) -> Cell:
    return None if value is None else str(value)
