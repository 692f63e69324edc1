"""`tutelage feedback import | export | set | agreement | stats`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from tutelage.console import console
from tutelage.errors import UsageError
from tutelage.feedback.aggregation import METHODS
from tutelage.feedback.asked import LANGUAGES
from tutelage.feedback.exchange.files import import_file
from tutelage.feedback.exchange.giving import export
from tutelage.feedback.reliability import REMARKS
from tutelage.feedback.sets import make_preference_set
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project
from tutelage.statistics import Estimate
from tutelage.store import Store

ANNOTATORS = ("human", "model", "scripted")
_SHOWN = 5             # refusals and things left out that are written out; the rest is counted


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage feedback", epilog=COMMON_HELP,
                     description="Judgments in, out, how many there are, and how far people agree.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="import | export | set | agreement | stats")
    bring = verbs.add_parser("import", help="keep the judgments of a file")
    bring.add_argument("file", type=Path, help="a training file with judgments, or an export of Argilla, Label Studio or ours")
    bring.add_argument("--annotator", choices=("human", "model"), default="human", help="who judged (default: human)")
    bring.add_argument("--person", default="", help="id of who said what names nobody (default: made of the file's name)")
    bring.add_argument("--format", default=None, help="the file's format, if it is not to be guessed")
    bring.add_argument("--map", nargs="+", default=[], metavar="MEANING=NAME",
                       help="what fields and questions mean: prompt=NAME response=A,B comparison=NAME rating:correct=NAME …")
    out = verbs.add_parser("export", help="write the current judgments, or the preferences they make")
    out.add_argument("--to", type=Path, default=Path("preferences.jsonl"), help="default: preferences.jsonl")
    out.add_argument("--format", default="chosen-rejected", help="chosen-rejected (default), hh, kto, judgments, csv, argilla …")
    _aggregated(out)
    make = verbs.add_parser("set", help="keep the preferences as a data set, hashed and versioned")
    make.add_argument("name", help="of the data set")
    make.add_argument("--split-ratio", type=float, default=0.0, help="share of prompts held out (default: 0)")
    _aggregated(make)
    agree = verbs.add_parser("agreement", help="how far people agree, with intervals; what each judge is like")
    agree.add_argument("--annotator", choices=ANNOTATORS, default=None, help="only these (default: each kind by itself)")
    agree.add_argument("--language", choices=LANGUAGES, default="en", help="default: en")
    verbs.add_parser("stats", help="judgments by kind and annotator")
    return parser


def _aggregated(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=METHODS, default="vote", help="of making preferences of judgments (default: vote)")
    parser.add_argument("--annotator", choices=ANNOTATORS, default=None, help="only these judges (default: all)")


def feedback(arguments: Sequence[str], options: Options) -> dict[str, Any]:
    """The command. Returns what `--json` prints.

    Raises:
        UsageError: for wrong words; DataError and StoreError as the parts do.
    """
    asked = _parser().parse_args(list(arguments))
    project = Project.open(options.project, options.store)
    with Store.open(project.store_place) as store:
        if asked.verb == "set":
            with project.lock():
                return _set(project, store, asked, options.seed or 0)
        verbs = {"import": _import, "export": _export, "stats": _stats, "agreement": _agreement}
        return verbs[asked.verb](store, asked)


def _import(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    done = import_file(store, asked.file, asked.format, asked.annotator, asked.person, _meanings(asked.map))
    taken = done.taken
    for name, reason in taken.refused[:_SHOWN]:
        console.warn(f"{asked.file.name}, {name}: {reason}")
    console.print(f"{taken.num_records} rows read from {asked.file.name} ({done.format}): {taken.num_new} new judgments by "
                  f"{_by(taken.people, done.person)} ({asked.annotator}), {taken.num_known} known already, "
                  f"{taken.num_refused} refused.")
    _say_left_out(done.left_out)
    if taken.num_rounded:
        console.warn(f"{taken.num_rounded} soft labels were kept as the plain answer they lean to.")
    return {"person": done.person, "annotator": asked.annotator, "format": done.format, "num_read": taken.num_records,
            "num_new": taken.num_new, "num_known": taken.num_known, "num_refused": taken.num_refused,
            "num_rounded": taken.num_rounded, "people": list(taken.people), "left_out": dict(done.left_out)}


def _by(people: Sequence[str], person: str) -> str:
    return f"{len(people)} people" if len(people) > 1 else next(iter(people), person)


def _meanings(words: Sequence[str]) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for word in words:
        meaning, equals, names = word.partition("=")
        if not equals or not names:
            raise UsageError(f"--map got {word!r}; wanted MEANING=NAME, as prompt=question or response=answer1,answer2.")
        given.setdefault(meaning, []).extend(names.split(","))
    return given


def _say_left_out(left_out: Mapping[str, int]) -> None:
    ordered = sorted(left_out.items(), key=lambda each: (-each[1], each[0]))
    for what, count in ordered[:_SHOWN]:
        console.warn(f"left out, {count} times: {what}")
    if len(ordered) > _SHOWN:
        console.warn(f"left out: {len(ordered) - _SHOWN} other things, {sum(count for _, count in ordered[_SHOWN:])} times "
                     "(--json names all)")


def _export(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    given = export(store, asked.to, asked.format, asked.method, asked.annotator)
    console.print(f"{given.rows} rows written to {asked.to} as {asked.format}; {sum(given.left_out.values())} things left out.")
    _say_left_out(given.left_out)
    return {"file": str(asked.to), "format": asked.format, "num_rows": given.rows, "left_out": dict(given.left_out)}


def _set(project: Project, store: Store, asked: argparse.Namespace, seed: int) -> dict[str, Any]:
    made = make_preference_set(project, store, asked.name, asked.method, asked.annotator, asked.split_ratio, seed)
    facts = made.manifest.facts
    console.print(f"{made.ref}: {facts['kept']} preferences of {facts['judgments']} judgments by "
                  f"{', '.join(facts['annotators'])} annotators, method {asked.method}. "
                  f"Train on it with: tutelage reward --data {asked.name}")
    return {"artifact": made.ref, "path": str(made.path), "content_id": made.manifest.content_id, "facts": dict(facts)}


def _agreement(store: Store, asked: argparse.Namespace) -> dict[str, Any]:
    from tutelage.feedback.summary import summarise

    found = summarise(store, asked.annotator)
    language = asked.language
    for kind, part in found.items():
        console.table(f"Agreement, {kind}", ("question", "measure", "value [95 %]"),
                      [(line.question, line.measure, line.agreement.in_words(language)) for line in part.lines])
        if part.judges:
            console.table(f"Judges of pairs, {kind}", ("judge", "pairs", "reliability", "lean to the first", "remarks"),
                          [(each.id, each.num_pairs, _short(each.reliability), _short(each.position),
                            "; ".join(REMARKS[remark][language] for remark in each.remarks)) for each in part.judges])
    if not found:
        console.print("No judgments yet. Bring some in with: tutelage feedback import FILE")
    return {kind: part.to_json() for kind, part in found.items()}


def _short(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


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
