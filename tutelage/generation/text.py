"""What the engine needs of text: where a stop string ends a response, and what of one in flight can be shown already."""

from __future__ import annotations

from collections.abc import Sequence

from tutelage.data.chat import ChatTemplate

UNFINISHED = "\ufffd"      # what a tokenizer writes for the bytes of a character that is not whole yet


class StopStrings:
    """Whether a response's text holds one of `strings`, told from its last tokens."""

    def __init__(self, template: ChatTemplate, strings: Sequence[str]) -> None:
        self.template, self.strings = template, tuple(strings)
        self.tail = 4 * max(map(len, self.strings)) + 8      # tokens: a character may take four

    def __call__(self, ids: Sequence[int]) -> bool:
        text = self.template.decode_response(ids[-self.tail :])
        return any(string in text for string in self.strings)


def before_stop(text: str, strings: Sequence[str]) -> str:
    """`text` up to the first of `strings` that it holds."""
    return text[: min((at for string in strings if (at := text.find(string)) >= 0), default=len(text))]


class TextStream:
    """The text of one response as its tokens come: each piece is final, and together they are the sample's text."""

    def __init__(self, template: ChatTemplate, stop_strings: Sequence[str] = ()) -> None:
        self.template, self.strings = template, tuple(stop_strings)
        self.cut = (*self.strings, template.closing) if template.closing else self.strings      # what may not be shown early
        self.ids: list[int] = []
        self.shown = 0

    def take(self, token: int) -> str:
        """What `token` lets be shown: nothing while a character is not whole or the end may begin what is cut off."""
        self.ids.append(token)
        text = self.template.decode_response(self.ids)
        safe = before_stop(text, self.strings)
        if safe == text and token not in self.template.stop_ids:
            safe = text.rstrip(UNFINISHED)
            safe = safe[: len(safe) - _overlap(safe, self.cut)]
        return self._show(safe)

    def rest(self) -> str:
        """What was held back, once the response has ended."""
        return self._show(before_stop(self.template.decode_response(self.ids), self.strings))

    def _show(self, text: str) -> str:
        piece = text[self.shown :]
        self.shown = max(self.shown, len(text))
        return piece


def _overlap(text: str, strings: Sequence[str]) -> int:
    """How many of the last characters begin one of `strings`, or are it."""
    return max((size for string in strings for size in range(1, len(string) + 1) if text.endswith(string[:size])), default=0)
