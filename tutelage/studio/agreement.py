"""How far the people of a campaign agree, in the words of the page: coefficients with intervals, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tutelage.feedback.agreement import Agreement, Level, krippendorff_alpha, percent_agreement
from tutelage.feedback.asked import ASPECTS
from tutelage.feedback.habits import position_bias, self_consistency
from tutelage.feedback.kinds import rating
from tutelage.feedback.votes import votes_by_question
from tutelage.records import Judgment

RESAMPLES = 500            # of the page that is fetched every few seconds; a report takes more


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table: what was voted on, and the coefficients on it."""

    name: str
    percent: Agreement
    alpha: Agreement
    level: str


def measures(judgments: Sequence[Judgment], language: str) -> list[Measure]:
    return list(_measures(judgments, language))


def _measures(judgments: Sequence[Judgment], language: str) -> Iterator[Measure]:
    for name, votes in votes_by_question(judgments).items():
        level: Level = "ordinal" if name.startswith("rating") else "nominal"
        aspect = name.partition(": ")[2]
        yield Measure(aspect_words(language).get(aspect, ""), percent_agreement(votes, RESAMPLES),
                      krippendorff_alpha(votes, level, RESAMPLES), level)


def habits(judgments: Sequence[Judgment], language: str) -> dict[str, Agreement]:
    """How often the side shown first wins, and how often people repeat themselves; what nobody could show is left out."""
    found = {"position": position_bias(judgments, RESAMPLES), "repeats": self_consistency(judgments, RESAMPLES)}
    return {name: measure for name, measure in found.items() if measure.value is not None}


def aspect_words(language: str) -> dict[str, str]:
    return {aspect: rating.ASPECT_NAMES[language][aspect] for aspect in ASPECTS}
