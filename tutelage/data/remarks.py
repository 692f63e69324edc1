"""Rows that say something of a response beside how good it is: passages that are marked in it, and critiques."""

from __future__ import annotations

from typing import Any

from tutelage.data.fields import COMMON, RowObject, given_id, judged, meta_of, required_text
from tutelage.data.instructions import read_prompt
from tutelage.data.rows import RowError, kind_of
from tutelage.data.turns import check_conversation, side, system_first
from tutelage.messages import Messages, messages_to_json, record_id
from tutelage.records import AnnotatorKind, Critique, Marked

_ABOUT = COMMON | {"prompt", "response", "system"}
KNOWN = _ABOUT | {"marks", "critique"}


def marked(row: RowObject, annotator: AnnotatorKind = "human") -> Marked:
    """A response and `marks` in it: `start` and `end` in characters (code points) of the response, `mark` (good, or a word for
    what is bad), and a `note` where there is one."""
    prompt, response = _about(row)
    marks = row.get("marks")
    if not isinstance(marks, list):
        raise RowError(f"marks is {kind_of(marks)}; wanted a list of start, end and mark" if "marks" in row else "has no marks")
    made = tuple(_mark(each, number, len(response[0].text)) for number, each in enumerate(marks, start=1))
    name = given_id(row) or record_id("marked", messages_to_json(prompt), messages_to_json(response), list(made))
    return Marked(id=name, prompt=prompt, response=response, marks=made, meta=meta_of(row, _ABOUT | {"marks"}),
                  **judged(row, annotator))


def critique(row: RowObject, annotator: AnnotatorKind = "human") -> Critique:
    """A response, and what somebody said of it in words."""
    prompt, response = _about(row)
    said = required_text(row, "critique")
    name = given_id(row) or record_id("critique", messages_to_json(prompt), messages_to_json(response), said)
    return Critique(id=name, prompt=prompt, response=response, text=said, meta=meta_of(row, _ABOUT | {"critique"}),
                    **judged(row, annotator))


def _about(row: RowObject) -> tuple[Messages, Messages]:
    prompt, response = system_first(row, read_prompt(row)), side(row.get("response"), "response")
    check_conversation(prompt + response, ends="assistant")
    if len(response) != 1:
        raise RowError(f"response has {len(response)} messages; wanted one")
    return prompt, response


def _mark(mark: Any, number: int, length: int) -> dict[str, Any]:
    if not isinstance(mark, dict) or not isinstance(mark.get("mark"), str) or not mark["mark"].strip():
        raise RowError(f"mark {number} is {kind_of(mark)}; wanted start, end and mark, a word")
    start, end, note = mark.get("start"), mark.get("end"), mark.get("note", "")
    if not (type(start) is int and type(end) is int and 0 <= start < end <= length) or not isinstance(note, str):
        raise RowError(f"mark {number} goes from {str(start)[:20]} to {str(end)[:20]}; wanted whole numbers with 0 <= start "
                       f"< end <= {length}, and a note in words")
    return {"start": start, "end": end, "mark": mark["mark"], **({"note": note} if note else {})}
