"""`tutelage data import | show | list`; check and clean are in `cleaning_commands`."""

from __future__ import annotations

import argparse
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tutelage.console import console
from tutelage.data import cleaning_commands
from tutelage.data.datasets import Dataset, builtin_names, load_dataset, resolve_dataset, write_dataset
from tutelage.data.dump import legend, paint, printable, token_lines
from tutelage.data.formats import FORMATS
from tutelage.data.sources import Imported, read_file
from tutelage.errors import ModelError, UsageError
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Artifact, Project
from tutelage.records import AnnotatorKind, Message, Preference, Prompt

if TYPE_CHECKING:
    from tutelage.data.chat import ChatTemplate, Rendered

DEFAULT_MODEL = "smollm2-135m-q4"      # whose tokens `data show --tokens` shows where no model is named
REFUSALS_SHOWN = 5


def data(arguments: list[str], options: Options) -> dict[str, Any]:
    """Run one of the sub-commands; the result is what `--json` prints."""
    words = _parser().parse_args(arguments)
    commands: Mapping[str, Callable[[argparse.Namespace, Options], dict[str, Any]]] = {
        "import": _import, "show": _show, "list": _list, "check": cleaning_commands.check, "clean": cleaning_commands.clean}
    return commands[words.command](words, options)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage data", description="Import, show, list, check and clean data sets.", epilog=COMMON_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="import | show | list | check | clean")
    importing = commands.add_parser("import", help="make a data set of files", epilog=COMMON_HELP)
    importing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON array or JSON lines")
    importing.add_argument("--format", choices=list(FORMATS), help="default: found by the keys of the first rows")
    importing.add_argument("--name", help="default: the first file's name")
    importing.add_argument("--split-ratio", type=float, default=0.0, metavar="R",
                           help="share of the prompts that is held out (default 0)")
    importing.add_argument("--annotator", choices=get_args(AnnotatorKind), default="human",
                           help="who judged preferences that do not say it themselves (default human)")
    showing = commands.add_parser("show", help="print rows, or tokens and which are trained on", epilog=COMMON_HELP)
    showing.add_argument("name", metavar="NAME", help="a data set, a built-in one, or a file")
    showing.add_argument("--tokens", action="store_true", help="token ids, roles, and which tokens are trained on")
    showing.add_argument("--model", metavar="M", help=f"whose tokenizer: directory or name (default {DEFAULT_MODEL})")
    showing.add_argument("--rows", type=int, default=3, metavar="N", help="how many rows (default 3)")
    showing.add_argument("--split", choices=("train", "heldout"), default="train")
    cleaning_commands.add_parsers(commands)
    commands.add_parser("list", help="the project's data sets and the built-in ones", epilog=COMMON_HELP)
    return parser


def _import(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    project = Project.open(options.project)
    imported = [read_file(path, words.format, words.annotator) for path in words.files]
    name = words.name or _default_name(words.files[0])
    with project.lock():
        artifact = write_dataset(project, name, imported, words.split_ratio, options.seed or 0)
    facts = artifact.manifest.facts
    console.table("", ["file", "format", "read", "kept", "refused"],
                  [[each.file, each.format, each.num_read, len(each.records), len(each.refusals)] for each in imported])
    _report_refusals(imported, artifact)
    if facts["records"] == "preference":
        console.print(f"Annotators: {', '.join(artifact.manifest.config['annotators'])} (change with --annotator)")
    if facts["duplicates"]:
        console.print(f"Duplicates: {facts['duplicates']} rows say what another says; they were kept")
    held = f", {facts['heldout']} held out" if words.split_ratio > 0 else ""
    console.print(f"{artifact.ref}: {facts['train']} {facts['records']}s to train on{held}, in {artifact.path}")
    return {"artifact": artifact.ref, "path": str(artifact.path), **facts,
            "files": [{"file": each.file, "format": each.format, "read": each.num_read, "kept": len(each.records),
                       "refused": len(each.refusals)} for each in imported]}


def _default_name(path: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    if not name:
        raise UsageError(f"no artifact can be named after {path.name}. Give a name with --name.")
    return name


def _report_refusals(imported: Sequence[Imported], artifact: Artifact) -> None:
    refusals = [refusal for each in imported for refusal in each.refusals]
    if not refusals:
        return
    for refusal in refusals[:REFUSALS_SHOWN]:
        console.print(f"  refused {refusal.file} row {refusal.row}: {refusal.reason}")
    if len(refusals) > REFUSALS_SHOWN:
        reasons = Counter(refusal.reason for refusal in refusals).most_common(3)
        console.print(f"  … {len(refusals)} in all; most often: "
                      + "; ".join(f"{reason} ({count})" for reason, count in reasons))
    console.print(f"  all of them: {artifact.path / 'refusals.jsonl'}")


def _list(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    project = Project.open(options.project)
    artifacts = project.artifacts("dataset")
    console.table("Data sets of this project", ["name", "records", "train", "held out", "refused"],
                  [[each.ref, *(each.manifest.facts.get(key, "") for key in ("records", "train", "heldout", "refused"))]
                   for each in artifacts])
    console.print()
    console.print("Built in: " + ", ".join(f"builtin:{name}" for name in builtin_names()))
    return {"datasets": [{"artifact": each.ref, **each.manifest.facts} for each in artifacts],
            "builtin": [f"builtin:{name}" for name in builtin_names()]}


def _show(words: argparse.Namespace, options: Options) -> dict[str, Any]:
    if words.rows < 1:
        raise UsageError(f"--rows got {words.rows}; wanted at least 1.")
    source = resolve_dataset(Project.open(options.project), words.name)
    dataset = load_dataset(source, words.split)
    colour = console.out.isatty() and "NO_COLOR" not in os.environ
    console.print(f"{words.name}, {words.split}: {len(dataset.records)} {dataset.kind}s, of which "
                  f"{min(words.rows, len(dataset.records))} are shown")
    shown = _show_tokens(words, dataset, colour) if words.tokens or words.model else _show_text(words, dataset, colour)
    return {"name": words.name, "split": words.split, "kind": dataset.kind, "records": len(dataset.records),
            "rows": shown}


def _show_text(words: argparse.Namespace, dataset: Dataset, colour: bool) -> list[dict[str, Any]]:
    for record in dataset.records[:words.rows]:
        console.print(f"\n── {record.id}")
        for label, messages in _sides(record):
            for message in messages:
                console.print(paint(f"[{label or message.role}]", message.role, colour) + f" {printable(message.text)}")
    return [record.to_json() for record in dataset.records[:words.rows]]


def _sides(record: Any) -> list[tuple[str, Sequence[Message]]]:
    if isinstance(record, Preference):
        return [("", record.prompt), ("chosen", record.chosen), ("rejected", record.rejected)]
    return [("", record.messages)]


def _show_tokens(words: argparse.Namespace, dataset: Dataset, colour: bool) -> list[dict[str, Any]]:
    from tutelage.data.chat import ChatTemplate  # here, because few commands need it and it imports transformers

    name = words.model or DEFAULT_MODEL
    directory = _tokenizer_directory(name)
    template = ChatTemplate.load(directory, _load_tokenizer(directory))
    console.print(f"Tokenizer and template: {name} (template {template.sha256[:12]})")
    console.print(f"Legend: {legend(colour)}")
    shown = []
    for record in dataset.records[:words.rows]:
        for side, rendered in _renderings(template, record):
            console.print(f"\n── {' '.join([record.id, side]).strip()}: {len(rendered.ids)} tokens, "
                          f"{rendered.num_labels} of them trained on")
            for line in token_lines(template.tokenizer, rendered, colour):
                console.print(line)
            shown.append({"id": record.id, "side": side, "ids": list(rendered.ids),
                          "response_mask": list(rendered.response_mask),
                          "spans": [[span.role, span.start, span.end, span.trained] for span in rendered.spans]})
    return shown


def _renderings(template: ChatTemplate, record: Any) -> list[tuple[str, Rendered]]:
    if isinstance(record, Preference):
        return [("chosen", template.render_response(record.prompt, record.chosen)),
                ("rejected", template.render_response(record.prompt, record.rejected))]
    return [("", template.render_opened(record.messages) if isinstance(record, Prompt)
             else template.render(record.messages))]


def _tokenizer_directory(name: str) -> Path:
    """Where a tokenizer lies: a directory, or a built-in model's place in the cache (nothing is fetched here)."""
    cache = Path(os.environ.get("TUTELAGE_CACHE") or Path.home() / ".cache" / "tutelage")
    for directory in (Path(name).expanduser(), cache / "models" / name):
        if (directory / "tokenizer.json").is_file():
            return directory
    raise ModelError(f"no tokenizer at {name!r}: neither a directory with a tokenizer.json nor a model in "
                     f"{cache / 'models'}. Fetch it (tutelage models pull {name}), or name a model's directory.")


def _load_tokenizer(directory: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ModelError(f"{directory} holds no tokenizer that can be read: {str(error).splitlines()[0]}") from None
