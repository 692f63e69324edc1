"""A rendered row made visible: whose each token is, and which are trained on. The quickest look at a wrong mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tutelage.data.chat import Rendered

COLOURS = {"system": "\033[35m", "user": "\033[34m", "assistant": "\033[32m", "tool": "\033[33m",
           "template": "\033[90m"}
_UNDERLINED, _DIM, _PLAIN = "\033[4m", "\033[2m", "\033[0m"


def legend(colour: bool) -> str:
    if not colour:
        return "[role] whose text it is ([template] what the template adds), ‹…› trained on, ids below"
    roles = " ".join(f"{code}{role}{_PLAIN}" for role, code in COLOURS.items())
    return f"{roles}, {_UNDERLINED}trained on{_PLAIN}, {_DIM}ids{_PLAIN}"


def paint(text: str, role: str, colour: bool) -> str:
    return f"{COLOURS[role]}{text}{_PLAIN}" if colour else text


def printable(text: str) -> str:
    """The text without what could steer a terminal: control characters but line breaks and tabs are shown as �."""
    return "".join(char if char in "\n\t" or (char >= " " and not "\x7f" <= char <= "\x9f") else "�" for char in text)


def token_lines(tokenizer: Any, rendered: Rendered, colour: bool) -> Iterator[str]:
    """Two lines a span: its text as the tokens say it, with line breaks written out, and its ids."""
    for span in rendered.spans:
        ids = list(rendered.ids[span.start:span.end])
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        text = printable(text).replace("\n", "⏎")
        numbers = " ".join(map(str, ids))
        if colour:
            yield f"{COLOURS[span.role]}{_UNDERLINED if span.trained else ''}{text}{_PLAIN}"
            yield f"    {_DIM}{numbers}{_PLAIN}"
        else:
            yield f"[{span.role}] {f'‹{text}›' if span.trained else text}"
            yield f"    {numbers}"
