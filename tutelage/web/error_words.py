"""Errors of every room in the reader's language.

Lower rooms know no languages: they raise errors with an English message. What pages show of them is looked up here by its
shape, in `locales/errors.LANGUAGE.json`:

    {"messages": {"there is no item {}.": "没有条目 {0}。"}, "words": {"seed": "种子"}}

Each {} stands for what was filled in; the translation names them by number, in its own order. What was filled in is kept
as it is, but for the `words`. A test reads every message that a page can show out of the sources, and wants it here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

HOLE = re.compile(r"\{(\d+)\}")


class ErrorWords:
    """The messages of one language."""

    def __init__(self, messages: Mapping[str, str], words: Mapping[str, str]) -> None:
        # Of two shapes that fit, the one with more words of its own is meant.
        order = sorted(messages, key=lambda shape: -len(shape.replace("{}", "")))
        self._shapes = [(_pattern(shape), messages[shape]) for shape in order]
        self._words = dict(words)

    @classmethod
    def of(cls, folder: Path, language: str) -> ErrorWords:
        """The catalogue of a room's folder; an empty one where there is none, as for English."""
        path = folder / "locales" / f"errors.{language}.json"
        read = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"messages": {}, "words": {}}
        return cls(read["messages"], read["words"])

    def say(self, message: str) -> str:
        """`message` in this language; as it is where its shape is not known."""
        for pattern, said in self._shapes:
            if (found := pattern.fullmatch(message)) is not None:
                filled = [self._fill(text) for text in found.groups()]
                return HOLE.sub(lambda hole, filled=filled: filled[int(hole[1])], said)     # type: ignore[misc]
        return message

    def _fill(self, text: str) -> str:
        """A word of ours, another message inside this one, or what somebody typed."""
        return self._words.get(text) or (self.say(text) if text.endswith(".") and " " in text else text)


def _pattern(shape: str) -> re.Pattern[str]:
    return re.compile("(.*?)".join(re.escape(part) for part in shape.split("{}")), re.DOTALL)
