"""Judgments as rows: whole, as one JSON object each, and as a table with one line each.

`judgments` loses nothing: a judgment and the samples it was about, as the store keeps them; taken into another store
they are the same judgments, and taken into this one they are known. `csv` is for spreadsheets and for people who write
one by hand: prompt, response_1 … response_6 in displayed order, and the answer as JSON, or winner and strength.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, get_args

from tutelage.errors import DataError
from tutelage.feedback import kinds
from tutelage.feedback.aggregation import SIDES_UNKNOWN
from tutelage.feedback.asked import Asked
from tutelage.feedback.exchange.meaning import Meaning
from tutelage.feedback.exchange.told import Told, text_turn
from tutelage.messages import Messages, messages_from_json, messages_to_json
from tutelage.records import AnnotatorKind, Judgment, Prompt, Sample

RESPONSES = tuple(f"response_{number}" for number in range(1, 7))
COLUMNS = ("id", "kind", "person", "annotator", "guideline", "prompt", *RESPONSES, "answer")
_BY_LETTER = {"response_a": "response_1", "response_b": "response_2", "chosen": "response_1", "rejected": "response_2"}
_READ = {*COLUMNS, *_BY_LETTER, "winner", "strength"}


def judgment_to_row(judgment: Judgment, samples: Sequence[Sample]) -> dict[str, Any]:
    said = {"id": judgment.id, "kind": judgment.kind, "annotator_id": judgment.annotator_id, "annotator": judgment.annotator,
            "prompt": judgment.prompt.to_json(), "samples": list(judgment.samples), "answer": dict(judgment.answer),
            "guideline": judgment.guideline, "supersedes": judgment.supersedes}
    return {"judgment": said, "samples": [sample.to_json() for sample in samples]}


def judgment_from_row(row: Mapping[str, Any]) -> tuple[list[Sample], Judgment]:
    """Raises DataError if the row is no judgment of a kind that is known, or its samples are not those it names."""
    try:
        said = row["judgment"]
        judgment = Judgment(**{**said, "prompt": Prompt.from_json(said["prompt"]), "samples": tuple(said["samples"])})
        samples = [Sample.from_json(each) for each in row["samples"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"is no judgment as it is exported here: {error}") from None
    if [sample.id for sample in samples] != list(judgment.samples):
        raise DataError(f"judgment {judgment.id!r} names other samples than stand beside it")
    texts = tuple(sample.text for sample in samples)
    kinds.kind(judgment.kind).check_answer(judgment.answer, Asked(num_samples=len(samples), texts=texts))
    return samples, judgment


class TableReader:
    """Reads one line of a table; see `Reader`."""

    def __init__(self, meaning: Meaning) -> None:
        self.columns = {name: word for word, names in meaning.given.items() for name in names}
        self.left_out: dict[str, int] = Counter()

    def told(self, row: Mapping[str, Any]) -> Iterator[Told]:
        cells = {self.columns.get(name, name): value for name, value in row.items() if value not in (None, "")}
        cells = {_BY_LETTER.get(name, name): value for name, value in cells.items()}
        for name in cells:
            if name not in _READ and name not in ("ignore", "in_words"):
                self.left_out[f"column {name}"] += 1
        kind = str(cells.get("kind", "comparison"))
        if "prompt" not in cells:
            raise DataError("has no prompt")
        responses = tuple(_messages(cells[name], "assistant") for name in RESPONSES if name in cells)
        annotator = cells.get("annotator")
        if annotator is not None and annotator not in get_args(AnnotatorKind):
            raise DataError(f"annotator is {annotator!r}; wanted one of {', '.join(get_args(AnnotatorKind))}")
        guideline = str(cells.get("guideline", ""))
        yield Told(kind=kind, prompt=_messages(cells["prompt"], "user"), responses=responses, answer=_answer(kind, cells),
                   person=str(cells.get("person", "")), annotator=cast(AnnotatorKind, annotator),
                   as_shown=guideline not in ("", SIDES_UNKNOWN), guideline=guideline)


def _answer(kind: str, cells: Mapping[str, Any]) -> Mapping[str, Any]:
    if "answer" in cells:
        answer = cells["answer"]
        try:
            answer = json.loads(answer) if isinstance(answer, str) else answer
        except ValueError:
            raise DataError(f"answer is {str(answer)[:40]!r}; wanted the answer of a {kind} as JSON") from None
        if not isinstance(answer, Mapping):
            raise DataError(f"answer is {str(answer)[:40]!r}; wanted a JSON object")
        return answer
    winner = str(cells.get("winner", "")).strip().lower()
    winner = {"1": "a", "2": "b", "response_1": "a", "response_2": "b", "chosen": "a"}.get(winner, winner)
    if kind != "comparison" or not winner:
        raise DataError("has neither an answer nor a winner")
    if winner not in ("a", "b"):
        return {"winner": winner}
    try:
        return {"winner": winner, "strength": int(cells.get("strength", 1))}
    except ValueError:
        raise DataError(f"strength is {cells['strength']!r}; wanted 1, 2 or 3") from None


def _messages(cell: Any, role: str) -> Messages:
    """A cell is one turn's text, or a JSON list of messages."""
    if isinstance(cell, str) and cell.startswith('[{"role"'):
        try:
            return messages_from_json(json.loads(cell))
        except ValueError:
            raise DataError(f"the cell {cell[:40]!r} is no list of messages") from None
    return messages_from_json(cell) if isinstance(cell, list) else text_turn(str(cell), role)


def table_row(judgment: Judgment, samples: Sequence[Sample]) -> dict[str, Any]:
    messages = judgment.prompt.messages
    plain = len(messages) == 1 and messages[0].role == "user" and not messages[0].text.startswith('[{"role"')
    prompt = messages[0].text if plain else json.dumps(messages_to_json(messages), ensure_ascii=False)
    return {"id": judgment.id, "kind": judgment.kind, "person": judgment.annotator_id, "annotator": judgment.annotator,
            "guideline": judgment.guideline, "prompt": prompt,
            **{name: sample.text for name, sample in zip(RESPONSES, samples, strict=False)},
            "answer": json.dumps(dict(judgment.answer), ensure_ascii=False, sort_keys=True)}


def write_table(path: Path, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write lines under COLUMNS as they come; the file is there whole or not at all. The number of lines.

    Raises:
        DataError: if the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with open(draft, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, delimiter="\t" if path.suffix == ".tsv" else ",", lineterminator="\n")
            writer.writeheader()
            for row in rows:
                writer.writerow(row)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from None
    finally:
        draft.unlink(missing_ok=True)
    return count
