"""What a record of any kind says: its prompt, its responses, and a copy of it with every text changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from tutelage.messages import Message, record_id
from tutelage.records import Document, Instruction, Label, Prompt, Ranking

# Fields that hold no text of people: names, numbers, and who judged. An `id` that a row came with may be anything.
_NO_TEXT = frozenset(("role", "type", "annotator", "person", "judgment_ids", "weight", "margin", "label", "labels", "up",
                      "scores", "ranks", "kind"))


def prompt_messages(record: Any) -> Sequence[Message]:
    """The messages a record asks with; none for a document or a labelled text."""
    if isinstance(record, Prompt):
        return record.messages
    return cast(Sequence[Message], getattr(record, "prompt", ()))


def prompt_text(record: Any) -> str:
    """All that is said before the response; of a document or labelled text, the text."""
    if isinstance(record, Document | Label):
        return record.text
    return "\n".join(message.text for message in prompt_messages(record))


def asked(record: Any) -> str:
    """The last thing the user says before the response, or the text where there is no conversation."""
    if isinstance(record, Document | Label):
        return record.text
    return next((message.text for message in reversed(prompt_messages(record)) if message.role == "user"), "")


def responses(record: Any) -> list[str]:
    """The texts a record gives as responses, the wanted one first; of a document its text, of a prompt none."""
    if isinstance(record, Document):
        return [record.text]
    if isinstance(record, Instruction):
        return [record.response.text]
    if isinstance(record, Ranking):
        return [_joined(each) for each in record.responses]
    return [_joined(getattr(record, side)) for side in ("chosen", "rejected", "response") if hasattr(record, side)]


def _joined(messages: Sequence[Message]) -> str:
    return "\n".join(message.text for message in messages)


def whole_text(record: Any) -> str:
    """Everything a record says, for comparing records: two pairs of one prompt differ by their responses."""
    if isinstance(record, Document | Label):
        return record.text
    return "\n".join([prompt_text(record), *responses(record)])


def all_texts(record: Any) -> list[str]:
    """Every text in a record, `meta` and tools too, as `changed` would meet them."""
    found: list[str] = []

    def keep(text: str) -> str:
        found.append(text)
        return text

    changed_json(record.to_json(), keep)
    return found


def changed(record: Any, change: Callable[[str], str]) -> Any:
    """The record with `change` applied to every text in it.

    Where that changes anything it has a new id, made from what it now says: the old one is a hash of the old text (or
    was given by its writer), by which whoever guesses the text could tell that the guess is right.
    """
    before = record.to_json()
    after = changed_json(before, change)
    if after == before:
        return record
    after["id"] = ""
    kind = type(record).__name__.lower()
    return type(record).from_json({**after, "id": record_id(kind, after)})


def changed_json(value: Any, change: Callable[[str], str], name: str = "") -> Any:
    """JSON with `change` applied to each string that is somebody's text."""
    if isinstance(value, str):
        return value if name in _NO_TEXT else change(value)
    if isinstance(value, dict):
        # Inside `meta` the names are other people's: everything there may be text.
        return {key: changed_json(item, change, "meta" if name == "meta" else key) for key, item in value.items()}
    if isinstance(value, list):
        return [changed_json(item, change, name) for item in value]
    return value
