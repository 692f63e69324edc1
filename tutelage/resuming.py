"""`tutelage runs resume`: ask again what a run was asked; it goes on from its last checkpoint."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from typing import Any, NoReturn

from tutelage.console import console
from tutelage.errors import ResumeError, UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Asked, Project
from tutelage.runs.listing import RunInfo, find_run


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def resume(arguments: list[str], options: Options) -> dict[str, Any]:
    """Go on with an interrupted run.

    Raises:
        ResumeError: if the run did not record what it was asked, is at work, or asking again is another run.
    """
    parser = _Words(prog="tutelage runs resume", description=__doc__, epilog=COMMON_HELP)
    parser.add_argument("run", help="its name or the beginning of it")
    words = parser.parse_args(arguments)
    project = Project.open(options.project, options.store)
    run = find_run(project, words.run)
    if run.state == "finished" and run.made is not None:
        console.print(f"{run.name} is finished: it made {run.made.ref}.")
        return {"run": run.name, "artifact": run.made.ref}
    asked = run.record.get("asked") or {}
    if run.state != "interrupted" or not asked:
        reason = "is at work" if run.state == "running" else "did not record how it was asked for (from Python, with a " \
            "function of its own, or by an older version). Ask the same again as before: it goes on from its checkpoint"
        raise ResumeError(f"{run.name} {reason}.")
    here = os.path.normpath(project.root / asked["directory"])
    if not os.path.isdir(here):
        raise ResumeError(f"{run.name} was asked for in {here}, which is gone; its settings name files as seen from there.")
    before = os.getcwd()
    os.chdir(here)
    try:
        result = _ask(project, run, options)
    finally:
        os.chdir(before)
    after = find_run(project, run.name)
    if after.made is None:
        raise ResumeError(f"{run.name} was asked for again and something else was made, for what it reads has changed since "
                          "(data, feedback, erased rows). The old run can go: tutelage runs prune --interrupted")
    return {"run": run.name, **result, "artifact": after.made.ref}


def _ask(project: Project, run: RunInfo, options: Options) -> dict[str, Any]:
    asked = run.record["asked"]
    console.print(f"{run.name}: tutelage {asked['command']}, from step {run.done} on")
    if asked["command"] == "demo":
        from tutelage.route import demo_command

        seed = asked["settings"]["seed"]
        return demo_command(list(asked["settings"]["words"]), replace(options, project=project.root, seed=seed))
    from tutelage import api

    stage = getattr(api, asked["command"])
    artifact = stage(replace(project, asked=Asked(allow_drift=options.allow_drift)), **asked["settings"])
    return {"path": str(artifact.path)}
