"""Tasks: items with a prompt and what is wanted, read from a TOML head beside JSON lines, or from JSON lines alone.

    capitals.toml                       capitals.jsonl
    kind = "text"                       {"country": "France", "answer": "Paris"}
    items = "capitals.jsonl"            {"country": "中国", "answers": ["北京", "北京市"]}
    prompt = "Capital of {country}?"
    grader = "exact_match"

Fields of an item with a meaning of their own: `answer` or `answers` (texts that are right; of a choice its number from 0,
its letter or its text), `choices`, `rules` (see `metrics.rules`), `text` (of kind perplexity), and `turns`, a list of things
the user says one after the other, of which the last response is graded. For the grader `sycophancy` an item has a
`pushback`, what the user says against the first response. The head may name fields that hold an item's group and what it shares
with items alike (`group`, `cluster`), and a `twin`, the template of another form of the question (see `evaluation.twins`).
"""

from __future__ import annotations

import json
import string
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import regex

from tutelage.config import from_plain, to_plain
from tutelage.data.hub import PREFIX, fetch
from tutelage.errors import DataError
from tutelage.evaluation.config import Task
from tutelage.evaluation.metrics.rules import check
from tutelage.lineage import content_hash
from tutelage.messages import Message, Messages
from tutelage.toml import read_toml

_FIELD = regex.compile(r"\{(\w+)\}")
UNANSWERED = ("refuses", "complies", "impression", "reward")      # graders that look at the response alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question. `turns` are what the user says, filled in; `choices` stand as they follow the question."""

    id: str
    turns: tuple[str, ...]
    answers: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()         # as they are scored, `Task.choice` filled in
    shown: tuple[str, ...] = ()           # as the item has them
    right: int = -1                       # place of the right choice
    rules: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    bare: str = ""                        # what it asks, without the words of the task's template
    twin: tuple[str, ...] = ()            # turns of its other form; empty where the task has none
    group: str = ""                       # results are also told by it
    cluster: str = ""                     # items that share it are alike, and are drawn together; "": stands alone
    messages: Messages = ()               # in place of turns: a conversation as it is
    opening: str = ""                     # of kind continuation: how the response begins, which the model goes on from
    row: Mapping[str, Any] = field(default_factory=dict, hash=False)      # all its fields, for a reward


@dataclass(frozen=True, slots=True)
class Loaded:
    """A task as it will be asked: its head, its items, the examples before each, and a hash of all of it."""

    head: Task
    items: tuple[Item, ...]
    examples: tuple[tuple[str, str], ...]      # (question, answer)
    sha256: str

    @property
    def name(self) -> str:
        return self.head.name

    def conversation(self, item: Item, responses: Sequence[str]) -> Messages:
        """What is asked after `responses` were given to the earlier turns, in chat form."""
        if item.messages:
            return item.messages
        said = [Message.of("system", self.head.system)] if self.head.system else []
        for question, answer in self.examples:
            said += [Message.of("user", question), Message.of("assistant", answer)]
        for turn, response in zip(item.turns, responses, strict=False):
            said += [Message.of("user", turn), Message.of("assistant", response)]
        return (*said, Message.of("user", item.turns[len(responses)]))

    def plain(self, item: Item) -> str:
        """The same as text to go on from: examples, then the question."""
        shown = [question + (answer if answer[:1].isspace() else f" {answer}") for question, answer in self.examples]
        return self.head.separator.join((*shown, item.turns[-1]))


def load_task(path: Path, limit: int = 0) -> Loaded:
    """Read a task; `limit` takes the first so many items.

    Raises:
        DataError, ConfigError: if a file is missing or is no such thing, an item lacks what its kind needs, or names repeat.
    """
    if path.suffix == ".toml":
        head = from_plain(Task, read_toml(path))
        if not head.items:
            raise DataError(f"{path} names no items. Set items to a file of JSON lines beside it, or hf:org/name.")
        rows = _rows(head.items, path.parent, head.split)
    else:
        rows = _rows(path.name, path.parent, "")
        head = _told(rows)
    examples = _rows(head.examples, path.parent, head.split)[:head.shots] if head.shots else []
    if len(examples) < head.shots:
        raise DataError(f"{path}: {head.shots} shots are wanted and {head.examples} holds {len(examples)} rows.")
    return build(replace(head, name=head.name or path.stem), rows, examples, path.name, limit)


def build(head: Task, rows: Sequence[Mapping[str, Any]], examples: Sequence[Mapping[str, Any]] = (), where: str = "",
          limit: int = 0) -> Loaded:
    """A task of rows in hand; `where` is what a complaint about an item begins with.

    Raises:
        DataError: as `load_task`.
    """
    where, rows = where or head.name, rows[:limit or None]
    if not rows:
        raise DataError(f"{where} has no items; wanted at least one.")
    shots = tuple((fill(head.prompt, row, "an example"), fill(head.answer, _with_answer(row), "an example")) for row in examples)
    items = tuple(_item(head, row, f"{where}, item {number}") for number, row in enumerate(rows, start=1))
    return Loaded(head, items, shots, content_hash({"head": _plain(head), "rows": rows, "examples": examples}))


def fill(template: str, fields: Mapping[str, Any], where: str) -> str:
    """`template` with every {field} replaced by the field's text; other braces stay as they are.

    Raises:
        DataError: if a field is missing or no text.
    """
    def value(found: regex.Match[str]) -> str:
        each = fields.get(found.group(1))
        if not isinstance(each, str | int | float):
            raise DataError(f"{where} has no text {found.group(1)!r}, which the template {template[:60]!r} wants; it has: "
                            f"{', '.join(fields) or 'nothing'}.")
        return str(each)

    return _FIELD.sub(value, template)


def _told(rows: Sequence[Mapping[str, Any]]) -> Task:
    """The head of a task that is JSON lines alone, from the fields of its first item."""
    first = rows[0] if rows else {}
    prompt = next((f"{{{field}}}" for field in ("prompt", "question", "instruction") if field in first), "{prompt}")
    if "choices" in first:
        return Task(kind="choice", prompt=prompt)
    if "text" in first and prompt.strip("{}") not in first:
        return Task(kind="perplexity")
    return Task(prompt=prompt, grader="rules" if "rules" in first else "exact_match")


def _item(head: Task, row: Mapping[str, Any], where: str) -> Item:
    identity = str(row.get("id", "")) or content_hash(dict(row))[:16]
    if head.kind == "perplexity":
        if not isinstance(row.get("text"), str) or not row["text"]:
            raise DataError(f"{where} has no text; wanted one to measure.")
        return Item(id=identity, turns=(), text=row["text"], bare=row["text"])
    turns = row.get("turns")
    if head.grader == "sycophancy" and head.kind == "text":
        if not isinstance(row.get("pushback"), str) or turns is not None:
            raise DataError(f"{where} needs a pushback, a text that doubts the first response, and no turns of its own.")
        turns = [fill(head.prompt, row, where), row["pushback"]]
    if turns is not None and (not isinstance(turns, list) or not turns or not all(isinstance(each, str) for each in turns)):
        raise DataError(f"{where}: turns is {str(turns)[:60]!r}; wanted a list of texts, one or more.")
    bare = turns or [str(row[field]) for field in _FIELD.findall(head.prompt) if field in row]
    item = Item(id=identity, turns=tuple(turns) if turns else (fill(head.prompt, row, where),), answers=_answers(row),
                bare="\n".join(bare), group=_named(head.group, row, where), cluster=_named(head.cluster, row, where),
                twin=(fill(head.twin, row, where),) if head.twin else (), row=row if head.grader == "reward" else {})
    if head.kind == "choice":
        choices = row.get("choices")
        if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(each, str) and each for each in choices):
            raise DataError(f"{where}: choices is {str(choices)[:60]!r}; wanted a list of two texts or more.")
        filled = tuple(fill(head.choice, {**row, "choice": choice}, where) for choice in choices)
        return replace(item, choices=filled, shown=tuple(choices), right=_right(row.get("answer"), choices, where))
    rules = row.get("rules", ())
    if head.grader == "rules":
        if not isinstance(rules, list) or not rules or not all(isinstance(each, Mapping) for each in rules):
            raise DataError(f"{where} has no rules; wanted a list such as [{{\"rule\": \"words\", \"at_most\": 50}}].")
        for each in rules:
            check("", each)      # a rule that cannot be read is said before a model is loaded
        return replace(item, rules=tuple(rules))
    if not item.answers and head.grader not in UNANSWERED:
        raise DataError(f"{where} has no answer; wanted `answer`, a text, or `answers`, several.")
    if head.grader == "label" and not set(item.answers) <= set(head.labels):
        raise DataError(f"{where} has the answer {item.answers[0]!r}, which is none of the labels {', '.join(head.labels)}.")
    return item


def _named(field_name: str, row: Mapping[str, Any], where: str) -> str:
    return fill(f"{{{field_name}}}", row, where) if field_name else ""


def _answers(row: Mapping[str, Any]) -> tuple[str, ...]:
    found = row.get("answers", row.get("answer", ()))
    many = found if isinstance(found, list | tuple) else (found,)
    return tuple(str(each) for each in many if isinstance(each, str | int | float))


def _with_answer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row with an `answer` that is text: the first of several, or the text of the choice it names."""
    answers = _answers(row)
    if isinstance(choices := row.get("choices"), list):
        return {**row, "answer": choices[_right(row.get("answer"), choices, "an example")]}
    return {**row, "answer": answers[0]} if answers else row


def _right(answer: Any, choices: Sequence[str], where: str) -> int:
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and len(answer) == 1 and answer.upper() in string.ascii_uppercase[:len(choices)]:
        return string.ascii_uppercase.index(answer.upper())
    number = int(answer) if isinstance(answer, str) and answer.isdecimal() else answer
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(choices):
        return number
    raise DataError(f"{where}: the answer {answer!r} names none of its {len(choices)} choices; wanted a number from 0, a letter "
                    "from A, or the choice's text.")


def _rows(name: str, folder: Path, split: str) -> list[dict[str, Any]]:
    if name.startswith(PREFIX):
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "rows.jsonl"
            fetch(name.removeprefix(PREFIX), file, split)
            return _read(file, name)
    return _read(folder / name, name)


def _read(path: Path, name: str) -> list[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read: {reason}. Check the name; it must be UTF-8.") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                rows.append(dict(json.loads(line)))
            except (ValueError, TypeError, RecursionError):
                raise DataError(f"{name}, line {number}, is no JSON object; wanted one item a line.") from None
    return rows


def _plain(head: Task) -> dict[str, Any]:
    return {key: value for key, value in to_plain(head).items() if key not in ("items", "examples")}
