"""`tutelage data erase`: rows out of a data set and all that quotes them, and what descends from them by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from tutelage.console import console
from tutelage.data.erasure import Erasure, finish, plan
from tutelage.data.erasure import erase as erase_rows
from tutelage.errors import UsageError
from tutelage.feedback.gathering import erased_samples
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project
from tutelage.store import Store

_HELP = """Erase rows of a data set: their text and their salts go from it and from every artifact that quotes them, a hash of
each stays as a tombstone. Every artifact and run that descends from them is named: those are not used any more, and the
commands that made them make them anew, without the rows. Copies outside the project (the imported file, exports, backups,
models that were given away) are out of reach, and the feedback store keeps its text but no stage trains on it any more."""


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def erase(arguments: list[str], options: Options) -> dict[str, Any]:
    """Plan, say, and unless it is only to be planned, do."""
    parser = _Words(prog="tutelage data erase", description=_HELP, epilog=COMMON_HELP)
    parser.add_argument("name", help="a data set of the project")
    parser.add_argument("rows", nargs="+", metavar="ROW_ID", help="ids of its rows, as `tutelage data show` gives them")
    parser.add_argument("--reason", default="", help="kept in the log for good, so without personal data: a case number")
    parser.add_argument("--plan", action="store_true", help="say what would be erased and what descends from it, and stop")
    words = parser.parse_args(arguments)
    project = Project.open(options.project, options.store)
    if words.plan:
        return _told(project, plan(project, project.artifact(words.name, "dataset"), words.rows, words.reason), "would be")
    with project.lock():
        if (before := finish(project)) is not None:
            console.print(f"An erasure from {before.root} that had been begun is finished.")
        root = project.artifact(words.name, "dataset")
        gone = set(project.ledger.erased_from(root.ref))
        if rows := [row for row in words.rows if row not in gone]:
            erase_rows(project, erasure := plan(project, root, rows, words.reason))
        else:
            erasure = before or Erasure(root=root.ref, rows=[])
            console.print(f"{root.ref}: these rows were erased before.")
    return _told(project, erasure, "was")


def _told(project: Project, erasure: Erasure, verb: str) -> dict[str, Any]:
    for title, found in (("erased from", {ref: f"{len(rows)} rows" for ref, rows in erasure.holders.items()}),
                         ("withdrawn, for they quote it", {ref: ", ".join(names) for ref, names in erasure.withdrawn.items()}),
                         ("descends from it", erasure.descendants), ("runs", erasure.runs)):
        if found:
            console.table(f"{title[:1].upper()}{title[1:]}", ["what", "why or how much"], [list(each) for each in found.items()])
    for run in erasure.checkpoints:
        console.print(f"The checkpoint of {run} held text of it and {verb} removed.")
    for run in erasure.samples:
        console.print(f"The samples that {run} had kept for reading quoted it and {verb.replace('was', 'were')} removed.")
    store = _in_store(project)
    if store:
        console.print(f"The feedback store still holds {store} samples that concern erased rows, and judgments on them: "
                      "no stage trains on them from now on.")
    console.print("Next: make what descends from it again by the commands that made it; then: tutelage runs prune"
                  if erasure.descendants else "Nothing descends from it.")
    return {**erasure.facts(), "store_samples": store}


def _in_store(project: Project) -> int:
    place = project.store_place
    if isinstance(place, Path) and not place.is_file():
        return 0
    with Store.open(place) as store:
        return len(erased_samples(project, store))
