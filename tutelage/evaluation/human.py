"""People as judges of two models: what a campaign's comparisons of their responses say, beside the automatic measures.

The studio shows both sides without names and in counterbalanced order; here is counted what came of it. Votes are matched by the
model that gave each response. A person's repeated answers to one pair are one vote. Intervals draw prompts and people at once
where there are several people, for three annotators say as little as three numbers; with one they draw prompts, and speak of
that person only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tutelage.errors import DataError
from tutelage.evaluation.compare import Difference, plain, verdict_of
from tutelage.evaluation.judge import leaning
from tutelage.lineage import content_hash
from tutelage.protocols import Score
from tutelage.records import AnnotatorKind, Sample
from tutelage.statistics import Estimate, crossed_interval, mean_interval, sign_flip_test, spearman

if TYPE_CHECKING:
    from tutelage.store import Store

SHARES = {"a": 1.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5}      # of the response shown first; cannot_judge is no vote
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgment: two responses to one prompt in the order they were shown, and the share of the first."""

    judgment: str
    person: str
    annotator: AnnotatorKind
    first: Sample
    second: Sample
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Human:
    """What people made of two models; of the first model where it says nothing else."""

    rate: Estimate                           # win rate, ties half; n is the smaller number of prompts and people
    win: Difference                          # the rate less a half, its test over prompts
    first_shown: Estimate                    # share of decided votes for the response shown first; 0.5 is no leaning
    agreement: Mapping[str, Estimate]        # measure -> Spearman's correlation of its difference with the votes, by pair
    prompts: int
    people: Mapping[str, int]                # kind of annotator -> how many judged
    votes: int

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = plain(self)
        return value


def read_votes(store: Store, campaign: str, without: AbstractSet[str] = frozenset()) -> list[Vote]:
    """The current comparisons of a campaign, by its id or name, but for those over samples `without`.

    Raises:
        DataError: if there is no such campaign, or more than one of the name.
    """
    found = [each for each in store.campaigns.all() if campaign in (each.id, each.name)]
    if len(found) != 1:
        names = ", ".join(dict.fromkeys(each.name for each in store.campaigns.all())) or "none"
        raise DataError(f"{len(found)} campaigns are called {campaign!r}; wanted one. There are: {names}. An id "
                        "names one for sure.")
    said = [each for each in store.judgments("comparison", campaign=found[0].id)
            if each.answer["winner"] in SHARES and without.isdisjoint(each.samples)]
    samples = {each.id: each for each in store.samples(id for judgment in said for id in judgment.samples)}
    return [Vote(each.id, each.annotator_id, each.annotator, samples[each.samples[0]], samples[each.samples[1]],
                 SHARES[each.answer["winner"]]) for each in said]


def votes_hash(votes: Sequence[Vote]) -> str:
    """What a manifest names the votes by."""
    return content_hash([[each.judgment, each.first.id, each.second.id, each.share] for each in votes])


def by_people(votes: Sequence[Vote], ours: str, theirs: str, measures: Mapping[str, Score], seed: int = 0) -> Human:
    """What the votes say of the model `ours` against `theirs`, as their samples name them.

    Args:
        measures: automatic scores that are held against the votes, on the very responses that people saw.
    Raises:
        DataError: if no vote compares these two.
    """
    pairs = list(_pairs(votes, ours, theirs))
    if not pairs:
        seen = sorted({each.policy for vote in votes for each in (vote.first, vote.second)})
        raise DataError(f"none of {len(votes)} votes compares responses of {ours} and {theirs}; the campaign shows "
                        f"{', '.join(seen) or 'nothing'}. Name the models as they were sampled, or judge samples of these two.")
    values = [share for _, _, _, share in pairs]
    prompts = [mine.prompt.id for _, mine, _, _ in pairs]
    people = [vote.person for vote, _, _, _ in pairs]
    rate = _rate(values, prompts, people, seed)
    p = sign_flip_test([value - 0.5 for value in values], prompts, seed=seed)
    lead = Estimate(rate.value - 0.5, rate.low - 0.5, rate.high - 0.5, len(set(prompts)))
    decided = [(prompt, vote.share) for (vote, _, _, _), prompt in zip(pairs, prompts, strict=True) if vote.share != 0.5]
    kinds = {vote.person: vote.annotator for vote, _, _, _ in pairs}
    return Human(
        rate=rate, win=Difference(lead, verdict_of(lead, p), p, p),
        first_shown=leaning(decided, seed),
        agreement=_agreement(pairs, measures, seed), prompts=len(set(prompts)), votes=len(pairs),
        people={kind: list(kinds.values()).count(kind) for kind in sorted(set(kinds.values()))})


Pair = tuple[Vote, Sample, Sample, float]      # the vote, our response, theirs, the share of ours


def _pairs(votes: Sequence[Vote], ours: str, theirs: str) -> Iterator[Pair]:
    """Votes between the two, a person's answers to one pair averaged."""
    found: dict[tuple[str, str, str], list[Pair]] = {}
    for vote in votes:
        for mine, other, share in ((vote.first, vote.second, vote.share), (vote.second, vote.first, 1 - vote.share)):
            if (mine.policy, other.policy) == (ours, theirs):
                found.setdefault((vote.person, mine.id, other.id), []).append((vote, mine, other, share))
    for same in found.values():
        vote, mine, other, _ = same[0]
        yield vote, mine, other, math.fsum(share for _, _, _, share in same) / len(same)


def _rate(values: Sequence[float], prompts: Sequence[str], people: Sequence[str], seed: int) -> Estimate:
    if min(len(set(prompts)), len(set(people))) < 2:
        return mean_interval(values, prompts, seed=seed)
    found = crossed_interval(values, prompts, people)
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _agreement(pairs: Sequence[Pair], measures: Mapping[str, Score], seed: int) -> dict[str, Estimate]:
    """Spearman's correlation over pairs of responses, those of one prompt drawn together; NaN where one never varies."""
    by_pair: dict[tuple[str, str], list[float]] = {}
    samples: dict[str, Sample] = {}
    for _, mine, other, share in pairs:
        by_pair.setdefault((mine.id, other.id), []).append(share)
        samples |= {mine.id: mine, other.id: other}
    shares = [math.fsum(each) / len(each) for each in by_pair.values()]
    prompts = [samples[mine].prompt.id for mine, _ in by_pair]
    found = {}
    for name, measure in measures.items():
        scores = dict(zip(samples, measure.score(list(samples.values())).total, strict=True))
        found[name] = correlation(shares, [scores[mine] - scores[other] for mine, other in by_pair], prompts, seed)
    return found


def correlation(a: Sequence[float], b: Sequence[float], clusters: Sequence[str], seed: int = 0) -> Estimate:
    """Spearman's correlation with a percentile bootstrap over clusters; draws in which one side never varies are left out."""
    names = list(dict.fromkeys(clusters))
    rows = {name: [at for at, cluster in enumerate(clusters) if cluster == name] for name in names}
    if len(names) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"), len(names))
    first, second, rng = np.asarray(a, float), np.asarray(b, float), np.random.default_rng(seed)
    drawn = []
    for _ in range(RESAMPLES):
        places = [at for number in rng.integers(0, len(names), len(names)) for at in rows[names[number]]]
        drawn.append(spearman(first[places], second[places]))
    kept = [each for each in drawn if not math.isnan(each)] or [float("nan")]
    low, high = np.quantile(kept, [0.025, 0.975])
    return Estimate(spearman(first, second), float(low), float(high), len(names))
