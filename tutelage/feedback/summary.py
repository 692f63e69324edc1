"""What a lead sees: agreement and habits on every question, and the judges, each kind of annotator by itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tutelage.feedback.aggregation import hear
from tutelage.feedback.agreement import Agreement, krippendorff_alpha, percent_agreement
from tutelage.feedback.habits import position_bias, self_consistency
from tutelage.feedback.reliability import Judge, judges
from tutelage.feedback.votes import votes_by_question
from tutelage.records import AnnotatorKind, Judgment
from tutelage.store import Store

MEASURES = {
    "percent": {"en": "per cent", "zh-CN": "一致率"},
    "alpha_nominal": {"en": "Krippendorff's alpha", "zh-CN": "Krippendorff alpha"},
    "alpha_ordinal": {"en": "Krippendorff's alpha, ordinal", "zh-CN": "Krippendorff alpha（顺序）"},
    "position_bias": {"en": "first shown wins (0.5: no bias)", "zh-CN": "先显示者胜出（0.5 为无偏）"},
    "self_consistency": {"en": "same answer when asked again", "zh-CN": "重复提问时回答一致"},
}


@dataclass(frozen=True, slots=True)
class Line:
    """One measure of one question: "comparison", "rating: correct", "all" …"""

    question: str
    measure: str              # a key of MEASURES
    agreement: Agreement


@dataclass(frozen=True, slots=True)
class Summary:
    """What one kind of annotator did. `judges` is empty where nobody judged pairs."""

    num_judgments: int
    lines: tuple[Line, ...]
    judges: tuple[Judge, ...]

    def to_json(self) -> dict[str, Any]:
        return {"num_judgments": self.num_judgments, "agreement": [asdict(line) for line in self.lines],
                "judges": [asdict(judge) for judge in self.judges]}


def summarise(store: Store, annotator: AnnotatorKind | None = None, resamples: int = 1_000,
              refits: int = 100) -> dict[str, Summary]:
    """Annotator kind -> what its current judgments say. Kinds without a judgment are left out.

    Args:
        resamples, refits: draws for the intervals of agreement and of the judges' reliability.
    """
    kinds: tuple[AnnotatorKind, ...] = (annotator,) if annotator else ("human", "model", "scripted")
    found = {}
    for kind in kinds:
        if said := list(store.judgments(annotator=kind)):
            found[str(kind)] = Summary(len(said), tuple(agreement_lines(said, resamples)),
                                       tuple(judges(hear(store, kind), refits)))
    return found


def agreement_lines(said: Iterable[Judgment], resamples: int = 1_000) -> list[Line]:
    """Every measure that can be taken of these judgments, the undefined ones with their reason."""
    judgments = list(said)
    lines = []
    for question, votes in votes_by_question(judgments).items():
        lines.append(Line(question, "percent", percent_agreement(votes, resamples)))
        level: Mapping[bool, Any] = {True: "ordinal", False: "nominal"}
        chosen = level[question.startswith("rating: ")]
        lines.append(Line(question, f"alpha_{chosen}", krippendorff_alpha(votes, chosen, resamples)))
    lines.append(Line("comparison", "position_bias", position_bias(judgments, resamples)))
    lines.append(Line("all", "self_consistency", self_consistency(judgments, resamples)))
    return lines


__all__ = ["MEASURES", "Line", "Summary", "agreement_lines", "summarise"]
