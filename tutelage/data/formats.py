"""The shapes of rows other people's files have, each turned into one of our records.

    alpaca            instruction, input, output; system and history if there      -> Instruction
    messages          messages: [{role, content}]                                  -> Instruction
    prompt-response   prompt, response (or completion)                             -> Instruction
    prompts           prompt alone; id, kind, key_facts if there                   -> Prompt
    sharegpt          conversations: [{from, value}]; system if there              -> Instruction
    chosen-rejected   prompt (or conversations), chosen, rejected; margin if there -> Preference

A converter takes one JSON object and gives one record, or raises `RowError` with the reason a person is shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast, get_args

from tutelage.data.rows import kind_of
from tutelage.data.turns import (
    RowError,
    check_conversation,
    optional_text,
    pair,
    required_text,
    system_first,
    turns,
)
from tutelage.errors import DataError
from tutelage.records import (
    AnnotatorKind,
    Instruction,
    Message,
    Messages,
    Preference,
    Prompt,
    messages_to_json,
    record_id,
)

Record = Instruction | Preference | Prompt
RowObject = Mapping[str, Any]


def alpaca(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    """Stanford Alpaca's row; instruction and input are joined by a line break, as LLaMA-Factory does."""
    asked = [optional_text(row, key) for key in ("instruction", "input")]
    prompt = "\n".join(text for text in asked if text)
    if not prompt:
        raise RowError("empty instruction")
    messages = [*_history(row.get("history")), Message.of("user", prompt), _response(row, "output")]
    return _instruction(system_first(row, tuple(messages)))


def _history(value: Any) -> list[Message]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise RowError(f"history is {kind_of(value)}; wanted a list of [question, answer] pairs")
    earlier = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(text, str) and text.strip()
                                                                            for text in turn):
            raise RowError(f"history {number} is not a [question, answer] pair of strings that say something")
        earlier += [Message.of("user", turn[0]), Message.of("assistant", turn[1])]
    return earlier


def messages(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    _refuse_label(row)
    return _instruction(system_first(row, turns(row.get("messages"), "messages")))


def sharegpt(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    _refuse_label(row)
    return _instruction(system_first(row, turns(row.get("conversations"), "conversations")))


def prompt_response(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    _refuse_label(row)
    key = "response" if "response" in row else "completion"
    if isinstance(row.get(key), list):
        response = turns(row[key], key)
    else:
        response = (_response(row, key),)
    return _instruction(system_first(row, _prompt(row) + response), row.get("id"))


def prompts(row: RowObject, annotator: AnnotatorKind = "human") -> Prompt:
    """A prompt with nothing wanted: for sampling, RL and evaluation."""
    asked = system_first(row, _prompt(row))
    check_conversation(asked, ends="user")
    kind, facts = optional_text(row, "kind"), _key_facts(row.get("key_facts"))
    name = _given_id(row.get("id")) or record_id("prompt", messages_to_json(asked))
    return Prompt(id=name, messages=asked, kind=kind, key_facts=facts)


def chosen_rejected(row: RowObject, annotator: AnnotatorKind = "human") -> Preference:
    """Two responses to one prompt, or two conversations that begin alike: what they share is the prompt."""
    given: Messages | str | None = None
    if row.get("conversations") is not None:
        given = turns(row["conversations"], "conversations")
    elif isinstance(row.get("prompt"), list):
        given = turns(row["prompt"], "prompt")
    elif row.get("prompt") is not None:
        given = required_text(row, "prompt")
    prompt, chosen, rejected = pair(given, row.get("chosen"), row.get("rejected"))
    prompt = system_first(row, prompt)
    check_conversation(prompt + chosen, ends="assistant")
    check_conversation(prompt + rejected, ends="assistant")
    name = record_id("preference", *map(messages_to_json, (prompt, chosen, rejected)))
    return Preference(id=name, prompt=prompt, chosen=chosen, rejected=rejected, margin=_margin(row.get("margin")),
                      annotator=_annotator(row.get("annotator"), annotator))


def _response(row: RowObject, key: str) -> Message:
    text = required_text(row, key, empty=True)
    if not text.strip():
        raise RowError(f"empty response: {key} holds no text")
    return Message.of("assistant", text)


def _prompt(row: RowObject) -> Messages:
    if isinstance(row.get("prompt"), list):
        return turns(row["prompt"], "prompt")
    return (Message.of("user", required_text(row, "prompt")),)


def _instruction(conversation: Messages, name: Any = None) -> Instruction:
    check_conversation(conversation, ends="assistant")
    return Instruction(id=_given_id(name) or record_id("instruction", messages_to_json(conversation)),
                       messages=conversation)


def _given_id(value: Any) -> str:
    return value if isinstance(value, str) and value.strip() else ""


def _refuse_label(row: RowObject) -> None:
    # A row that a person liked or disliked: to train on both as wanted responses would be silent and wrong.
    if isinstance(row.get("label"), bool):
        raise RowError("has a boolean label (kto); a judged response is not a wanted response")


def _key_facts(value: Any) -> tuple[tuple[str, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(_is_fact(forms) for forms in value):
        raise RowError("key_facts is not a list of lists of strings: one list a fact, one string a form that says it")
    return tuple(tuple(forms) for forms in value)


def _is_fact(forms: Any) -> bool:
    return isinstance(forms, list) and bool(forms) and all(isinstance(form, str) and form.strip() for form in forms)


def _margin(value: Any) -> float:
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise RowError(f"margin is {kind_of(value)}; wanted a finite number")
    return float(value)


def _annotator(value: Any, declared: AnnotatorKind) -> AnnotatorKind:
    if value is None:
        return declared
    if value not in get_args(AnnotatorKind):
        raise RowError(f"annotator is {value!r}; wanted one of {', '.join(get_args(AnnotatorKind))}")
    return cast(AnnotatorKind, value)


FORMATS: dict[str, Callable[[RowObject, AnnotatorKind], Record]] = {
    "alpaca": alpaca, "messages": messages, "prompt-response": prompt_response, "prompts": prompts,
    "sharegpt": sharegpt, "chosen-rejected": chosen_rejected}
_KEYS = ("alpaca (instruction, output), messages (messages), prompt-response (prompt, response), prompts (prompt), "
         "sharegpt (conversations), chosen-rejected (chosen, rejected)")


def detect(rows: Sequence[RowObject], name: str) -> str:
    """The format most of the first rows have by their keys; rows of another are refused later, each with a reason.

    Raises:
        DataError: if they have none, or one that is not read here.
    """
    votes = Counter(found for row in rows if (found := _format_of(row)))
    if not votes:
        keys = ", ".join(sorted({str(key) for row in rows for key in row})) or "none"
        raise DataError(f"{name} has rows of a format that is not known. Keys seen: {keys[:300]}. "
                        f"Wanted one of: {_KEYS}. Rename the keys, or name the format with --format.")
    best = votes.most_common(1)[0][0]
    if best == "kto":
        raise DataError(f"{name} is in kto's format: one response a row with a boolean label. It is not read here: a "
                        "disliked response is not a wanted one, and one response is not a pair. "
                        f"Wanted one of: {_KEYS}.")
    return best


def _format_of(row: RowObject) -> str:
    has = row.keys()
    if "chosen" in has and "rejected" in has:
        return "chosen-rejected"
    if isinstance(row.get("label"), bool) and has & {"messages", "conversations", "completion", "response"}:
        return "kto"
    for key, found in (("messages", "messages"), ("conversations", "sharegpt")):
        if key in has:
            return found
    if "instruction" in has and "output" in has:
        return "alpaca"
    if "prompt" in has:
        return "prompt-response" if has & {"response", "completion"} else "prompts"
    return ""
