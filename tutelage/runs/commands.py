"""`tutelage runs list | show | compare | prune` (`resume` starts stages, which are in higher rooms)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from tutelage.config import plain_to_toml
from tutelage.console import console
from tutelage.errors import UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project
from tutelage.runs import comparison
from tutelage.runs.directory import PAGES
from tutelage.runs.listing import RunInfo, bytes_in_words, direction, find_run, runs_of, size
from tutelage.runs.page import page
from tutelage.runs.pruning import prune as prune_spare
from tutelage.runs.pruning import spare

Verb = Callable[[argparse.Namespace, Project], dict[str, Any]]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage runs", description="Executions of stages: how they stand, side by side, and what can go.",
                     epilog=COMMON_HELP)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="list | show | resume | compare | prune")
    verbs.add_parser("list", help="every run: its state, steps and last figures")
    show = verbs.add_parser("show", help="one run: settings, circumstances, metrics, disk")
    show.add_argument("run", help="its name or the beginning of it, or the artifact it made")
    show.add_argument("--html", action="store_true", help="its curves and samples as a page, in its directory")
    verbs.add_parser("resume", help="ask again what an interrupted run was asked, from where it stopped")
    compare = verbs.add_parser("compare", help="figures and differing settings side by side, and curves as a page")
    compare.add_argument("runs", nargs="+", metavar="RUN")
    compare.add_argument("--to", type=Path, default=None, metavar="FILE", help="the page (default: runs/compare.html)")
    pruning = verbs.add_parser("prune", help="say what can go: checkpoints, drafts, superseded artifacts; --yes removes it")
    pruning.add_argument("--yes", action="store_true", help="remove it")
    pruning.add_argument("--interrupted", action="store_true", help="also the checkpoints of runs that could still go on")
    return parser


def runs(arguments: list[str], options: Options) -> dict[str, Any]:
    words = _parser().parse_args(arguments)
    verbs: Mapping[str, Verb] = {"list": _list, "show": _show, "compare": _compare, "prune": _prune}
    return verbs[words.verb](words, Project.open(options.project))


def _list(words: argparse.Namespace, project: Project) -> dict[str, Any]:
    found = runs_of(project)
    console.table("", ["run", "state", "steps", "figure", "last", "best", "disk"],
                  [[run.name, run.state, _steps(run), run.main.metric if run.final(run.main.metric) is not None else "",
                    _number(run.final(run.main.metric)),
                    _number(run.best(run.main.metric)), bytes_in_words(size(run.path))] for run in found])
    for run in (run for run in found if run.state == "interrupted"):
        console.print(f"To go on with it: tutelage runs resume {run.name}")
    return {"runs": [_summary(run) for run in found]}


def _steps(run: RunInfo) -> str:
    return f"{run.done}/{run.steps}" if run.steps is not None else str(run.done or "")


def _summary(run: RunInfo) -> dict[str, Any]:
    return {"run": run.name, "state": run.state, "stage": run.stage, "name": run.record.get("name"), "steps_done": run.done,
            "steps": run.steps, "artifact": run.made.ref if run.made else None, "metrics": run.metrics[-1] if run.metrics else {}}


def _show(words: argparse.Namespace, project: Project) -> dict[str, Any]:
    run = find_run(project, words.run)
    record = run.record
    console.print(f"{run.name}: {run.state}, {_steps(run) or 'no'} steps, {bytes_in_words(size(run.path))} on disk"
                  + (f", made {run.made.ref}" if run.made else ""))
    for role, parent in record.get("parents", {}).items():
        console.print(f"  {role}: {parent.partition('#')[0]}")
    for each in record.get("drift", []):
        console.warn(f"it went on under other circumstances than it began with: {each}")
    console.table("Circumstances", ["what", "as it began"],
                  [[name, value] for name, value in record.get("circumstances", {}).items()])
    names = comparison.common_metrics([run])
    console.table("Metrics", ["metric", "first", "last", "best"], [
        [name, _number(next((line[name] for line in run.metrics if name in line), None)), _number(run.final(name)),
         _number(run.best(name))] for name in names])
    speed = run.summary
    if speed is not None:
        console.print(f"\nSpeed: {speed.sentence()}")
    kept = sorted(path for path in run.path.glob("checkpoints/*") if not path.name.startswith("."))
    for path in kept:
        console.print(f"checkpoint {path.name}, {bytes_in_words(size(path))}")
    console.print("\nSettings\n" + plain_to_toml(record.get("config", {})))
    pages = _write_pages({run.path / name: page(run, language) for language, name in PAGES.items()}) if words.html else []
    return {**_summary(run), "pages": pages, "config": record.get("config"), "circumstances": record.get("circumstances"),
            "drift": record.get("drift", []), "seeds": record.get("seeds"), "parents": record.get("parents"),
            "asked": record.get("asked"), "bytes": size(run.path), "checkpoints": [path.name for path in kept],
            "best": {name: run.best(name) for name in names if direction(name) is not None},
            "speed": asdict(speed) if speed is not None else None}


def _compare(words: argparse.Namespace, project: Project) -> dict[str, Any]:
    found = [find_run(project, name) for name in words.runs]
    if len({run.name for run in found}) < 2:
        raise UsageError("compare got one run; wanted at least two.")
    names = [run.name for run in found]
    rows, speed, differing = comparison.rows(found), comparison.speed_rows(found), comparison.differing(found)
    console.table("Metrics: last, and best where one is", ["metric", *names],
                  [[what, *map(_number, values)] for what, values in rows])
    console.table("Speed and memory", ["what", *names], [[what, *map(_number, values)] for what, values in speed])
    console.table("Settings that differ", ["setting", *names], [[what, *("" if value is None else str(value) for value in values)]
                                                                for what, values in differing.items()])
    target = words.to or project.runs / "compare.html"
    pages = _write_pages({target: comparison.page(found, "en"),
                          target.with_suffix(f".zh{target.suffix}"): comparison.page(found, "zh")})
    return {"runs": names, "metrics": dict(rows), "speed": dict(speed), "differing": differing, "pages": pages}


def _write_pages(pages: Mapping[Path, str]) -> list[str]:
    for path, text in pages.items():
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, path)
        console.print(f"curves: {path}")
    return [str(path) for path in pages]


def _prune(words: argparse.Namespace, project: Project) -> dict[str, Any]:
    if not words.yes:
        found = spare(project, words.interrupted)
    else:
        with project.lock():
            found = spare(project, words.interrupted)
            prune_spare(project, found)
    shown = [(each.artifact.ref if each.artifact else each.path.relative_to(project.root).as_posix(), each) for each in found]
    console.table("", ["what", "why", "size"], [[name, each.why, bytes_in_words(each.bytes)] for name, each in shown])
    total = sum(each.bytes for each in found)
    console.print(f"{bytes_in_words(total)} in {len(found)} places " + ("removed." if words.yes else
                  "would be freed. Nothing was removed; do it: tutelage runs prune --yes" if found else "can go."))
    return {"removed": words.yes, "bytes": total,
            "what": [{"what": name, "why": each.why, "bytes": each.bytes} for name, each in shown]}


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
