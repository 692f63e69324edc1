"""What happens to rows that are too long: said beforehand, counted, and never leaving a row with nothing to learn.

Libraries that cut silently train on rows without a label: the loss is 0 or NaN and the run reports success
(trl#6668, trl#6025, trl#3927).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from tutelage.data.chat import Rendered
from tutelage.errors import ConfigError

Policy = Literal["drop", "cut"]


@dataclass(frozen=True, slots=True)
class Truncation:
    """What became of the rows; every row is in exactly one count."""

    kept: int = 0         # whole
    cut: int = 0          # the end of the response is gone, and with it the end-of-turn label
    dropped: int = 0      # too long, or without a label

    @property
    def total(self) -> int:
        return self.kept + self.cut + self.dropped

    def __str__(self) -> str:
        return f"{self.kept} of {self.total} rows whole, {self.cut} cut, {self.dropped} dropped"


def fitted(rendered: Rendered, max_length: int, policy: Policy = "drop") -> Rendered | None:
    """The row within `max_length` tokens, or None where it must be dropped.

    `drop` leaves over-long rows out. `cut` takes off the end of the last response: no end of turn is made up for it, so
    the model is not taught to stop in the middle. A row without a label is dropped either way.

    Raises:
        ConfigError: if `max_length` is not positive or the policy unknown.
    """
    if max_length < 1 or policy not in ("drop", "cut"):
        raise ConfigError(f"truncation got max_length {max_length}, policy {policy!r}; wanted 1 or more, and 'drop' or 'cut'.")
    if len(rendered.ids) > max_length:
        if policy == "drop":
            return None
        rendered = _cut(rendered, max_length)
    return rendered if any(rendered.response_mask) else None


def _cut(rendered: Rendered, length: int) -> Rendered:
    spans = tuple(replace(span, end=min(span.end, length)) for span in rendered.spans if span.start < length)
    return replace(rendered, ids=rendered.ids[:length], spans=spans, response_mask=rendered.response_mask[:length])


def fit_all(rows: Mapping[str, Rendered], max_length: int, policy: Policy = "drop") -> tuple[dict[str, Rendered], Truncation]:
    """All rows that fit, by name, and the count of what became of each; the stages print it."""
    within = {name: fitted(row, max_length, policy) for name, row in rows.items()}
    kept = {name: row for name, row in within.items() if row is not None}
    cut = sum(len(row.ids) < len(rows[name].ids) for name, row in kept.items())
    return kept, Truncation(len(kept) - cut, cut, len(rows) - len(kept))
