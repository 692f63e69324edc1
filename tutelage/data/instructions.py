"""Rows that nobody judged: instructions with wanted responses, prompts, documents and labelled texts.

A converter takes one JSON object and gives one record (or several), or raises `RowError` with the reason a person is
shown. `annotator` is who wrote it where the row does not say.
"""

from __future__ import annotations

from typing import Any

from tutelage.data.fields import (
    COMMON,
    RowObject,
    first_of,
    given_id,
    judged,
    meta_of,
    optional_text,
    required_text,
)
from tutelage.data.rows import RowError, kind_of
from tutelage.data.turns import (
    check_conversation,
    is_transcript,
    system_first,
    tools_of,
    transcript,
    turns,
)
from tutelage.messages import Message, Messages, messages_id, record_id
from tutelage.records import AnnotatorKind, Document, Instruction, Label, Prompt

INPUT_CHARS = "input_chars"      # in `meta`: how much of an alpaca prompt came from its `input`, to write it back as it was

_ALPACA = COMMON | {"instruction", "input", "output", "system", "history", "tools"}
_MESSAGES = COMMON | {"messages", "system", "tools"}
_SHAREGPT = COMMON | {"conversations", "system", "tools"}
_PROMPT_RESPONSE = COMMON | {"prompt", "response", "completion", "system", "tools"}
_PROMPTS = COMMON | {"prompt", "system", "kind", "key_facts", "wanted"}
_TASKS = COMMON | {"instruction", "instances", "input", "output"}
_LABELS = COMMON | {"text", "label", "labels"}
KNOWN = _ALPACA | _MESSAGES | _SHAREGPT | _PROMPT_RESPONSE | _PROMPTS | _TASKS | _LABELS


def alpaca(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    """Stanford Alpaca's row; instruction and input are joined by a line break, as LLaMA-Factory does."""
    prompt, further = read_asked(row)
    return _instruction(row, (*read_history(row), prompt, read_response(row, "output")), annotator, _ALPACA, further)


def read_asked(row: RowObject) -> tuple[Message, int]:
    """The prompt of an alpaca row, and how many characters of it are its `input`."""
    instruction, further = optional_text(row, "instruction"), optional_text(row, "input")
    if not instruction and not further:
        raise RowError("empty instruction")
    return Message.of("user", f"{instruction}\n{further}" if instruction and further else instruction or further), len(further)


def read_history(row: RowObject) -> Messages:
    """Earlier questions and answers of an alpaca row."""
    value = row.get("history")
    if value is None:
        return ()
    if not isinstance(value, list):
        raise RowError(f"history is {kind_of(value)}; wanted a list of [question, answer] pairs")
    earlier: list[Message] = []
    for number, turn in enumerate(value, start=1):
        if not isinstance(turn, list) or len(turn) != 2 or not all(isinstance(text, str) and text.strip() for text in turn):
            raise RowError(f"history {number} is not a [question, answer] pair of strings that say something")
        earlier += [Message.of("user", turn[0]), Message.of("assistant", turn[1])]
    return tuple(earlier)


def messages(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    return _instruction(row, turns(row.get("messages"), "messages"), annotator, _MESSAGES)


def sharegpt(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    return _instruction(row, turns(row.get("conversations"), "conversations"), annotator, _SHAREGPT)


def prompt_response(row: RowObject, annotator: AnnotatorKind = "human") -> Instruction:
    said = read_responses(row, first_of(row, "response", "completion"))
    return _instruction(row, read_prompt(row) + said, annotator, _PROMPT_RESPONSE)


def seed_tasks(row: RowObject, annotator: AnnotatorKind = "human") -> tuple[Instruction, ...]:
    """Self-Instruct's seed task (Wang et al. 2022): one instruction, and an instruction record for each of its instances."""
    instances = row.get("instances")
    if not isinstance(instances, list) or not instances:
        raise RowError(f"instances is {kind_of(instances)}; wanted a list of {{input, output}} objects, one at least")
    made = []
    for number, instance in enumerate(instances, start=1):
        if not isinstance(instance, dict):
            raise RowError(f"instance {number} is {kind_of(instance)}; wanted an object with input and output")
        name = given_id(row)
        whole = {**row, "input": instance.get("input"), "output": instance.get("output"),
                 "id": f"{name}#{number}" if name and len(instances) > 1 else name}
        question, further = read_asked(whole)
        made.append(_instruction(whole, (question, read_response(whole, "output")), annotator, _TASKS, further))
    return tuple(made)


def prompts(row: RowObject, annotator: AnnotatorKind = "human") -> Prompt:
    """A prompt with nothing wanted: for sampling, RL and evaluation."""
    conversation = system_first(row, read_prompt(row))
    check_conversation(conversation, ends="user")
    kind, facts = optional_text(row, "kind"), _key_facts(row.get("key_facts"))
    return Prompt(id=given_id(row) or messages_id("prompt", conversation), messages=conversation, kind=kind,
                  key_facts=facts, wanted=optional_text(row, "wanted"), meta=meta_of(row, _PROMPTS))


def text(row: RowObject, annotator: AnnotatorKind = "human") -> Document:
    said = required_text(row, "text")
    return Document(id=given_id(row) or record_id("document", said), text=said, meta=meta_of(row, COMMON | {"text"}))


def labels(row: RowObject, annotator: AnnotatorKind = "human") -> Label:
    """A text and its class or classes: a name, a number, a list of them, or an object of name and whether it applies."""
    said, key = required_text(row, "text"), first_of(row, "labels", "label")
    if row.get(key) is None:
        raise RowError(f"has no {key}")
    names = _classes(row[key], key)
    name = given_id(row) or record_id("label", said, list(names))
    return Label(id=name, text=said, labels=names, meta=meta_of(row, _LABELS), **judged(row, annotator))


def _classes(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, dict):
        if not all(isinstance(each, bool) or each in (0, 1) for each in value.values()):
            raise RowError(f"{key} is an object whose values are not true or false for every class")
        return tuple(name for name, applies in value.items() if applies)
    names = value if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str | int) or (isinstance(name, str) and not name.strip()):
            raise RowError(f"{key} is or holds {kind_of(name)}; wanted names or numbers of classes")
    return tuple(str(name).lower() if isinstance(name, bool) else str(name) for name in names)


def read_prompt(row: RowObject) -> Messages:
    """The row's `prompt`: a string, a transcript or messages."""
    if isinstance(row.get("prompt"), list):
        return turns(row["prompt"], "prompt")
    said = required_text(row, "prompt")
    return transcript(said, "prompt") if is_transcript(said) else (Message.of("user", said),)


def read_response(row: RowObject, key: str) -> Message:
    said = required_text(row, key, empty=True)
    if not said.strip():
        raise RowError(f"empty response: {key} holds no text")
    return Message.of("assistant", said)


def read_responses(row: RowObject, key: str) -> Messages:
    return turns(row[key], key) if isinstance(row.get(key), list) else (read_response(row, key),)


def _instruction(row: RowObject, conversation: Messages, annotator: AnnotatorKind, known: frozenset[str],
                 further: int = 0) -> Instruction:
    # A row that a person liked or disliked: to train on both as wanted responses would be silent and wrong.
    if isinstance(row.get("label"), bool):
        raise RowError("has a boolean label (kto); a judged response is not a wanted response")
    if row.get("system"):
        conversation = system_first(row, conversation)
    check_conversation(conversation, ends="assistant")
    said = judged(row, annotator)
    return Instruction(id=given_id(row) or messages_id("instruction", conversation), messages=conversation,
                       annotator=said["annotator"], person=said["person"], judgment_ids=said["judgment_ids"], tools=tools_of(row),
                       meta={**meta_of(row, known), INPUT_CHARS: further} if further else meta_of(row, known))


def _key_facts(value: Any) -> tuple[tuple[str, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(_is_fact(forms) for forms in value):
        raise RowError("key_facts is not a list of lists of strings: one list a fact, one string a form that says it")
    return tuple(tuple(forms) for forms in value)


def _is_fact(forms: Any) -> bool:
    return isinstance(forms, list) and bool(forms) and all(isinstance(form, str) and form.strip() for form in forms)
