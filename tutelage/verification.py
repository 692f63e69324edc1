"""`tutelage verify`: is everything what it was when it was made?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from tutelage.console import console
from tutelage.data.fingerprints import row_troubles
from tutelage.errors import UsageError
from tutelage.ledger import Ledger
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Artifact, Project

_HELP = """Recompute the hashes of one artifact, or of all, and name what is not as it was made: files, rows,
manifests, parents that are gone or are no longer the ones it was made from, and the log itself. Rows that were erased are
named and are no trouble. Exit 1 if anything is."""


def verify(arguments: list[str], options: Options) -> dict[str, Any]:
    """Recompute the hashes of one artifact or all; the result's exit code is 1 if anything differs."""
    words = _verify_words().parse_args(arguments)
    project = Project.open(options.project)
    artifacts = [project.artifact(words.artifact)] if words.artifact else project.artifacts()
    if words.adopt:
        _adopt(project, artifacts)
    ledger = project.ledger
    changed: dict[str, list[str]] = {} if words.artifact else {"unreadable": [str(error) for error in project.damaged()]}
    changed["artifacts/LOG"] = _log_troubles(project, ledger, words.head, whole=not words.artifact)
    changed = {ref: troubles for ref, troubles in changed.items() if troubles}
    tombstones: dict[str, list[str]] = {}
    with console.progress("verify", len(artifacts), "artifacts") as bar:
        for artifact in artifacts:
            if troubles := _troubles(project, artifact, ledger):
                changed[artifact.ref] = troubles
            if stones := ledger.tombstones(artifact.ref):
                tombstones[artifact.ref] = [f"row {stone['id']} was erased; the hash {stone['hash'][:12]} is left"
                                            for stone in stones]
            bar.advance()
    for ref, lines in [*tombstones.items(), *changed.items()]:
        for line in lines:
            console.print(f"{ref}: {line}")
    verdict = f"{len(changed)} are not as recorded." if changed else "all as recorded."
    console.print(f"{len(artifacts)} artifacts checked: {verdict}")
    console.print(f"head of the log: {ledger.head or 'none'}")
    return {"checked": [artifact.ref for artifact in artifacts], "changed": changed, "tombstones": tombstones,
            "head": ledger.head, "exit_code": 1 if changed else 0}


class _Words(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def _verify_words() -> argparse.ArgumentParser:
    parser = _Words(prog="tutelage verify", description=_HELP, epilog=COMMON_HELP)
    parser.add_argument("artifact", nargs="?", help="kind/name@version, or a name; all where none is given")
    parser.add_argument("--head", default="", metavar="SHA256", help="a head of the log noted before, which must still be in it")
    parser.add_argument("--adopt", action="store_true", help="write artifacts that the log does not know into it, as they are")
    return parser


def _adopt(project: Project, artifacts: Sequence[Artifact]) -> None:
    with project.lock():
        ledger = project.ledger
        for artifact in artifacts:
            if artifact.ref not in ledger.content:
                ledger.append("adopted", artifact=artifact.ref, content=artifact.manifest.content_id)
                console.print(f"{artifact.ref}: adopted")


def _log_troubles(project: Project, ledger: Ledger, head: str, whole: bool) -> list[str]:
    troubles = list(ledger.problems)
    if head and not any(each.startswith(head) for each in ledger.heads):
        troubles.append(f"the head {head[:12]} is not in it: it was written anew, or cut off before that line")
    if (erasure := ledger.unfinished) is not None:
        facts = erasure.facts
        troubles.append(f"an erasure from {facts['root']} was begun and is not finished; finish it: "
                        f"tutelage data erase {facts['root']} {' '.join(facts['rows'])}")
    if whole:
        there = {artifact.ref for artifact in project.artifacts()}
        gone = sorted(set(ledger.content) - there)
        troubles += [f"{ref} was made and is gone; nothing says that it was removed" for ref in gone]
    return troubles


def _troubles(project: Project, artifact: Artifact, ledger: Ledger) -> list[str]:
    troubles = []
    wanted, content = ledger.content.get(artifact.ref), artifact.manifest.content_id
    if wanted is None:
        troubles.append("the log does not know it: it was put there by hand, or made before there was a log (then: "
                        "tutelage verify --adopt)")
    elif wanted != content:
        troubles.append(f"its manifest was changed: it was made with content {wanted[:12]}, and has {content[:12]}")
    for name in artifact.verify():
        recorded, present = name in artifact.files, (artifact.path / name).exists()
        trouble = "changed" if recorded and present else "missing" if recorded else "not in the manifest"
        troubles.append(f"{name} is {trouble}")
    troubles += row_troubles(artifact)
    for role, parent in sorted(artifact.manifest.parents.items()):
        trouble = project.parent(parent)[1]
        if trouble:
            troubles.append(f"its {role} {trouble}")
    return troubles
