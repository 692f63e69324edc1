"""Records as rows of the formats of `formats`: reading what is written here gives the same records again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tutelage.data import instructions, judgments, remarks
from tutelage.data.instructions import INPUT_CHARS
from tutelage.data.rows import RowError
from tutelage.data.turns import transcript
from tutelage.errors import DataError
from tutelage.messages import Message, Messages, messages_id, messages_to_json, record_id
from tutelage.records import Critique, Document, Instruction, Label, Marked, Preference, Prompt, Ranking, Rating, Record, Thumb

KNOWN = instructions.KNOWN | judgments.KNOWN | remarks.KNOWN
_FROM = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


def alpaca(record: Instruction) -> dict[str, Any]:
    system, spoken = _without_system(record.messages)
    roles = ["user", "assistant"] * (len(spoken) // 2)
    if [message.role for message in spoken] != roles or record.tools or not _plain(spoken):
        raise _unsayable(record, "alpaca", "tools, or turns that are not question and answer in turn")
    row: dict[str, Any] = {**_asked(record, spoken[-2].text), "output": spoken[-1].text}
    if system:
        row["system"] = system
    if len(spoken) > 2:
        row["history"] = [[spoken[at].text, spoken[at + 1].text] for at in range(0, len(spoken) - 2, 2)]
    return {**row, **_rest(record)}


def _asked(record: Instruction, text: str) -> dict[str, str]:
    """The prompt cut into instruction and input where a file had it so."""
    further = record.meta.get(INPUT_CHARS, 0)
    if not isinstance(further, int) or not 0 < further <= len(text):
        return {"instruction": text, "input": ""}
    instruction, said = text[:len(text) - further], text[len(text) - further:]
    if instruction and not instruction.endswith("\n"):
        return {"instruction": text, "input": ""}
    return {"instruction": instruction[:-1], "input": said}


def messages(record: Instruction) -> dict[str, Any]:
    return {"messages": _turns(record.messages), **_tools(record), **_rest(record)}


def prompt_response(record: Instruction) -> dict[str, Any]:
    return {"prompt": _said(record.prompt, "user"), "response": _said((record.response,), "assistant"), **_tools(record),
            **_rest(record)}


def sharegpt(record: Instruction) -> dict[str, Any]:
    return {"conversations": _shared(record.messages, record), **_tools(record), **_rest(record)}


def seed_tasks(record: Instruction) -> dict[str, Any]:
    row = alpaca(record)
    if "system" in row or "history" in row:
        raise _unsayable(record, "seed-tasks", "a system message or earlier turns")
    return {"instruction": row.pop("instruction"), "instances": [{"input": row.pop("input"), "output": row.pop("output")}], **row}


def prompts(record: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = {"prompt": _said(record.messages, "user")}
    if record.kind:
        row["kind"] = record.kind
    if record.key_facts:
        row["key_facts"] = [list(forms) for forms in record.key_facts]
    return {**row, **_rest(record)}


def text(record: Document) -> dict[str, Any]:
    return {"text": record.text, **_rest(record)}


def labels(record: Label) -> dict[str, Any]:
    return {"text": record.text, "labels": list(record.labels), **_rest(record)}


def chosen_rejected(record: Preference) -> dict[str, Any]:
    plain = all(_plain(each) for each in (record.prompt, record.chosen, record.rejected)) and len(record.prompt) == 1
    sides = {"prompt": record.prompt, "chosen": record.chosen, "rejected": record.rejected}
    if plain and len(record.chosen) == len(record.rejected) == 1:
        return {**{name: said[0].text for name, said in sides.items()}, **_judged_pair(record)}
    return {**{name: _turns(said) for name, said in sides.items()}, **_judged_pair(record)}


def sharegpt_pairs(record: Preference) -> dict[str, Any]:
    chosen, rejected = (_shared(each, record) for each in (record.chosen, record.rejected))
    return {"conversations": _shared(record.prompt, record), "chosen": chosen[0] if len(chosen) == 1 else chosen,
            "rejected": rejected[0] if len(rejected) == 1 else rejected, **_judged_pair(record)}


def hh(record: Preference) -> dict[str, Any]:
    whole = [(*record.prompt, *record.chosen), (*record.prompt, *record.rejected)]
    if not all(_plain(each) and {message.role for message in each} <= {"user", "assistant"} for each in whole):
        raise _unsayable(record, "hh", "a system message or tools")
    chosen, rejected = ("".join(f"\n\n{'Human' if message.role == 'user' else 'Assistant'}: {message.text}" for message in each)
                        for each in whole)
    if [_again(chosen), _again(rejected)] != whole:
        raise _unsayable(record, "hh", "a turn with the words of another turn's beginning in it")
    return {"chosen": chosen, "rejected": rejected, **_judged_pair(record)}


def _again(text: str) -> Messages:
    try:
        return transcript(text, "")
    except RowError:
        return ()


def revisions(record: Preference) -> dict[str, Any]:
    """`source` says what is better than the response: its revision, one after a critique, or a demonstration."""
    better = "demonstration" if record.source == "demonstration" else "revision"
    meta = dict(record.meta)
    critique = {"critique": meta.pop("critique")} if record.source == "critique" and "critique" in meta else {}
    pair = chosen_rejected(replace(record, meta=meta))
    return {"prompt": pair.pop("prompt"), "response": pair.pop("rejected"), **critique, better: pair.pop("chosen"), **pair}


def marked(record: Marked) -> dict[str, Any]:
    return {"prompt": _said(record.prompt, "user"), "response": _said(record.response, "assistant"),
            "marks": [dict(mark) for mark in record.marks], **_rest(record)}


def critique(record: Critique) -> dict[str, Any]:
    if not record.response:
        raise _unsayable(record, "critiques", "words about no response")
    return {"prompt": _said(record.prompt, "user"), "response": _said(record.response, "assistant"), "critique": record.text,
            **_rest(record)}


def thumbs(record: Thumb) -> dict[str, Any]:
    return {"messages": _turns((*record.prompt, *record.response)), "label": record.up, **_rest(record)}


def ratings(record: Rating) -> dict[str, Any]:
    return {"prompt": _said(record.prompt, "user"), "response": _said(record.response, "assistant"),
            "scores": dict(record.scores), **_rest(record)}


def rankings(record: Ranking) -> dict[str, Any]:
    return {"prompt": _said(record.prompt, "user"), "responses": [_said(each, "assistant") for each in record.responses],
            "ranks": list(record.ranks), **_rest(record)}


def _judged_pair(record: Preference) -> dict[str, Any]:
    extra = {name: value for name, value, default in (("margin", record.margin, 0.0), ("label", record.label, 1.0))
             if value != default}
    return {**extra, **_rest(record)}


def _rest(record: Any) -> dict[str, Any]:
    """What a row says besides: its own name, who judged, and `meta`."""
    rest: dict[str, Any] = {} if record.id == content_id(record) else {"id": record.id}
    for name, default in (("annotator", "human"), ("person", ""), ("weight", 1.0), ("judgment_ids", ())):
        value = getattr(record, name, default)
        if value != default:
            rest[name] = list(value) if isinstance(value, tuple) else value
    for name, value in record.meta.items():
        if name in KNOWN:       # beside the others it would be read as something else
            rest.setdefault("meta", {})[name] = value
        elif name != INPUT_CHARS:
            rest[name] = value
    return rest


def content_id(record: Record) -> str:
    """The name a record has that its row did not name."""
    if isinstance(record, Instruction):
        return messages_id("instruction", record.messages)
    if isinstance(record, Prompt):
        return messages_id("prompt", record.messages)
    if isinstance(record, Document):
        return record_id("document", record.text)
    if isinstance(record, Label):
        return record_id("label", record.text, list(record.labels))
    if isinstance(record, Preference):
        return messages_id("preference", record.prompt, record.chosen, record.rejected)
    if isinstance(record, Thumb):
        return record_id("thumb", messages_to_json(record.prompt), messages_to_json(record.response), record.up)
    if isinstance(record, Rating):
        return record_id("rating", messages_to_json(record.prompt), messages_to_json(record.response), dict(record.scores))
    if isinstance(record, Marked):
        return record_id("marked", messages_to_json(record.prompt), messages_to_json(record.response), list(record.marks))
    if isinstance(record, Critique):
        return record_id("critique", messages_to_json(record.prompt), messages_to_json(record.response), record.text)
    assert isinstance(record, Ranking)
    return record_id("ranking", messages_to_json(record.prompt), [messages_to_json(each) for each in record.responses],
                     list(record.ranks))


def _turns(spoken: Messages) -> list[dict[str, Any]]:
    return [{**message.to_json(), "content": message.text if message.content else None} for message in spoken]


def _said(spoken: Messages, role: str) -> str | list[dict[str, Any]]:
    """One plain turn of that role as its text, anything else as messages."""
    return spoken[0].text if len(spoken) == 1 and spoken[0].role == role and _plain(spoken) else _turns(spoken)


def _shared(spoken: Sequence[Message], record: Any) -> list[dict[str, Any]]:
    if not _plain(spoken):
        raise _unsayable(record, "sharegpt", "tool calls")
    return [{"from": _FROM[message.role], "value": message.text} for message in spoken]


def _plain(spoken: Sequence[Message]) -> bool:
    return not any(message.tool_calls or message.name or message.tool_call_id for message in spoken)


def _tools(record: Instruction) -> Mapping[str, Any]:
    return {"tools": [dict(tool) for tool in record.tools]} if record.tools else {}


def _without_system(spoken: Messages) -> tuple[str, Messages]:
    return (spoken[0].text, spoken[1:]) if spoken[0].role == "system" else ("", spoken)


def _unsayable(record: Any, format: str, what: str) -> DataError:
    return DataError(f"record {record.id} cannot be written as {format}: it has {what}. Choose another --format, such as "
                     "messages or chosen-rejected.")
