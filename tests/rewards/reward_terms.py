"""Terms of plain strings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tutelage.messages import Message, Messages
from tutelage.records import Critique, Marked, Preference, Ranking, Rating, Thumb


def asked(text: str) -> Messages:
    return (Message.of("user", text),)


def said(text: str) -> Messages:
    return (Message.of("assistant", text),)


def pair(prompt: str, chosen: str, rejected: str, **rest: Any) -> Preference:
    return Preference(**{"id": f"{prompt}:{chosen}>{rejected}", "prompt": asked(prompt), "chosen": said(chosen),
                         "rejected": said(rejected), **rest})


def ranking(prompt: str, responses: Sequence[str], ranks: Sequence[int], **rest: Any) -> Ranking:
    return Ranking(id=f"{prompt}:{responses}", prompt=asked(prompt), responses=tuple(map(said, responses)), ranks=tuple(ranks),
                   **rest)


def rating(prompt: str, response: str, person: str = "", **scores: float) -> Rating:
    return Rating(id=f"{prompt}:{response}:{person}", prompt=asked(prompt), response=said(response), scores=scores, person=person)


def thumb(prompt: str, response: str, up: bool, person: str = "", **rest: Any) -> Thumb:
    return Thumb(id=f"{prompt}:{response}:{up}:{person}", prompt=asked(prompt), response=said(response), up=up, person=person,
                 **rest)


def marked(prompt: str, response: str, *marks: tuple[int, int, str], **rest: Any) -> Marked:
    return Marked(id=f"{prompt}:{response}:{marks}", prompt=asked(prompt), response=said(response),
                  marks=tuple({"start": start, "end": end, "mark": mark} for start, end, mark in marks), **rest)


def critique(prompt: str, response: str, text: str, **rest: Any) -> Critique:
    return Critique(id=f"{prompt}:{response}:{text}", prompt=asked(prompt), response=said(response), text=text, **rest)
