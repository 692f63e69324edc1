"""What a term says, whatever kind of judgment it was: which kind, who said it, and on which scales; and the book of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

from tutelage.records import Critique, Marked, Preference, Ranking, Rating, Term, Thumb
from tutelage.rewards.config import Annotators
from tutelage.rewards.judges import Book, Scale

THUMBS = "thumbs"           # the scale of two levels
_SOURCES = {Preference: "comparison", Ranking: "ranking", Rating: "rating", Thumb: THUMBS, Marked: "spans", Critique: "words"}


def source_of(term: Term) -> str:
    """Which kind of judgment it was."""
    return term.source or _SOURCES[type(term)]      # type: ignore[index]


def is_scored(term: Term) -> bool:
    """Whether it says something of a response's score; marks and words teach other parts of the model."""
    return not isinstance(term, Marked | Critique)


def judge_of(term: Term) -> str:
    """Whose word it is; those of a kind whom nobody names are one judge."""
    return term.person or f"unnamed ({term.annotator})"


def group_of(term: Term, by: str) -> str:
    return term.annotator if by == "annotator" else str(term.meta.get(by, ""))


def levels_of(term: Term) -> Mapping[str, float]:
    """scale -> value, of what rates one response."""
    if isinstance(term, Thumb):
        return {THUMBS: float(term.up)}
    return term.scores if isinstance(term, Rating) else {}


def strength_of(term: Term) -> float | None:
    """How much better somebody called one of two responses; None of a tie, and of what is no comparison."""
    decided = isinstance(term, Preference) and source_of(term) == "comparison" and term.label != 0.5
    return term.margin if isinstance(term, Preference) and decided else None


def book_of(train: Sequence[Term], heldout: Sequence[Term], priors: Annotators) -> Book:
    """Everybody who judged and every scale, by name, whatever the order of the terms; what is counted is counted in `train`."""
    train = [term for term in train if is_scored(term)]
    terms = [*train, *(term for term in heldout if is_scored(term))]
    values: dict[str, list[float]] = {}
    for term in terms:
        for name, value in levels_of(term).items():
            values.setdefault(name, []).append(value)
    scales = tuple(Scale(name, (1.0,)) if name == THUMBS else Scale.of(name, values[name]) for name in sorted(values))
    judges = tuple(sorted({judge_of(term) for term in terms}))
    judge_places, scale_places = ({name: at for at, name in enumerate(names)} for names in (judges, sorted(values)))
    cells = {(judge_places[judge_of(term)], scale_places[name]) for term in terms for name in levels_of(term)}
    shared = max((max(Counter(term.ranks).values()) for term in terms if isinstance(term, Ranking)), default=1)
    draws = any(isinstance(term, Preference) and term.label == 0.5 for term in terms)
    said = [strength for term in terms if (strength := strength_of(term)) is not None]
    strengths = Scale.of("strength", said if priors.strengths else ())
    return Book(judges=judges, weights=_weights(train, judges), scales=scales, cells=tuple(sorted(cells)), ties=_ties(train),
                strengths=strengths, strength_counts=_strength_counts(strengths, train),
                counts=tuple(_level_counts(scale, train) for scale in scales), most_tied=max(shared, 2 if draws else 1),
                groups=tuple(sorted({group_of(term, priors.group_by) for term in terms if levels_of(term)})) or ("",))


def _weights(terms: Sequence[Term], judges: Sequence[str]) -> tuple[float, ...]:
    found = dict.fromkeys(judges, 0.0)
    for term in terms:
        found[judge_of(term)] += term.weight
    return tuple(found.values())


def _level_counts(scale: Scale, terms: Sequence[Term]) -> tuple[float, ...]:
    found = [0.0] * (len(scale.cuts) + 1)
    for term in terms:
        if (value := levels_of(term).get(scale.name)) is not None:
            found[scale.level(value)] += term.weight
    return tuple(found)


def _strength_counts(scale: Scale, terms: Sequence[Term]) -> tuple[float, ...]:
    found = [0.0] * (len(scale.cuts) + 1)
    for term in terms:
        if (strength := strength_of(term)) is not None:
            found[scale.level(strength)] += term.weight
    return tuple(found)


def _ties(terms: Sequence[Term]) -> tuple[float, float]:
    """How many pairs were called equal, and how many were compared; the pairs of a ranking weigh as one."""
    tied = compared = 0.0
    for term in terms:
        if isinstance(term, Preference):
            tied, compared = tied + term.weight * (term.label == 0.5), compared + term.weight
        elif isinstance(term, Ranking):
            pairs = list(combinations(term.ranks, 2))
            tied += term.weight * sum(one == other for one, other in pairs) / len(pairs)
            compared += term.weight
    return tied, compared
