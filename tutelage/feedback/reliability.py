"""Judges weighed by how reliable they are and which side they lean to: soft labels for training, and a word on each judge.

The model is `bradley_terry`'s, fitted for each kind of annotator by itself. Nobody is left out because of what it finds:
a judge who contradicts the others gets a negative reliability, which turns their votes round, and a remark. To exclude a
person is for a person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tutelage.feedback.aggregation import Heard, Pair, combine, response_key, settle, source_of_pair, term_of_pair, vote_of
from tutelage.feedback.bradley_terry import Comparisons, Fit, fit_comparisons, intervals
from tutelage.records import AnnotatorKind, Preference
from tutelage.statistics import Estimate

LEAN = 0.4          # logits; about ten points of P(first wins) at even odds. Less is not worth a remark
REMARKS = {
    "contradicts": {"en": "contradicts the others more often than agreeing with them",
                    "zh-CN": "与他人相反的判断多于相同的判断"},
    "leans_first": {"en": "prefers what is shown first", "zh-CN": "偏向先显示的一个"},
    "leans_second": {"en": "prefers what is shown second", "zh-CN": "偏向后显示的一个"},
}


@dataclass(frozen=True, slots=True)
class Judge:
    """What the model says of one judge; intervals are clustered by prompt.

    `reliability`: 1 is the usual judge (the one in the middle), 0 answers at random, below 0 says the opposite. `position`:
    log odds added to the response shown first; 0 without width where no side is known. `remarks` are keys of REMARKS.
    """

    id: str
    annotator: AnnotatorKind
    num_pairs: int
    reliability: Estimate
    position: Estimate
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Panel:
    """The pairs of one kind of annotator as columns, and what their numbers stand for."""

    data: Comparisons
    judges: tuple[str, ...]
    pairs: tuple[Pair, ...]                        # of each comparison
    margins: tuple[float, ...]                     # towards the first of the pair
    judgment_ids: tuple[str, ...]
    counts: tuple[bool, ...]                       # False: it tells of its judge, but a reviewer has settled the pair
    shown: dict[Pair, Preference]
    sources: tuple[str, ...]                       # of each comparison, the kind of judgment it is of


def combine_by_reliability(heard: Iterable[Heard]) -> list[Preference]:
    """One term a pair and annotator kind, by content id. A pair that a reviewer has settled is what they said; what it
    overruled tells of the judges all the same.

    Returns:
        `label` is P(chosen is called better) by the usual judge (in the middle by reliability) without a lean, a tie counting
        half; `weight` the number of judges, each counting the square of their reliability over the usual one's, at most one;
        `margin` their mean margin by reliability.
    """
    said = settle(heard)
    terms = combine((each.judge, each.term) for each in said if each.say == "settles")
    for panel in _panels(said):
        terms += _terms(panel, fit_comparisons(panel.data))
    return sorted(terms, key=lambda term: term.id)


def judges(heard: Iterable[Heard], resamples: int = 200, seed: int = 0) -> list[Judge]:
    """Everybody who judged a pair, by annotator kind and id."""
    found = []
    for panel in _panels(heard):
        fit = fit_comparisons(panel.data)
        reliability, position = intervals(panel.data, fit, resamples=resamples, seed=seed)
        counts = np.bincount(panel.data.judge, minlength=len(panel.judges))
        kind = next(iter(panel.shown.values())).annotator
        for at, judge in enumerate(panel.judges):
            n = int(counts[at])
            trust = Estimate(float(fit.relative[at]), float(reliability.low[at]), float(reliability.high[at]), n)
            lean = Estimate(float(fit.position[at]), float(position.low[at]), float(position.high[at]), n)
            found.append(Judge(judge, kind, n, trust, lean, _remarks(trust, lean)))
    return found


def _remarks(reliability: Estimate, position: Estimate) -> tuple[str, ...]:
    seen = {"contradicts": reliability.high < 0, "leans_first": position.low > LEAN, "leans_second": position.high < -LEAN}
    return tuple(remark for remark, holds in seen.items() if holds)


def _panels(heard: Iterable[Heard]) -> list[_Panel]:
    by_kind: dict[AnnotatorKind, list[tuple[Pair, Heard, float, float, str, float]]] = {}
    for each in heard:
        pair, (share, margin, judgment_id, weight) = vote_of(each.term)
        by_kind.setdefault(each.term.annotator, []).append((pair, each, share, margin, judgment_id, weight))
    return [_panel(sorted(by_kind[kind], key=lambda row: (row[0], row[1].judge, row[4]))) for kind in sorted(by_kind)]


def _panel(rows: Sequence[tuple[Pair, Heard, float, float, str, float]]) -> _Panel:
    """Columns in an order that does not depend on when things were said."""
    items = {key: at for at, key in enumerate(sorted({(pair[0], side) for pair, *_ in rows for side in pair[1:3]}))}
    prompts = {prompt: at for at, prompt in enumerate(sorted({pair[0] for pair, *_ in rows}))}
    names = tuple(sorted({each.judge for _, each, *_ in rows}))
    times: dict[tuple[Pair, str], int] = {}
    for pair, each, *_ in rows:
        times[pair, each.judge] = times.get((pair, each.judge), 0) + 1
    data = Comparisons(
        a=np.array([items[pair[0], pair[1]] for pair, *_ in rows]),
        b=np.array([items[pair[0], pair[2]] for pair, *_ in rows]),
        outcome=np.array([float(share > 0.5) if share != 0.5 else 0.5 for _, _, share, *_ in rows]),
        judge=np.array([names.index(each.judge) for _, each, *_ in rows]),
        side=np.array([_side(pair, each) for pair, each, *_ in rows]),
        weight=np.array([weight / times[pair, each.judge] for pair, each, _, _, _, weight in rows]),
        cluster=np.array([prompts[pair[0]] for pair, *_ in rows]), num_items=len(items), num_judges=len(names))
    shown = {pair: each.term for pair, each, *_ in reversed(rows)}
    return _Panel(data, names, tuple(row[0] for row in rows), tuple(row[3] for row in rows),
                  tuple(row[4] for row in rows), tuple(row[1].say == "counts" for row in rows), shown,
                  tuple(row[1].term.source for row in rows))


def _side(pair: Pair, heard: Heard) -> float:
    """1 where the first of the pair was shown first, -1 where the second was, 0 where nobody knows."""
    if heard.chosen_first is None:
        return 0.0
    return 1.0 if (response_key(heard.term.chosen) == pair[1]) == heard.chosen_first else -1.0


def _terms(panel: _Panel, fit: Fit) -> list[Preference]:
    rows: dict[Pair, list[int]] = {}
    for row, pair in enumerate(panel.pairs):
        if panel.counts[row]:
            rows.setdefault(pair, []).append(row)
    if not rows:
        return []
    first = np.array([panel.data.a[mine[0]] for mine in rows.values()])
    second = np.array([panel.data.b[mine[0]] for mine in rows.values()])
    trust = np.clip(fit.relative[panel.data.judge], -1.0, 1.0)                      # (N,)
    margins = np.array(panel.margins)
    terms = []
    for (pair, mine), share in zip(rows.items(), fit.wins(first, second), strict=True):
        at = np.array(mine)
        pull = trust[at] * panel.data.weight[at]
        weight = float((trust[at] ** 2 * panel.data.weight[at]).sum())
        margin = float((pull * margins[at]).sum() / max(float(np.abs(pull).sum()), 1e-12))
        ids = tuple(sorted({panel.judgment_ids[row] for row in mine}))
        # Nine digits: what another machine's arithmetic does to the last ones must not change a term's name.
        share, margin, weight = (round(float(value), 9) for value in (share, margin, weight))
        made = term_of_pair(pair, panel.shown[pair], share, margin, weight, ids)
        terms.append(replace(made, source=source_of_pair({panel.sources[row] for row in mine})))
    return terms
