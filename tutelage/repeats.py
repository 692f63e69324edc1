"""`--seeds N` and `--sweep KEY VALUE…`: one stage several times, and a table of what came out.

Each repetition is an artifact of its own, NAME-s0 for a seed, NAME-lr-1e-5 for a value, NAME-lr-1e-5-s0 for both; its
manifest holds its seed and its settings. What was made before from just that is not made again.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage.console import console
from tutelage.errors import PreflightError, TrainingError
from tutelage.project import Artifact, Project
from tutelage.runs.directory import run_path
from tutelage.runs.listing import MAIN, USUAL, direction, runs_of
from tutelage.runs.metrics import read_metrics
from tutelage.statistics import Estimate, t_interval

Make = Callable[[Mapping[str, Any]], Artifact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One repetition to make: the swept value as it was typed ("" without a sweep), and the stage's settings."""

    value: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a variant: its artifact, or why there is none; `metrics` one mapping a step."""

    variant: Variant
    artifact: Artifact | None
    error: str
    metrics: Sequence[Mapping[str, float]]

    def of(self, metric: str) -> list[float]:
        return [line[metric] for line in self.metrics if metric in line]

    @property
    def numbers(self) -> dict[str, float]:
        """The last value of every metric, and the numbers in the artifact's facts."""
        last = {name: value for line in self.metrics for name, value in line.items() if name != "step"}
        facts = self.artifact.manifest.facts if self.artifact else {}
        return {**last, **{name: value for name, value in facts.items() if isinstance(value, float)}}

    def diverged(self, metric: str) -> str:
        """Why it counts as diverged; "" where it does not."""
        values = self.of(metric)
        if self.error:
            return self.error
        worse = len(values) > 1 and (values[-1] < values[0] if direction(metric) else values[-1] > values[0])
        return "ended worse than it began" if worse else ""


def variants(settings: Mapping[str, Mapping[str, Any]], key: str, seeds: int) -> list[Variant]:
    """Every repetition, values first, seeds within.

    Args:
        settings: the swept value, as typed -> the stage's settings with it; {"": settings} without a sweep.
        seeds: how many, from the settings' own seed on; 0 for that one alone, whose name then says no seed.
    """
    found = []
    for value, each in settings.items():
        name = f"{each['name']}-{_in_name(key.rpartition('.')[2])}-{_in_name(value)}" if value else str(each["name"])
        for seed in range(each["seed"], each["seed"] + max(1, seeds)):
            own = f"{name}-s{seed}" if seeds else name
            found.append(Variant(value=value, settings={**each, "name": own, "seed": seed}))
    return found


def _in_name(text: str) -> str:
    return re.sub("[^A-Za-z0-9._-]+", "-", text)


def repeat(project: Project, stage: str, wanted: Sequence[Variant], make: Make, key: str = "") -> dict[str, Any]:
    """Make every variant, print the table, and give the same for machines."""
    outcomes = []
    for number, variant in enumerate(wanted, start=1):
        console.print(f"{stage} {number} of {len(wanted)}: {variant.settings['name']}")
        outcomes.append(_outcome(project, stage, variant, make))
    metric = MAIN.get(stage, USUAL).metric
    result: dict[str, Any] = {"stage": stage, "repeats": [_plain(outcome, metric) for outcome in outcomes]}
    if any(count > 1 for count in _counts(outcomes).values()):
        result["spread"] = {value: _spread(value, key, [each for each in outcomes if each.variant.value == value])
                            for value in dict.fromkeys(each.variant.value for each in outcomes)}
    if key:
        result["sweep"] = _sweep(key, metric, outcomes)
    return result


def _counts(outcomes: Sequence[Outcome]) -> dict[str, int]:
    values = [outcome.variant.value for outcome in outcomes]
    return {value: values.count(value) for value in values}


def _outcome(project: Project, stage: str, variant: Variant, make: Make) -> Outcome:
    try:
        artifact = make(variant.settings)
    except (TrainingError, PreflightError) as error:      # a rate that is too high must not end the sweep that asks for it
        console.warn(str(error))
        name = variant.settings["name"]
        left = [run for run in runs_of(project) if run.made is None and (run.stage, run.record.get("name")) == (stage, name)]
        newest = max(left, key=lambda run: (run.path / "run.json").stat().st_mtime, default=None)
        return Outcome(variant=variant, artifact=None, error=f"stopped: {str(error).partition(';')[0]}",
                       metrics=newest.metrics if newest else [])
    metrics = read_metrics(run_path(project, artifact.manifest) / "metrics.jsonl")
    return Outcome(variant=variant, artifact=artifact, error="", metrics=metrics)


def _plain(outcome: Outcome, metric: str) -> dict[str, Any]:
    return {"name": outcome.variant.settings["name"], "value": outcome.variant.value, "seed": outcome.variant.settings["seed"],
            "artifact": outcome.artifact.ref if outcome.artifact else None, "diverged": outcome.diverged(metric),
            "numbers": outcome.numbers}


def _spread(value: str, key: str, outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """Mean, standard deviation and interval of every number that all repetitions have."""
    done = [outcome.numbers for outcome in outcomes if outcome.artifact is not None]
    names = [name for name in (done[0] if done else {}) if all(name in each for each in done)]
    found = {}
    for name in names:
        values = [each[name] for each in done]
        mean = t_interval(values)
        found[name] = {"mean": mean.value, "sd": _sd(values), "low": mean.low, "high": mean.high, "n": mean.n}
    title = f"{key} = {value}, " if value else ""
    console.table(f"{title}{len(done)} of {len(outcomes)} seeds; mean with its 95 % interval (Student's t)",
                  ["number", "mean", "sd", "95 %"],
                  [[name, f"{each['mean']:.4g}", f"{each['sd']:.3g}", f"{each['low']:.4g} – {each['high']:.4g}"]
                   for name, each in found.items()])
    return found


def _sd(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a sweep's table; the estimates are over the seeds of one value, None where no step was made."""

    value: str
    final: Estimate | None
    best: Estimate | None
    diverged: int
    n: int
    why: str

    def plain(self) -> dict[str, Any]:
        return {"value": self.value, "final": self.final.value if self.final else None,
                "best": self.best.value if self.best else None, "diverged": self.diverged, "n": self.n, "why": self.why}


def _sweep(key: str, metric: str, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """One row a value: where the metric ended, its best value, and how many repetitions diverged."""
    values = dict.fromkeys(outcome.variant.value for outcome in outcomes)
    rows = [_row(value, metric, [each for each in outcomes if each.variant.value == value]) for value in values]
    console.table(f"{metric} by {key}", [key, "final", "best", "diverged"],
                  [[row.value, _number(row.final), _number(row.best),
                    f"{row.diverged} of {row.n}: {row.why}" if row.diverged else "no"] for row in rows])
    sound = [(row.final.value, row.value) for row in rows if not row.diverged and row.final is not None]
    if sound:
        word, pick = ("Highest", max) if direction(metric) else ("Lowest", min)
        console.print(f"{word} final {metric} without diverging: {key} {pick(sound, key=lambda each: each[0])[1]}")
    return [row.plain() for row in rows]


def _row(value: str, metric: str, mine: Sequence[Outcome]) -> Row:
    best = max if direction(metric) else min
    courses = [course for outcome in mine if (course := outcome.of(metric))]
    diverged = [why for outcome in mine if (why := outcome.diverged(metric))]
    return Row(value=value, final=_mean([course[-1] for course in courses]), best=_mean([best(course) for course in courses]),
               diverged=len(diverged), n=len(mine), why=diverged[0] if diverged else "")


def _mean(values: Sequence[float]) -> Estimate | None:
    return t_interval(values) if values else None


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.4g}" + (f" [{estimate.low:.4g}, {estimate.high:.4g}]" if estimate.n > 1 else "")
