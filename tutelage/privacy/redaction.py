"""Typed placeholders in place of personal data, and the way back for whoever holds the originals."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import regex

from tutelage.privacy.finding import KINDS
from tutelage.privacy.scan import MIN_CONFIDENCE, find

PLACEHOLDER = regex.compile(r"\[(?:" + "|".join(kind.upper() for kind in KINDS) + r")_\d+\]")


@dataclass(slots=True)
class Redaction:
    """What was replaced in one record: the same datum has one placeholder wherever the record says it.

    `taken` holds placeholders that the record itself wrote before; they are never given out, so that the way back is
    unambiguous.
    """

    kinds: Collection[str] = KINDS
    min_confidence: float = MIN_CONFIDENCE
    originals: dict[str, str] = field(default_factory=dict)      # placeholder -> the text it stands for, as first written
    taken: frozenset[str] = frozenset()
    _given: dict[tuple[str, str], str] = field(default_factory=dict)

    def placeholder(self, kind: str, text: str) -> str:
        # Two ways of writing one number get two placeholders, as each must come back as it was; equal ones get one.
        key = (kind, text)
        if key not in self._given:
            number = 1
            while (name := f"[{kind.upper()}_{number}]") in self.taken or name in self.originals:
                number += 1
            self._given[key], self.originals[name] = name, text
        return self._given[key]

    def apply(self, text: str) -> str:
        """`text` with placeholders; what was found is added to `originals`."""
        parts, at = [], 0
        for found in find(text, self.kinds, self.min_confidence):
            parts += [text[at:found.start], self.placeholder(found.kind, text[found.start:found.end])]
            at = found.end
        return "".join([*parts, text[at:]])


def redact(text: str, kinds: Collection[str] = KINDS, min_confidence: float = MIN_CONFIDENCE) -> tuple[str, dict[str, str]]:
    """One text alone: it with placeholders, and what each stands for."""
    redaction = Redaction(kinds, min_confidence, taken=frozenset(PLACEHOLDER.findall(text)))
    return redaction.apply(text), redaction.originals


def restore(text: str, originals: Mapping[str, str]) -> str:
    """`text` with the originals where their placeholders stand; placeholders that are not among them stay."""
    return PLACEHOLDER.sub(lambda found: originals.get(found[0], found[0]), text)
