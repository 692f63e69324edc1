"""Conversations as other people write them, brought into ours and checked: what every format of `formats` builds on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tutelage.data.rows import kind_of
from tutelage.records import Message, Messages, Role

# Both spellings are read anywhere: files mix them, and no word means two roles.
_ROLES: dict[str, Role] = {
    "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "observation": "tool"}


class RowError(ValueError):
    """Why one row cannot be a record. It never leaves `sources.read_file`, which makes it a `Refusal`."""


def required_text(row: Mapping[str, Any], key: str, *, empty: bool = False) -> str:
    if key not in row:
        raise RowError(f"has no {key}")
    if not isinstance(row[key], str):
        raise RowError(f"{key} is {kind_of(row[key])}; wanted a string")
    if not empty and not row[key].strip():
        raise RowError(f"empty {key}")
    return str(row[key])


def optional_text(row: Mapping[str, Any], key: str) -> str:
    """The text, or "" where the key is absent, null or blank."""
    if row.get(key) is None:
        return ""
    text = required_text(row, key, empty=True)
    return text if text.strip() else ""


def turns(value: Any, name: str) -> Messages:
    """Messages of a list of {role, content} or {from, value} objects.

    Raises:
        RowError: naming the turn that is not one.
    """
    if not isinstance(value, list):
        raise RowError(f"{name} is {kind_of(value)}; wanted a list of turns")
    if not value:
        raise RowError(f"{name} is an empty list")
    return tuple(_turn(turn, f"{name} {number}") for number, turn in enumerate(value, start=1))


def _turn(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise RowError(f"{name} is {kind_of(value)}; wanted an object with role and content (or from and value)")
    said_by, said = ("role", "content") if "role" in value else ("from", "value")
    word = value.get(said_by)
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        raise RowError(f"{name} has the unknown role {str(word)[:40]!r}; wanted one of {', '.join(_ROLES)}")
    if value.get("tool_calls"):
        raise RowError(f"{name} calls a tool; only text is read")
    text = _content(value.get(said), f"{name} ({role})")
    if not text.strip():
        raise RowError(f"empty response: {name} holds no text" if role == "assistant" else f"{name} ({role}) is empty")
    return Message.of(role, text)


def _content(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RowError(f"the content of {name} is {kind_of(value)}; wanted a string")
    for part in value:
        if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
            kind = part.get("type") if isinstance(part, dict) else kind_of(part)
            raise RowError(f"{name} has a part of type {str(kind)[:40]!r}; only text is read")
    return "".join(part["text"] for part in value)


def system_first(row: Mapping[str, Any], messages: Messages) -> Messages:
    """The conversation with the row's own `system` text before it, where it has one."""
    text = optional_text(row, "system")
    if not text:
        return messages
    if messages[0].role == "system":
        raise RowError("has two system messages: the key system and the first turn")
    return (Message.of("system", text), *messages)


def check_conversation(messages: Messages, ends: Literal["user", "assistant"]) -> None:
    """Refuse what no chat template can render or no loss can use.

    `ends` says who must have spoken last: the assistant where there is something to train on, anybody else in a
    prompt.
    """
    roles = [message.role for message in messages]
    if "system" in roles[1:]:
        raise RowError(f"turn {roles.index('system', 1) + 1} is a system message; wanted it first or not at all")
    spoken = roles[1:] if roles[0] == "system" else roles
    if not spoken:
        raise RowError("has a system message and nothing else")
    if ends == "assistant" and "assistant" not in spoken:
        raise RowError("no assistant turn, so nothing to train on")
    if spoken[0] == "assistant":
        raise RowError("the assistant speaks first, so there is no prompt")
    for number in range(1, len(roles)):
        if roles[number] == roles[number - 1] == "assistant":
            raise RowError(f"turns {number} and {number + 1} are both the assistant's")
    if ends == "assistant" and spoken[-1] != "assistant":
        raise RowError(f"ends with a turn of the {spoken[-1]}; wanted the assistant's response last")
    if ends == "user" and spoken[-1] == "assistant":
        raise RowError("the prompt ends with the assistant's turn; wanted the user's")


def pair(given: Messages | str | None, chosen: Any, rejected: Any) -> tuple[Messages, Messages, Messages]:
    """(prompt, chosen, rejected) of a comparison, whichever way the file cut it.

    The two are responses (a string, a turn, or turns that begin with the assistant), or whole conversations; of those
    the shared beginning is the prompt, and a prompt given besides must be its beginning or its last question.
    """
    better, worse = _side(chosen, "chosen"), _side(rejected, "rejected")
    whole = better[0].role != "assistant"
    if whole != (worse[0].role != "assistant"):
        raise RowError("of chosen and rejected one is a response and the other a whole conversation")
    if _words(better) == _words(worse):
        raise RowError("chosen == rejected: nothing is preferred")
    if not whole:
        if given is None:
            raise RowError("has no prompt: no prompt, no conversations, and chosen and rejected are bare responses")
        return _as_messages(given), better, worse
    shared = _shared(better, worse)
    prompt, better, worse = better[:shared], better[shared:], worse[shared:]
    if not prompt:
        raise RowError("chosen and rejected answer different prompts: they share no turn")
    if not better or not worse:
        raise RowError("one of chosen and rejected is the beginning of the other")
    if better[0].role != "assistant" or worse[0].role != "assistant":
        raise RowError(f"chosen and rejected part at turn {shared + 1}, which is not the assistant's in both")
    if given is not None and not _begins(prompt, given):
        raise RowError("prompt is not how chosen and rejected begin")
    return prompt, better, worse


def _side(value: Any, name: str) -> Messages:
    if isinstance(value, str):
        if not value.strip():
            raise RowError(f"empty response: {name} holds no text")
        return (Message.of("assistant", value),)
    if isinstance(value, dict):
        return (_turn(value, name),)
    if value is None:
        raise RowError(f"has no {name}")
    return turns(value, name)


def _words(messages: Messages) -> list[tuple[str, str]]:
    return [(message.role, message.text.strip()) for message in messages]


def _as_messages(given: Messages | str) -> Messages:
    return (Message.of("user", given),) if isinstance(given, str) else given


def _shared(left: Messages, right: Messages) -> int:
    for count, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return count
    return min(len(left), len(right))


def _begins(prompt: Messages, given: Messages | str) -> bool:
    if isinstance(given, str):
        return any(message.role == "user" and message.text == given for message in prompt)
    return prompt[:len(given)] == given
