"""From judgments to training terms: one `Preference` a pair of responses, whoever and how many judged it.

Disagreement is kept: of three judges who voted 2 to 1, the reward model learns 2/3, not 1. Kinds of annotator never
meet in one term, and nothing depends on the order in which judgments came.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import islice

from tutelage.feedback import kinds
from tutelage.lineage import canonical_json
from tutelage.records import AnnotatorKind, Judgment, Preference, Sample, messages_to_json, record_id
from tutelage.store import Store

READ_AHEAD = 500

Pair = tuple[str, str, str, AnnotatorKind]        # prompt, the two responses in order, who judged
Vote = tuple[float, float, str]                   # P(first of the pair wins), margin for it, judgment id


def preferences(store: Store, annotator: AnnotatorKind | None = None, without: Set[str] = frozenset()) -> list[Preference]:
    """Every current judgment that says which of two is better, as terms, by content id; those over samples `without`
    names are left out."""
    return combine(_terms(store, annotator, without))


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
        `label` is the mean over judges of their share for `chosen` (>= 0.5), `weight` the number of judges, `margin`
        their mean margin for it. A judge who was asked twice is one judge, with the mean of both answers.
    """
    votes: dict[Pair, dict[str, list[Vote]]] = {}
    shown: dict[Pair, Preference] = {}
    for judge, term in terms:
        pair, vote = _vote(term)
        votes.setdefault(pair, {}).setdefault(judge, []).append(vote)
        shown.setdefault(pair, term)
    return sorted((_one(pair, votes[pair], shown[pair]) for pair in votes), key=lambda term: term.id)


def _vote(term: Preference) -> tuple[Pair, Vote]:
    parts = (term.prompt, term.chosen, term.rejected)
    prompt, chosen, rejected = (canonical_json(messages_to_json(part)) for part in parts)
    first = chosen < rejected
    pair: Pair = (prompt, min(chosen, rejected), max(chosen, rejected), term.annotator)
    vote = (term.label, term.margin) if first else (1 - term.label, -term.margin)
    return pair, (*vote, "".join(term.judgment_ids))


def _one(pair: Pair, by_judge: Mapping[str, list[Vote]], shown: Preference) -> Preference:
    share = _mean(_mean(vote[0] for vote in mine) for mine in by_judge.values())
    margin = _mean(_mean(vote[1] for vote in mine) for mine in by_judge.values())
    responses = {canonical_json(messages_to_json(part)): part for part in (shown.chosen, shown.rejected)}
    first, second = responses[pair[1]], responses[pair[2]]
    chosen, rejected = (first, second) if share >= 0.5 else (second, first)      # a draw: by content
    label, towards = (share, margin) if share >= 0.5 else (1 - share, -margin)
    ids = tuple(sorted(vote[2] for mine in by_judge.values() for vote in mine))
    weight = float(len(by_judge))
    name = record_id("preference", messages_to_json(shown.prompt), messages_to_json(chosen), messages_to_json(rejected),
                     label, weight, towards, shown.annotator, ids)
    return Preference(id=name, prompt=shown.prompt, chosen=chosen, rejected=rejected, margin=max(0.0, towards),
                      label=label, weight=weight, annotator=shown.annotator, judgment_ids=ids)


def _mean(values: Iterable[float]) -> float:
    """The same to the last bit in whatever order the values come."""
    given = list(values)
    return math.fsum(given) / len(given)


def _terms(store: Store, annotator: AnnotatorKind | None, without: Set[str]) -> Iterator[tuple[str, Preference]]:
    for batch in _batches(store.judgments(annotator=annotator)):
        samples: dict[str, Sample] = {
            sample.id: sample for sample in store.samples(id for judgment in batch for id in judgment.samples)}
        for judgment in batch:
            if not without.isdisjoint(judgment.samples):
                continue
            for term in kinds.to_preferences(judgment, samples):
                yield judgment.annotator_id, term


def _batches(judgments: Iterator[Judgment]) -> Iterator[list[Judgment]]:
    while batch := list(islice(judgments, READ_AHEAD)):
        yield batch
