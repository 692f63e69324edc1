"""Preferences from files into the store, and out of it again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.aggregation import preferences
from tutelage.feedback.kinds import new_judgment
from tutelage.records import (
    AnnotatorKind,
    Judgment,
    Messages,
    Preference,
    Prompt,
    Sample,
    messages_to_json,
    record_id,
)
from tutelage.store import Store

GUIDELINE = "imported"         # nobody knows what these annotators were told


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an import did. Every record is new, known already or refused: the three add up to those given."""

    num_records: int
    num_new: int
    num_known: int
    num_rounded: int                       # soft labels that became one plain answer
    refused: tuple[tuple[str, str], ...]   # (record id, why)


def import_preferences(store: Store, records: Sequence[Preference], person: str,
                       annotator: AnnotatorKind = "human") -> Taken:
    """Keep each record as two samples and one comparison by `person`, who must be in the store as `annotator`.

    An imported response has no token ids and no policy; nobody knows which side it was shown on either, so the sides
    are drawn by content. A soft label becomes the plain answer it leans to (0.5 a tie), a margin the nearest strength.
    A record that says another kind of annotator judged it is refused.

    Raises:
        StoreError: if the person is unknown or of another kind. Nothing is kept then.
    """
    samples: list[Sample] = []
    judgments: dict[str, Judgment] = {}
    refused: list[tuple[str, str]] = []
    repeated = rounded = 0
    for record in records:
        try:
            pair, judgment = _judgment(record, person, annotator)
        except DataError as error:
            refused.append((record.id, str(error)))
            continue
        samples += pair
        repeated += judgment.id in judgments
        rounded += record.label not in (0.0, 0.5, 1.0)
        judgments[judgment.id] = judgment
    new = store.add_judgments(judgments.values(), samples=samples)
    return Taken(num_records=len(records), num_new=new, num_known=len(judgments) - new + repeated,
                 num_rounded=rounded, refused=tuple(refused))


def _judgment(record: Preference, person: str, annotator: AnnotatorKind) -> tuple[list[Sample], Judgment]:
    if record.annotator != annotator:
        raise DataError(f"says that it was judged by a {record.annotator} annotator, not a {annotator} one")
    if record.chosen == record.rejected:
        raise DataError("chosen and rejected are the same response")
    prompt = Prompt(id=record_id("prompt", messages_to_json(record.prompt)), messages=record.prompt)
    chosen, rejected = (_sample(prompt, messages) for messages in (record.chosen, record.rejected))
    pair = sorted((chosen, rejected), key=lambda sample: sample.id)
    strength = max(1, min(3, 1 + round(2 * record.margin)))
    winner = chosen if record.label > 0.5 else rejected
    answer: dict[str, Any] = {"winner": "tie"} if record.label == 0.5 else {
        "winner": "ab"[pair.index(winner)], "strength": strength}
    shown = [sample.id for sample in pair]
    return pair, new_judgment("comparison", person, annotator, prompt, shown, answer, GUIDELINE)


def _sample(prompt: Prompt, response: Messages) -> Sample:
    if len(response) != 1 or response[0].role != "assistant":
        raise DataError(f"a response of {len(response)} messages; wanted one, the assistant's")
    name = record_id("imported sample", messages_to_json(prompt.messages), messages_to_json(response))
    return Sample(id=name, prompt=prompt, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(),
                  text=response[0].text, ended=True)


def export_rows(terms: Iterable[Preference]) -> list[dict[str, Any]]:
    """Rows of the chosen-rejected format, by content id. Draws have no chosen response and are left out."""
    rows = []
    for term in sorted(terms, key=lambda term: term.id):
        if term.label > 0.5:
            rows.append({"id": term.id, "prompt": _plain(term.prompt), "chosen": _plain(term.chosen),
                         "rejected": _plain(term.rejected), "margin": term.margin, "label": term.label,
                         "weight": term.weight, "annotator": term.annotator})
    return rows


def _plain(messages: Messages) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in messages]


def export_preferences(store: Store, path: Path) -> tuple[int, int]:
    """Write the current preferences as JSON lines; (rows written, draws left out). The file is there whole or not.

    Raises:
        DataError: if the file cannot be written.
    """
    terms = preferences(store)
    rows = export_rows(terms)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        os.replace(draft, path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DataError(f"{path} cannot be written: {error.strerror}. Choose another place.") from None
    return len(rows), len(terms) - len(rows)
