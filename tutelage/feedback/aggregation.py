"""From judgments to training terms: one `Preference` a pair of responses, whoever and how many judged it.

Disagreement is kept: of three judges who voted 2 to 1, the reward model learns 2/3, not 1. Kinds of annotator never
meet in one term, and nothing depends on the order in which judgments came. Two methods:

    vote           a label is the share of the judges, each counting as one
    reliability    a label is what a usual judge without a lean to one side would say, by `bradley_terry`

Where a reviewer has judged an item, their word counts and nobody else's on it: a pair that they settled is what they
said, by either method, with a weight of one for each reviewer who did.

A ranking of K counts as its K (K - 1) / 2 pairs, each with a weight of 2 / K, so that the whole weighs K - 1: as many as
the choices one makes in putting K in order. (The product of its pairs is no likelihood of the ranking; Plackett and
Luce's is, and for K = 2 the two are one.)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import combinations, islice
from typing import Literal

from tutelage.errors import UsageError
from tutelage.feedback import kinds
from tutelage.lineage import canonical_json
from tutelage.messages import Messages, messages_to_json, record_id
from tutelage.records import AnnotatorKind, Judgment, Preference, Ranking, Record, Sample
from tutelage.store import Store

READ_AHEAD = 500
METHODS = ("vote", "reliability")
Method = Literal["vote", "reliability"]
SIDES_UNKNOWN = "imported"                        # the guideline of judgments whose sides were drawn afterwards

Pair = tuple[str, str, str, AnnotatorKind]        # prompt, the two responses in order, who judged
Vote = tuple[float, float, str, float]            # P(first of the pair wins), margin for it, judgment id, weight
Say = Literal["counts", "settles", "overruled"]   # a judgment among others, a reviewer's last word, or one it sets aside


@dataclass(frozen=True, slots=True)
class Heard:
    """One judge's word on one pair. `chosen_first`: the chosen one was shown first; None where nobody knows."""

    judge: str
    term: Preference
    chosen_first: bool | None = None
    say: Say = "counts"


def preferences(store: Store, annotator: AnnotatorKind | None = None, without: Set[str] = frozenset(),
                method: str = "vote", of_kinds: Set[str] = frozenset()) -> list[Preference]:
    """Every current judgment that says which of two is better, as terms, by content id; those over samples `without`
    names are left out, and with `of_kinds` those of other kinds.

    Raises:
        UsageError: if there is no such method.
    """
    if method == "vote":
        heard = settle(hear(store, annotator, without, of_kinds))
        return combine((each.judge, each.term) for each in heard if each.say != "overruled")
    if method != "reliability":
        raise UsageError(f"no way of aggregating is called {method!r}; wanted {' or '.join(METHODS)}.")
    from tutelage.feedback.reliability import combine_by_reliability

    return combine_by_reliability(hear(store, annotator, without, of_kinds))


def hear(store: Store, annotator: AnnotatorKind | None = None, without: Set[str] = frozenset(),
         of_kinds: Set[str] = frozenset()) -> Iterator[Heard]:
    """The pairs of every current judgment that has some, by judgment id; those that were overruled too."""
    settled = store.review.settled()
    for judgment, samples in with_samples(store, annotator, without):
        if of_kinds and judgment.kind not in of_kinds:
            continue
        say: Say = ("settles" if judgment.id in settled.settling else
                    "overruled" if judgment.id in settled.overruled else "counts")
        yield from (replace(each, say=say) for each in heard_of(judgment, samples))


def settle(heard: Iterable[Heard]) -> list[Heard]:
    """What was heard, with all that was said of a pair which a reviewer settled, on whatever item, overruled."""
    said = list(heard)
    pairs = {vote_of(each.term)[0] for each in said if each.say == "settles"}
    if not pairs:
        return said
    return [replace(each, say="overruled") if each.say == "counts" and vote_of(each.term)[0] in pairs else each for each in said]


def heard_of(judgment: Judgment, samples: Mapping[str, Sample]) -> Iterator[Heard]:
    """The pairs of one judgment: a comparison's or an edit's own, each two of a ranking's."""
    source = "" if judgment.kind == "comparison" else judgment.kind
    for term in kinds.terms(judgment, samples):
        if isinstance(term, Preference):
            yield Heard(judgment.annotator_id, replace(term, source=source), _chosen_first(judgment, samples, term))
        elif isinstance(term, Ranking):
            for pair, first in _pairs_of(term):
                yield Heard(judgment.annotator_id, pair, None if judgment.guideline == SIDES_UNKNOWN else first)


def _chosen_first(judgment: Judgment, samples: Mapping[str, Sample], term: Preference) -> bool | None:
    if judgment.guideline == SIDES_UNKNOWN or len(judgment.samples) != 2:
        return None
    return samples[judgment.samples[0]].response == term.chosen


def _pairs_of(ranking: Ranking) -> Iterator[tuple[Preference, bool]]:
    """Each two responses as a term, and whether the chosen one was shown first (of a tie: the one called chosen is)."""
    for i, j in combinations(range(len(ranking.ranks)), 2):
        better, worse = (i, j) if ranking.ranks[i] <= ranking.ranks[j] else (j, i)
        tie = ranking.ranks[i] == ranking.ranks[j]
        yield Preference(id=record_id("preference of a ranking", ranking.id, i, j), prompt=ranking.prompt,
                         chosen=ranking.responses[better], rejected=ranking.responses[worse], label=0.5 if tie else 1.0,
                         weight=ranking.weight * 2 / len(ranking.ranks), annotator=ranking.annotator,
                         person=ranking.person, judgment_ids=ranking.judgment_ids, source="ranking"), better == i


def terms(store: Store, annotator: AnnotatorKind | None = None, without: Set[str] = frozenset()) -> Iterator[Record]:
    """Every current judgment's own terms, by judgment id: one person's word each, not combined. What a reviewer overruled
    has none."""
    overruled = store.review.settled().overruled
    for judgment, samples in with_samples(store, annotator, without):
        if judgment.id not in overruled:
            yield from kinds.terms(judgment, samples)


def with_samples(store: Store, annotator: AnnotatorKind | None,
                  without: Set[str]) -> Iterator[tuple[Judgment, Mapping[str, Sample]]]:
    """Current judgments over none of the samples `without`, each with samples among which its own are."""
    for batch in _batches(store.judgments(annotator=annotator)):
        samples = {sample.id: sample for sample in store.samples(id for judgment in batch for id in judgment.samples)}
        yield from ((judgment, samples) for judgment in batch if without.isdisjoint(judgment.samples))


def people(store: Store, without: Set[str] = frozenset()) -> dict[str, dict[str, str | int]]:
    """annotator id -> {kind, judgments}: who gave the current judgments, as a manifest names them."""
    found: dict[str, dict[str, str | int]] = {}
    for judgment in store.judgments():
        if not without.isdisjoint(judgment.samples):
            continue
        person = found.setdefault(judgment.annotator_id, {"kind": judgment.annotator, "judgments": 0})
        person["judgments"] = int(person["judgments"]) + 1
    return dict(sorted(found.items()))


def combine(terms: Iterable[tuple[str, Preference]]) -> list[Preference]:
    """Terms of one same unordered pair and annotator kind become one.

    Args:
        terms: (annotator id, term of one judgment).
    Returns:
        `label` is the mean over judges of their share for `chosen` (>= 0.5), `weight` the number of judges (a pair of a
        ranking of K counts 2 / K), `margin` their mean margin for it. A judge who was asked twice is one judge, with the
        mean of both answers.
    """
    votes: dict[Pair, dict[str, list[Vote]]] = {}
    shown: dict[Pair, Preference] = {}
    sources: dict[Pair, set[str]] = {}
    for judge, term in terms:
        pair, vote = vote_of(term)
        votes.setdefault(pair, {}).setdefault(judge, []).append(vote)
        shown.setdefault(pair, term)
        sources.setdefault(pair, set()).add(term.source)
    made = (replace(_one(pair, votes[pair], shown[pair]), source=source_of_pair(sources[pair])) for pair in votes)
    return sorted(made, key=lambda term: term.id)


def source_of_pair(sources: Set[str]) -> str:
    """What a pair is called that was judged in these ways: a comparison where there are several."""
    return next(iter(sources)) if len(sources) == 1 else ""


def response_key(messages: Messages) -> str:
    return canonical_json(messages_to_json(messages))


def vote_of(term: Preference) -> tuple[Pair, Vote]:
    """Which pair a term is about, and what it says of the first of it."""
    prompt, chosen, rejected = map(response_key, (term.prompt, term.chosen, term.rejected))
    first = chosen < rejected
    pair: Pair = (prompt, min(chosen, rejected), max(chosen, rejected), term.annotator)
    vote = (term.label, term.margin) if first else (1 - term.label, -term.margin)
    return pair, (*vote, "".join(term.judgment_ids), term.weight)


def _one(pair: Pair, by_judge: Mapping[str, list[Vote]], shown: Preference) -> Preference:
    weights = {judge: _mean(vote[3] for vote in mine) for judge, mine in by_judge.items()}
    weight = math.fsum(weights.values())
    share = math.fsum(weights[judge] * _mean(vote[0] for vote in mine) for judge, mine in by_judge.items()) / weight
    margin = math.fsum(weights[judge] * _mean(vote[1] for vote in mine) for judge, mine in by_judge.items()) / weight
    ids = tuple(sorted({vote[2] for mine in by_judge.values() for vote in mine}))
    return term_of_pair(pair, shown, share, margin, weight, ids)


def term_of_pair(pair: Pair, shown: Preference, share: float, margin: float, weight: float,
                 judgment_ids: tuple[str, ...]) -> Preference:
    """The term that says P(first of the pair wins) = `share`, named by its content; `shown` is any term of the pair."""
    responses = {response_key(part): part for part in (shown.chosen, shown.rejected)}
    first, second = responses[pair[1]], responses[pair[2]]
    chosen, rejected = (first, second) if share >= 0.5 else (second, first)      # a draw: by content
    label, towards = (share, margin) if share >= 0.5 else (1 - share, -margin)
    name = record_id("preference", messages_to_json(shown.prompt), messages_to_json(chosen), messages_to_json(rejected),
                     label, weight, towards, shown.annotator, judgment_ids)
    return Preference(id=name, prompt=shown.prompt, chosen=chosen, rejected=rejected, margin=max(0.0, towards),
                      label=label, weight=weight, annotator=shown.annotator, judgment_ids=judgment_ids)


def _mean(values: Iterable[float]) -> float:
    """The same to the last bit in whatever order the values come."""
    given = list(values)
    return math.fsum(given) / len(given)


def _batches(judgments: Iterator[Judgment]) -> Iterator[list[Judgment]]:
    while batch := list(islice(judgments, READ_AHEAD)):
        yield batch
