"""Argilla's records: `dataset.records.to_json` (nested) and what `to_datasets` gives (flat, `QUESTION.responses`).

What Argilla does not keep is not made up: it names no side, so a comparison's sides are drawn by content; an order of
responses has no ties unless the values carry ranks. Suggestions are a model's and are counted, not taken; so are drafts
and discarded responses, metadata and vectors.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.exchange.meaning import Answer, Item, Meaning, Unclear, told_of_answer
from tutelage.feedback.exchange.told import Told
from tutelage.messages import messages_to_json
from tutelage.records import Judgment, Sample

_OURS = uuid.UUID("2b1d6f0e-6e0c-5b5e-9a57-7475746c6761")      # the name space of our people among UUIDs
_BESIDES = ("id", "status", "_server_id", "inserted_at", "updated_at", "score", "external_id")
Said = tuple[str, Any, str, str]                               # question, value, user, status


class ArgillaReader:
    """Reads one record; see `Reader`."""

    def __init__(self, meaning: Meaning) -> None:
        self.meaning = meaning
        self.left_out: dict[str, int] = Counter()

    def told(self, row: Mapping[str, Any]) -> Iterator[Told]:
        nested = isinstance(row.get("fields"), Mapping)
        fields, said = self._nested(row) if nested else self._flat(row)
        item, rest = self.meaning.item(fields)
        for name in rest:
            self._leave_out(f"field {name}" if nested else f"column {name} (a field, metadata or a vector)")
        yield from self._answers(item, said)

    def _nested(self, row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Said]]:
        for name, words in (("suggestions", "suggestions of a model"), ("metadata", "metadata"), ("vectors", "vectors")):
            if row.get(name):
                self._leave_out(f"rows with {words}")
        responses = row.get("responses")
        if not isinstance(responses, Mapping):
            raise DataError("has no responses by question; wanted what records.to_json writes")
        said = [(question, each.get("value"), str(each.get("user_id") or ""), str(each.get("status") or "submitted"))
                for question, given in responses.items() for each in given]
        return row["fields"], said

    def _flat(self, row: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Said]]:
        questions = [name.removesuffix(".responses") for name in row if name.endswith(".responses")]
        if not questions:
            raise DataError("has neither fields and responses, nor a column QUESTION.responses; is it an Argilla export?")
        said: list[Said] = []
        for question in questions:
            values = row[f"{question}.responses"] or []
            users = row.get(f"{question}.responses.users") or [""] * len(values)
            states = row.get(f"{question}.responses.status") or ["submitted"] * len(values)
            said += [(question, value, str(user or ""), str(state or "submitted"))
                     for value, user, state in zip(values, users, states, strict=True)]
        own = tuple(f"{question}{end}" for question in questions for end in (".responses", ".suggestion"))
        if any(value is not None for name, value in row.items() if name.endswith(".suggestion")):
            self._leave_out("rows with suggestions of a model")
        return {name: value for name, value in row.items() if name not in _BESIDES and not name.startswith(own)
                and value is not None}, said

    def _answers(self, item: Item, said: Sequence[Said]) -> Iterator[Told]:
        scores: dict[tuple[str, int], dict[str, int]] = {}
        for question, value, user, status in said:
            person = f"argilla:{user}" if user and user != "None" else ""
            if status not in ("submitted", "ResponseStatus.submitted"):
                self._leave_out(f"responses that are {status}")
                continue
            try:
                found = self.meaning.answer(question, value, item)
            except Unclear as why:
                self._leave_out(f"question {question}: {why}")
                continue
            if found.kind == "rating":
                scores.setdefault((person, found.about[0]), {}).update(found.answer["scores"])
            else:
                yield told_of_answer(found, item, person)
        for (person, about), each in scores.items():
            yield told_of_answer(Answer("rating", (about,), {"scores": each}), item, person)

    def _leave_out(self, what: str) -> None:
        self.left_out[what] += 1


def argilla_row(judgment: Judgment, samples: Sequence[Sample]) -> dict[str, Any]:
    """A judgment as a record that Argilla's client reads back; its question is named after the kind or the aspect.

    Argilla knows people by UUID: each of ours gets one made of their id.
    """
    user = str(uuid.uuid5(_OURS, judgment.annotator_id))
    fields: dict[str, Any] = {"prompt": _field(judgment)}
    fields |= {f"response-{number}": sample.text for number, sample in enumerate(samples, start=1)}
    responses = {question: [{"value": value, "user_id": user}] for question, value in _values(judgment).items()}
    return {"id": judgment.id, "fields": fields, "metadata": {"annotator": judgment.annotator, "guideline": judgment.guideline},
            "suggestions": {}, "responses": responses, "vectors": {}}


def _field(judgment: Judgment) -> Any:
    messages = judgment.prompt.messages
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].text
    return [{"role": message["role"], "content": "".join(part["text"] for part in message["content"])}
            for message in messages_to_json(messages)]


def _values(judgment: Judgment) -> dict[str, Any]:
    """question -> value. Raises DataError for what Argilla has no question for."""
    answer = judgment.answer
    if judgment.kind == "comparison":
        winner = answer["winner"]
        return {"comparison": f"response-{'ab'.index(winner) + 1}" if winner in ("a", "b") else winner}
    if "ranks" in answer:
        order = sorted(range(len(answer["ranks"])), key=lambda at: answer["ranks"][at])
        return {"ranking": [{"value": f"response-{at + 1}", "rank": answer["ranks"][at]} for at in order]}
    if "scores" in answer:
        return dict(answer["scores"])
    if "up" in answer:
        return {"thumbs": "up" if answer["up"] else "down"}
    if "labels" in answer:
        return {"label": list(answer["labels"])}
    if judgment.kind in ("critique", "edit", "demonstration") and "text" in answer:
        return {judgment.kind: answer["text"]}
    if "marks" in answer:
        return {"spans": [{"start": mark["start"], "end": mark["end"], "label": mark["mark"], "field": "response-1"}
                          for mark in answer["marks"]]}
    raise DataError(f"{judgment.kind} answers that Argilla has no question for")
