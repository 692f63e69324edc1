"""Who said what: the turns of a conversation, their canonical JSON, and names made of content.

A `Message` holds parts, never a bare string, so that an image can join later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring as quoted
from typing import Any, Literal, Self

from tutelage.errors import DataError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Text:
    """The one kind of part there is today."""

    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who said it, and its parts in order.

    `tool_calls` are what the assistant calls, as other tools write them ({"type": "function", "function": {name,
    arguments}}); the tool's answer names the call in `tool_call_id`. `name` is the speaker's or the tool's.
    """

    role: Role
    content: tuple[Text, ...]
    tool_calls: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    name: str = ""
    tool_call_id: str = ""

    @classmethod
    def of(cls, role: Role, text: str) -> Self:
        return cls(role, (Text(text),))

    @property
    def text(self) -> str:
        return self.content[0].text if len(self.content) == 1 else "".join(part.text for part in self.content)

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = {"role": self.role, "content": [{"type": "text", "text": part.text} for part in self.content]}
        if self.tool_calls:
            value["tool_calls"] = [dict(call) for call in self.tool_calls]
        if self.name:
            value["name"] = self.name
        if self.tool_call_id:
            value["tool_call_id"] = self.tool_call_id
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        try:
            role, content = value["role"], value["content"]
        except (KeyError, TypeError):
            raise DataError(f"a message must have a role and a content; got {str(value)[:80]!r}.") from None
        if role not in ROLES:
            raise DataError(f"a message has the role {role!r}; wanted one of {', '.join(ROLES)}.")
        try:
            parts = (Text(content),) if isinstance(content, str) else tuple(Text(part["text"]) for part in content)
        except (KeyError, TypeError):
            raise DataError(f"a message's content must be text or text parts; got {str(content)[:80]!r}.") from None
        return cls(role, parts, tuple(value.get("tool_calls", ())), value.get("name", ""), value.get("tool_call_id", ""))


Messages = tuple[Message, ...]


def messages_to_json(messages: Sequence[Message]) -> list[dict[str, Any]]:
    return [message.to_json() for message in messages]


def messages_from_json(values: Sequence[Mapping[str, Any]]) -> Messages:
    return tuple(Message.from_json(value) for value in values)


canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


_written_lately: dict[int, tuple[Messages, str]] = {}


def canonical_messages(messages: Messages) -> str:
    """Canonical JSON of `messages_to_json(messages)`, put together by hand: most of an import's time is this.

    Its name and its line in a row file want it of the same messages one after the other, so the last few are kept.
    """
    kept = _written_lately.get(id(messages))
    if kept is not None and kept[0] is messages:
        return kept[1]
    text = "[" + ",".join([
        f'{{"content":[{{"text":{quoted(message.content[0].text)},"type":"text"}}],"role":"{message.role}"}}'
        if len(message.content) == 1 and not (message.tool_calls or message.name or message.tool_call_id)
        else canonical(message.to_json()) for message in messages]) + "]"
    if len(text) < 1 << 16:      # long ones are not worth their memory
        if len(_written_lately) >= 8:
            _written_lately.clear()
        _written_lately[id(messages)] = messages, text
    return text


def record_id(*parts: Any) -> str:
    """A record's name by its content: 16 hex digits that any machine computes alike."""
    return _named(canonical(parts))


def messages_id(kind: str, *parts: Messages) -> str:
    """`record_id` of parts that are all messages."""
    return _named(f'["{kind}",{",".join(map(canonical_messages, parts))}]')


def _named(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
