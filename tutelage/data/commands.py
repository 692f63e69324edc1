"""`tutelage data import | export | show | list`; check and clean are in `cleaning_commands`."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.console import console
from tutelage.data import cleaning_commands, exporting, importing
from tutelage.data.datasets import Dataset, builtin_names, load_dataset, resolve_dataset
from tutelage.data.dump import legend, paint, printable, token_lines
from tutelage.errors import DataError, ModelError, UsageError
from tutelage.messages import Message
from tutelage.options import COMMON_HELP, Options
from tutelage.project import Project
from tutelage.records import Document, Instruction, Label, Preference, Prompt, Ranking, Rating, Thumb

if TYPE_CHECKING:
    from tutelage.data.chat import ChatTemplate, Rendered

DEFAULT_MODEL = "smollm2-135m-q4"      # whose tokens `data show --tokens` shows where no model is named


def data(arguments: list[str], options: Options) -> dict[str, Any]:
    """Run one of the sub-commands; the result is what `--json` prints."""
    words = _parser().parse_args(arguments)
    commands: Mapping[str, Callable[[argparse.Namespace, Options], dict[str, Any]]] = {
        "import": importing.run, "export": exporting.run, "show": _show, "list": _list, "check": cleaning_commands.check,
        "clean": cleaning_commands.clean}
    return commands[words.command](words, options)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{message}. See: {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tutelage data", description="Import, export, show, list, check and clean data sets.",
                     epilog=COMMON_HELP)
    commands = parser.add_subparsers(dest="command", required=True, metavar="import | export | show | list | check | clean")
    importing.add_parser(commands)
    exporting.add_parser(commands)
    showing = commands.add_parser("show", help="print rows, or tokens and which are trained on", epilog=COMMON_HELP)
    showing.add_argument("name", metavar="NAME", help="a data set, a built-in one, or a file")
    showing.add_argument("--tokens", action="store_true", help="token ids, roles, and which tokens are trained on")
    showing.add_argument("--model", metavar="M", help=f"whose tokenizer: directory or name (default {DEFAULT_MODEL})")
    showing.add_argument("--rows", type=int, default=3, metavar="N", help="how many rows (default 3)")
    showing.add_argument("--split", choices=("train", "heldout"), default="train")
    cleaning_commands.add_parsers(commands)
    commands.add_parser("list", help="the project's data sets and the built-in ones", epilog=COMMON_HELP)
    return parser


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
                said = printable(" ".join([message.text, *(json.dumps(call, ensure_ascii=False) for call in message.tool_calls)]))
                console.print(paint(f"[{label or message.role}]", message.role, colour) + f" {said.strip(' ')}")
        for name, value in _marks(record).items():
            console.print(f"{name}: {printable(value)}")
    return [record.to_json() for record in dataset.records[:words.rows]]


def _sides(record: Any) -> list[tuple[str, Sequence[Message]]]:
    """The messages of a record, with a name for those that are not told apart by who speaks."""
    if isinstance(record, Preference):
        return [("", record.prompt), ("chosen", record.chosen), ("rejected", record.rejected)]
    if isinstance(record, Ranking):
        placed = zip(record.ranks, record.responses, strict=True)
        return [("", record.prompt), *((f"place {rank}", each) for rank, each in placed)]
    if isinstance(record, Rating | Thumb):
        return [("", record.prompt), ("", record.response)]
    if isinstance(record, Document | Label):
        return [("text", [Message.of("user", record.text)])]
    return [("", record.messages)]


def _marks(record: Any) -> dict[str, str]:
    """What was said of a record's text."""
    if isinstance(record, Rating):
        return {"scores": ", ".join(f"{aspect} {score:g}" for aspect, score in record.scores.items())}
    if isinstance(record, Thumb):
        return {"thumb": "up" if record.up else "down"}
    return {"labels": ", ".join(record.labels) or "none"} if isinstance(record, Label) else {}


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
    if isinstance(record, Instruction):
        return [("", template.render(record.messages, tools=record.tools))]
    if isinstance(record, Prompt):
        return [("", template.render_opened(record.messages))]
    if isinstance(record, Document | Label):
        raise DataError("documents and labelled texts are no conversations, so no template renders them. "
                        "Show them without --tokens.")
    return [(label, template.render_response(record.prompt, tuple(each))) for label, each in _sides(record)[1:]]


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
