"""`tutelage feedback import | export | stats`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from tutelage.console import console
from tutelage.data.sources import read_file
from tutelage.errors import DataError, UsageError
from tutelage.feedback.exchange import export_preferences, import_preferences
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project
from tutelage.records import Preference
from tutelage.store import Store

_SHOWN_REFUSALS = 5


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage feedback", epilog=COMMON_HELP,
                     description="Judgments in, out, and how many there are.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="import | export | stats")
    bring = verbs.add_parser("import", help="keep the preferences of a chosen-rejected file as comparisons")
    bring.add_argument("file", type=Path, help="JSON or JSON lines")
    bring.add_argument("--annotator", choices=("human", "model"), default="human", help="who judged (default: human)")
    bring.add_argument("--person", default="", help="id to keep them under (default: made of the file's name)")
    bring.add_argument("--format", default=None, help="the file's format, if it is not to be guessed")
    out = verbs.add_parser("export", help="write the current preferences in the chosen-rejected format")
    out.add_argument("--to", type=Path, default=Path("preferences.jsonl"), help="default: preferences.jsonl")
    verbs.add_parser("stats", help="judgments by kind and annotator")
    return parser


def feedback(arguments: Sequence[str], options: Options) -> dict[str, Any]:
    """The command. Returns what `--json` prints.

    Raises:
        UsageError: for wrong words; DataError and StoreError as the parts do.
    """
    asked = _parser().parse_args(list(arguments))
    verbs = {"import": _import, "export": _export, "stats": _stats}
    with Store.open(Project.open(options.project, options.store).store_place) as store:
        return verbs[asked.verb](store, asked)


def _import(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    read = read_file(asked.file, asked.format, asked.annotator)
    records = [record for record in read.records if isinstance(record, Preference)]
    if len(records) != len(read.records):
        raise DataError(f"{asked.file} is of format {read.format}, which holds no preferences; wanted chosen and "
                        "rejected responses. Other files go in with: tutelage data import")
    person = asked.person or f"{asked.annotator}:{asked.file.name}"
    if person not in {known.id for known in store.people()}:
        store.add_person(person, asked.annotator, person, created_by="feedback import")
    taken = import_preferences(store, records, person, asked.annotator)
    for refusal in read.refusals[:_SHOWN_REFUSALS]:
        console.warn(f"{refusal.file}, row {refusal.row}: {refusal.reason}")
    for id, reason in taken.refused[:_SHOWN_REFUSALS]:
        console.warn(f"record {id}: {reason}")
    num_refused = len(read.refusals) + len(taken.refused)
    console.print(f"{read.num_read} rows read from {asked.file.name}: {taken.num_new} new comparisons by {person} "
                  f"({asked.annotator}), {taken.num_known} known already, {num_refused} refused.")
    if taken.num_rounded:
        console.warn(f"{taken.num_rounded} soft labels were kept as the plain answer they lean to.")
    return {"person": person, "annotator": asked.annotator, "sha256": read.sha256, "num_read": read.num_read,
            "num_new": taken.num_new, "num_known": taken.num_known, "num_refused": num_refused,
            "num_rounded": taken.num_rounded}


def _export(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    written, draws = export_preferences(store, asked.to)
    console.print(f"{written} preferences written to {asked.to}; {draws} draws left out, which the format cannot say.")
    return {"file": str(asked.to), "num_preferences": written, "num_draws": draws}


def _stats(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    counts, everything = store.counts(), store.counts(current=False)
    rows = [(kind, annotator, counts.get(kind, {}).get(annotator, 0), number)
            for kind, by_annotator in everything.items() for annotator, number in by_annotator.items()]
    if rows:
        console.table("Judgments", ("kind", "annotator", "current", "with superseded ones"), rows)
    else:
        console.print("No judgments yet. Bring some in with: tutelage feedback import FILE")
    console.print(f"{len(store.people())} people, {store.num_samples()} samples.")
    return {"current": counts, "all": everything, "people": len(store.people()), "samples": store.num_samples(),
            "digest": store.digest()}
