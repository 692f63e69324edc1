"""Conversations as other people write them, brought into ours and checked: what every format of `formats` builds on."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tutelage.data.fields import RowObject, check_depth, optional_text
from tutelage.data.rows import RowError, kind_of, parse_value
from tutelage.messages import Message, Messages, Role, Text

# Both spellings are read anywhere: files mix them, and no word means two roles.
_ROLES: dict[str, Role] = {
    "system": "system", "user": "user", "assistant": "assistant", "tool": "tool",
    "human": "user", "gpt": "assistant", "chatgpt": "assistant", "observation": "tool"}
_CALLS = ("function_call", "tool_call")      # roles of a turn whose text is what the assistant calls
_SPOKEN = re.compile(r"\n\n(Human|Assistant):")


def turns(value: Any, name: str) -> Messages:
    """Messages of a list of {role, content} or {from, value} objects.

    Raises:
        RowError: naming the turn that is not one.
    """
    if not isinstance(value, list):
        raise RowError(f"{name} is {kind_of(value)}; wanted a list of turns")
    if not value:
        raise RowError(f"{name} is an empty list")
    return tuple([_turn(turn, f"{name} {number}") for number, turn in enumerate(value, start=1)])


def _turn(value: Any, name: str) -> Message:
    if not isinstance(value, dict):
        raise RowError(f"{name} is {kind_of(value)}; wanted an object with role and content (or from and value)")
    said_by, said = ("role", "content") if "role" in value else ("from", "value")
    word = value.get(said_by)
    role = _ROLES.get(word) if isinstance(word, str) else None
    if role is None:
        if word in _CALLS:
            return Message("assistant", (), tool_calls(value.get(said), name))
        raise RowError(f"{name} has the unknown role {str(word)[:40]!r}; wanted one of {', '.join(_ROLES)}")
    calls = tool_calls(value["tool_calls"], name) if value.get("tool_calls") else ()
    text = "" if calls and value.get(said) is None else _content(value.get(said), f"{name} ({role})")
    if calls and role != "assistant":
        raise RowError(f"{name} ({role}) calls a tool; only the assistant can")
    if not calls and not text.strip():
        raise RowError(f"empty response: {name} holds no text" if role == "assistant" else f"{name} ({role}) is empty")
    named = {key: optional_text(value, key) for key in ("name", "tool_call_id") if key in value}
    return Message(role, (Text(text),) if text else (), calls, **named)


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


def tool_calls(value: Any, name: str) -> tuple[Mapping[str, Any], ...]:
    """What the assistant calls: OpenAI's tool_calls, or one {name, arguments} object or a list of them, perhaps as text."""
    given = parse_value(value) if isinstance(value, str) else value
    calls = given if isinstance(given, list) else [given]
    check_depth(calls, name)
    for call in calls:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise RowError(f"{name} calls a tool without a name; wanted {{name, arguments}}")
    return tuple(call if "function" in call else {"type": "function", "function": call} for call in calls)


def tools_of(row: RowObject) -> tuple[Mapping[str, Any], ...]:
    """The schemas of the tools the assistant may call: a list of objects, perhaps written as a text."""
    value = row.get("tools")
    if value is None or value in ("", []):
        return ()
    schemas = parse_value(value) if isinstance(value, str) else value
    if not isinstance(schemas, list) or not all(isinstance(schema, dict) for schema in schemas):
        raise RowError(f"tools is {kind_of(value)}; wanted a list of JSON schemas")
    check_depth(schemas, "tools")
    return tuple(schemas)


def system_first(row: RowObject, messages: Messages) -> Messages:
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
    better, worse = side(chosen, "chosen"), side(rejected, "rejected")
    whole = better[0].role != "assistant"
    if whole != (worse[0].role != "assistant"):
        raise RowError("of chosen and rejected one is a response and the other a whole conversation")
    if _words(better) == _words(worse):
        raise RowError("chosen == rejected: nothing is preferred")
    if not whole:
        if given is None:
            raise RowError("has no prompt: no prompt, no conversations, and chosen and rejected are bare responses")
        return _as_messages(given), better, worse
    prompt, better, worse = part(better, worse)
    if given is not None and not _begins(prompt, given):
        raise RowError("prompt is not how chosen and rejected begin")
    return prompt, better, worse


def part(better: Messages, worse: Messages) -> tuple[Messages, Messages, Messages]:
    """Two conversations as the beginning they share, which is the prompt, and how each goes on."""
    shared = _shared(better, worse)
    prompt, better, worse = better[:shared], better[shared:], worse[shared:]
    if not prompt:
        raise RowError("chosen and rejected answer different prompts: they share no turn")
    if not better or not worse:
        raise RowError("one of chosen and rejected is the beginning of the other")
    if better[0].role != "assistant" or worse[0].role != "assistant":
        raise RowError(f"chosen and rejected part at turn {shared + 1}, which is not the assistant's in both")
    return prompt, better, worse


def side(value: Any, name: str) -> Messages:
    """One response, or one whole conversation: a string, a turn or a list of turns."""
    if isinstance(value, str):
        if not value.strip():
            raise RowError(f"empty response: {name} holds no text")
        return (Message.of("assistant", value),)
    if isinstance(value, dict):
        return (_turn(value, name),)
    if value is None:
        raise RowError(f"has no {name}")
    return turns(value, name)


def is_transcript(text: Any) -> bool:
    return isinstance(text, str) and text.lstrip("\n").startswith("Human:") and "\n\nAssistant:" in text


def transcript(text: str, name: str) -> Messages:
    """Turns of "\\n\\nHuman: … \\n\\nAssistant: …" (Bai et al. 2022). An empty turn of the assistant at the end, where a
    prompt stops, is left out.
    """
    pieces = _SPOKEN.split("\n\n" + text.lstrip("\n"))
    if pieces[0].strip() or len(pieces) < 3:
        raise RowError(f"{name} is no transcript; wanted it to begin with 'Human: '")
    spoken = [(speaker, said.removeprefix(" ")) for speaker, said in zip(pieces[1::2], pieces[2::2], strict=True)]
    if spoken[-1][0] == "Assistant" and not spoken[-1][1].strip():
        spoken.pop()
    for number, (speaker, said) in enumerate(spoken, start=1):
        if not said.strip():
            raise RowError(f"{name}: turn {number} ({speaker}) is empty")
    if not spoken:
        raise RowError(f"{name} holds no turn that says something")
    return tuple(Message.of("user" if speaker == "Human" else "assistant", said) for speaker, said in spoken)


def _words(messages: Messages) -> Sequence[Any]:
    return [(message.role, message.text.strip(), message.tool_calls) for message in messages]


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
