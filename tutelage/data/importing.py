"""`tutelage data import`: files, directories and hub data sets into one artifact, and what became of every row."""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from tutelage.config import from_plain, read_toml, split_toml
from tutelage.console import console
from tutelage.data.columns import parse_map
from tutelage.data.config import Import
from tutelage.data.fields import ANNOTATORS
from tutelage.data.formats import FORMATS
from tutelage.data.hub import PREFIX, data_files, fetch
from tutelage.data.sources import Source, open_file
from tutelage.data.writer import write_dataset
from tutelage.errors import ConfigError, UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import MARKER, Artifact, Project

REFUSALS_SHOWN = 5


def add_parser(commands: Any) -> None:
    parser = commands.add_parser("import", help="make a data set of files", epilog=COMMON_HELP)
    parser.add_argument("files", nargs="+", metavar="FILE",
                        help="a file or directory of JSON, JSON lines, CSV, TSV, Parquet, Arrow or text, or hf:org/name; a "
                             "CONFIG.toml among them gives [import] keys")
    parser.add_argument("--format", choices=list(FORMATS), help="default: found by the keys of the first rows")
    parser.add_argument("--map", nargs="+", action="extend", metavar="OURS=THEIRS", help="columns, such as prompt=question")
    parser.add_argument("--name", help="default: the first file's name")
    parser.add_argument("--split", metavar="NAME", help="of a directory or hub data set that has several (default: train)")
    parser.add_argument("--split-ratio", type=float, metavar="R", help="share of the prompts that is held out (default 0)")
    parser.add_argument("--strict", action="store_true", default=None, help="refuse a file at its first bad row")
    parser.add_argument("--annotator", choices=ANNOTATORS,
                        help="who judged, or wrote the responses, where a row does not say (default human)")


def run(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    """Import, and say what became of every row; the result is what `--json` prints."""
    project = Project.open(options.project)
    toml, names = split_toml(words.files)
    config = _configured(project, toml, words)
    if not names:
        raise UsageError("data import got no FILE.")
    with ExitStack() as stack:
        sources = [source for name in names for source in _sources(name, config, project, stack)]
        stack.enter_context(project.lock())
        artifact = write_dataset(project, words.name or _default_name(names[0]), sources, config.split_ratio, options.seed or 0)
    return _report(artifact)


def _configured(project: Project, toml: Path | None, words: argparse.Namespace) -> Import:
    """The project's `[import]` table, that of CONFIG.toml over it, options over both."""
    tables: dict[str, Any] = {}
    for path in (project.root / MARKER, toml):
        if path is not None and (path == toml or path.is_file()):
            table = read_toml(path).get("import", {})
            if not isinstance(table, Mapping):
                raise ConfigError(f"{path}: import is {table!r}; wanted a table, [import].")
            tables.update(table)
    given = {name: getattr(words, name) for name in ("format", "split", "split_ratio", "strict", "annotator")}
    tables.update((name, value) for name, value in given.items() if value is not None)
    if words.map:
        tables["columns"] = {**tables.get("columns", {}), **parse_map(words.map)}
    return from_plain(Import, tables)


def _sources(name: str, config: Import, project: Project, stack: ExitStack) -> list[Source]:
    if name.startswith(PREFIX):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".hub-", dir=project.root)))
        files = [folder / f"{_file_name(name)}.jsonl"]
        count = fetch(name.removeprefix(PREFIX), files[0], config.split)
        console.print(f"{name}: {count} rows read from the hub")
    else:
        files = data_files(Path(name).expanduser(), config.split)
    return [open_file(file, config.format or None, config.annotator, config.columns, config.strict) for file in files]


def _file_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name.removeprefix(PREFIX)).strip("-._")


def _default_name(name: str) -> str:
    stem = _file_name(name) if name.startswith(PREFIX) else Path(name).expanduser().resolve().name
    while Path(stem).suffix in (".gz", ".zst"):
        stem = Path(stem).stem
    made = _file_name(stem if name.startswith(PREFIX) else Path(stem).stem)
    if not made:
        raise UsageError(f"no artifact can be named after {name}. Give a name with --name.")
    return made[:100]


def _report(artifact: Artifact) -> dict[str, Any]:
    facts = artifact.manifest.facts
    files: Sequence[Mapping[str, Any]] = facts["files"]
    columns = ["file", "format", "read", "kept", "refused"]
    console.table("", columns, [[each[column] for column in columns] for each in files])
    _report_refusals(artifact.path / "refusals.jsonl", facts["refused"])
    if facts["annotators"]:
        console.print(f"Annotators: {', '.join(facts['annotators'])} (change with --annotator)")
    if facts["duplicates"]:
        console.print(f"Duplicates: {facts['duplicates']} records say what another says; they were kept")
    held = f", {facts['heldout']} held out" if artifact.manifest.config["split_ratio"] > 0 else ""
    console.print(f"{artifact.ref}: {facts['train']} {facts['records']}s to train on{held}, in {artifact.path}")
    return {"artifact": artifact.ref, "path": str(artifact.path), **facts}


def _report_refusals(path: Path, count: int) -> None:
    if not count:
        return
    with open(path, encoding="utf-8") as file:
        for line in islice(file, REFUSALS_SHOWN):
            refusal = json.loads(line)
            console.print(f"  refused {refusal['file']} row {refusal['row']}: {refusal['reason']}")
    if count > REFUSALS_SHOWN:
        with open(path, encoding="utf-8") as file:
            reasons = Counter(json.loads(line)["reason"] for line in file).most_common(3)
        console.print(f"  … {count} in all; most often: " + "; ".join(f"{reason} ({number})" for reason, number in reasons))
    console.print(f"  all of them: {path}")
