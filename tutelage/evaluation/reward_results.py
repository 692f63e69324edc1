"""What is known of a reward model once it was measured, as plain data; `reward_figures` measures it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tutelage.records import AnnotatorKind
from tutelage.statistics import Bin, Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated:
    """Scores of one responses' pair. `members` holds the same of each member of an ensemble, (M, 2)."""

    better: float
    worse: float
    members: tuple[tuple[float, float], ...] = ()

    @property
    def gap(self) -> float:
        return self.better - self.worse


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Accuracy on some of the decided items."""

    name: str
    accuracy: Estimate
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """Of the items with two judges or more: how often one judge agrees with another, and the model with one judge. People's where
    people judged twice, else those of the `annotator` kind that did."""

    annotator: AnnotatorKind
    people: Estimate
    model: Estimate
    items: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Of the side the model prefers: its probability against the share of votes it had. `luck` is the mean error that a
    calibrated model would show with as many items."""

    error: Estimate
    luck: float
    brier: Estimate
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlations:
    pearson: Estimate
    spearman: Estimate
    kendall: Estimate
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """Does the score follow length? `within` compares responses to one prompt, `at_equal` holds the judgment fixed too;
    `slope` is the score of a doubling of the length at equal judgment."""

    within: Estimate
    at_equal: Estimate
    slope: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """Scored again in the opposite order: the largest change of a score, and how many pairs turned round."""

    largest: float
    turned: int
    pairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Of an ensemble: the standard deviation over members of a pair's gap, and accuracy where all name the same side."""

    members: int
    right: Estimate | None
    wrong: Estimate | None
    unanimous: Estimate
    when_unanimous: Estimate | None
    when_split: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardFigures:
    """All of it. `slices`: what items are told apart by (kind, annotator, language, length, margin, sureness) -> them."""

    pairs: int
    decided: int
    prompts: int
    annotators: Mapping[str, int]                    # kind of annotator -> items
    accuracy: Estimate | None
    slices: Mapping[str, tuple[Slice, ...]]
    ceiling: Ceiling | None
    calibration: Calibration | None
    ratings: Mapping[str, Correlations]              # aspect -> how scores go with it
    thumbs: Estimate | None
    length: Length | None
    position: Estimate | None
    swap: Swap | None = None
    spread: Spread | None = None
    undefined: Mapping[str, str] = field(default_factory=dict)      # what is None -> why, a key of the page's words

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = _plain(asdict(self))
        return found


def _plain(value: Any) -> Any:
    """JSON has no NaN: what is none becomes null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
