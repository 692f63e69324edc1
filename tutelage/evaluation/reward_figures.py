"""What is measured of a reward model: accuracy where, against which ceiling, calibration, and what it should not follow.

Every interval is a 95 % bootstrap over prompts. What is undefined is None, and the page says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from tutelage.evaluation.judged_pairs import Item, Judgments, prompt_name
from tutelage.evaluation.reward_results import (
    Calibration,
    Ceiling,
    Correlations,
    Length,
    Rated,
    RewardFigures,
    Slice,
    Spread,
    Swap,
)
from tutelage.messages import Messages
from tutelage.records import AnnotatorKind, Rating, Thumb
from tutelage.statistics import Estimate, brier, calibration_error, kendall, mean_interval, pearson, reliability, spearman
from tutelage.statistics import win_rate as rate_above
from tutelage.statistics.dependence import area_under_curve, at_equal
from tutelage.statistics.resampling import bootstrap_interval
from tutelage.text_metrics import count_words

Numbers = NDArray[np.float64]
ScoreOf = Callable[[Messages, Messages], float]      # (prompt, response) -> score, NaN where there is none
SHORTER, LONGER = 0.8, 1.25      # better response over worse one, in words: between them they count as equally long
FEWEST = 5                       # rows from which on a correlation is given
KINDS: tuple[AnnotatorKind, ...] = ("human", "model", "scripted")      # whose agreement is the ceiling, the first that is known
LUCK = 200                       # draws that say what calibration error a calibrated model would show


def measure(items: Sequence[Item], rated: Sequence[Rated], judgments: Judgments, score_of: ScoreOf, *,
            unit: float | None, swap: Swap | None = None, seed: int = 0) -> RewardFigures:
    """Everything that can be said of scores.

    Args:
        rated: the scores of each item.
        score_of: (prompt, response) -> score, NaN where there is none; of what was rated or given a thumb.
        unit: log-odds that one unit of score stands for; None where scores are no log-odds.
    """
    undefined: dict[str, str] = {}
    decided = [at for at, item in enumerate(items) if item.decided]

    def known(name: str, value: Any, why: str) -> Any:
        if value is None:
            undefined[name] = why
        return value

    own = [items[at] for at in decided], [rated[at] for at in decided]
    accuracy = known("accuracy", _accuracy(*own, seed), "no_pairs" if not items else "all_ties")
    return RewardFigures(
        pairs=len(items), decided=len(decided), prompts=len({prompt_name(item.prompt) for item in items}),
        annotators=_counted(item.annotator for item in items), accuracy=accuracy, slices=slices(*own, seed),
        ceiling=known("ceiling", _ceiling(items, rated, seed), "judged_once"),
        calibration=known("calibration", None if unit is None or not items else calibrated(items, rated, unit, seed),
                          "no_pairs" if not items else "no_probability"),
        ratings=known("ratings", _with_ratings(judgments.ratings, score_of, seed) or None, "no_ratings") or {},
        thumbs=known("thumbs", _with_thumbs(judgments.thumbs, score_of, seed), "no_thumbs"),
        length=known("length", with_length(items, rated, seed), "no_length"),
        position=known("position", _with_position(items, rated, seed), "no_position"), swap=swap,
        spread=known("spread", spread_of(*own, seed), "one_model"), undefined=undefined)


def _counted(names: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _prompts(items: Sequence[Item]) -> list[str]:
    return [prompt_name(item.prompt) for item in items]


def _accuracy(items: Sequence[Item], rated: Sequence[Rated], seed: int) -> Estimate | None:
    """Share of decided items whose better side scores higher, equal scores half."""
    if not items:
        return None
    return rate_above([each.better for each in rated], [each.worse for each in rated], _prompts(items), seed=seed)


def slices(items: Sequence[Item], rated: Sequence[Rated], seed: int = 0) -> dict[str, tuple[Slice, ...]]:
    """Accuracy by what tells decided items apart; what does not tell any apart is left out, but for the kind."""
    gaps = np.abs([each.gap for each in rated])
    thirds = np.quantile(gaps, [1 / 3, 2 / 3]) if len(gaps) >= 3 * FEWEST else None
    ways: dict[str, list[str]] = {
        "kind": [item.kind for item in items],
        "annotator": [item.annotator for item in items],
        "language": [item.language or "unknown" for item in items],
        "length": [length_gap(item) for item in items],
        "margin": [margin_of(item) for item in items],
        "sureness": [] if thirds is None else [("low", "middle", "high")[int((gap > thirds).sum())] for gap in gaps],
    }
    found = {}
    for way, names in ways.items():
        values = sorted(set(names), key=_ORDER.get(way, {}).__getitem__) if way in _ORDER else sorted(set(names))
        if len(values) > 1 or (values and way == "kind"):
            found[way] = tuple(_slice(value, [at for at, name in enumerate(names) if name == value], items, rated, seed)
                               for value in values)
    return found


_ORDER: Mapping[str, Mapping[str, int]] = {
    way: {name: place for place, name in enumerate(names)} for way, names in {
        "length": ("shorter", "equal", "longer"), "margin": ("divided", "plain", "slight", "clear"),
        "sureness": ("low", "middle", "high")}.items()}


def _slice(name: str, places: Sequence[int], items: Sequence[Item], rated: Sequence[Rated], seed: int) -> Slice:
    accuracy = _accuracy([items[at] for at in places], [rated[at] for at in places], seed)
    assert accuracy is not None
    return Slice(name=name, accuracy=accuracy, pairs=len(places))


def length_gap(item: Item) -> str:
    """Is the better response `shorter`, about `equal` or `longer`, in words?"""
    better, worse = (max(1, _words(side)) for side in (item.better, item.worse))
    return "shorter" if better < SHORTER * worse else "longer" if better > LONGER * worse else "equal"


def margin_of(item: Item) -> str:
    """How clear the judgment was: votes `divided`, a `plain` word, or a margin that is `slight` (under 1) or `clear`."""
    if item.share < 1.0:
        return "divided"
    return "plain" if item.margin == 0 else "clear" if item.margin >= 1 else "slight"


def _words(response: Messages) -> int:
    return sum(count_words(message.text) for message in response)


def _ceiling(items: Sequence[Item], rated: Sequence[Rated], seed: int) -> Ceiling | None:
    twice = [(item, item.agreement, each.gap) for item, each in zip(items, rated, strict=True) if item.agreement is not None]
    kind = next((kind for kind in KINDS if any(item.annotator == kind for item, _, _ in twice)), None)
    if kind is None:
        return None
    of_kind = [row for row in twice if row[0].annotator == kind]
    model = [item.share if gap > 0 else 1 - item.share if gap < 0 else 0.5 for item, _, gap in of_kind]
    clusters = _prompts([item for item, _, _ in of_kind])
    return Ceiling(annotator=kind, people=mean_interval([agreed for _, agreed, _ in of_kind], clusters, seed=seed),
                   model=mean_interval(model, clusters, seed=seed), items=len(of_kind))


def calibrated(items: Sequence[Item], rated: Sequence[Rated], unit: float, seed: int = 0) -> Calibration:
    """Probabilities sigma(unit x gap) against shares of votes. The error and the bins are of the side the model prefers, so that
    turning a pair round changes nothing; where it prefers neither it says a half of either, and either had a half on average."""
    gaps = unit * np.array([each.gap for each in rated])
    share = np.array([item.share for item in items])
    said = expit(np.abs(gaps))                                               # of the side it prefers, at least 0.5
    happened = np.where(gaps > 0, share, np.where(gaps < 0, 1 - share, 0.5))
    clusters = _prompts(items)
    rng = np.random.default_rng(seed)
    luck = float(np.mean([calibration_error(said, rng.random(len(said)) < said) for _ in range(LUCK)]))
    squares = mean_interval((expit(gaps) - share) ** 2, clusters, seed=seed)
    assert math.isclose(squares.value, brier(expit(gaps), share), abs_tol=1e-12)
    return Calibration(error=bootstrap_interval(lambda rows: calibration_error(said[rows], happened[rows]), clusters, seed=seed),
                       luck=luck, brier=squares, bins=tuple(reliability(said, happened)))


def _with_ratings(ratings: Sequence[Rating], score_of: ScoreOf, seed: int) -> dict[str, Correlations]:
    rows: dict[str, list[tuple[float, float, str]]] = {}
    for each in ratings:
        score = score_of(each.prompt, each.response)
        for aspect, value in each.scores.items():
            if math.isfinite(score):
                rows.setdefault(aspect, []).append((score, value, prompt_name(each.prompt)))
    found = {}
    for aspect, told in sorted(rows.items()):
        scores, values = (np.array(column, dtype=np.float64) for column in list(zip(*told, strict=True))[:2])
        if len(told) >= FEWEST and np.ptp(values) > 0 and np.ptp(scores) > 0:
            clusters = [row[2] for row in told]
            found[aspect] = Correlations(rows=len(told), **{
                name: correlation(measured, scores, values, clusters, seed)
                for name, measured in (("pearson", pearson), ("spearman", spearman), ("kendall", kendall))})
    return found


def correlation(measured: Callable[..., float], a: Numbers, b: Numbers, clusters: Sequence[str], seed: int) -> Estimate:
    """A correlation with its interval; Kendall's, which compares all with all, by fewer draws."""
    return bootstrap_interval(lambda rows: measured(a[rows], b[rows]), clusters, 200 if measured is kendall else 1000, seed)


def _with_thumbs(thumbs: Sequence[Thumb], score_of: ScoreOf, seed: int) -> Estimate | None:
    told = [(score, each.up, prompt_name(each.prompt)) for each in thumbs
            if math.isfinite(score := score_of(each.prompt, each.response))]
    if len({up for _, up, _ in told}) < 2:
        return None
    scores, liked = np.array([row[0] for row in told]), np.array([row[1] for row in told])
    return bootstrap_interval(lambda rows: area_under_curve(scores[rows], liked[rows]), [row[2] for row in told], seed=seed)


def with_length(items: Sequence[Item], rated: Sequence[Rated], seed: int = 0) -> Length | None:
    """By the logarithm of the number of words, which is 1 for a doubling."""
    gaps = np.array([each.gap for each in rated])
    longer = np.array([math.log2(max(1, _words(item.better)) / max(1, _words(item.worse))) for item in items])
    if len(items) < FEWEST or not longer.any() or not gaps.any():
        return None
    judged, clusters = np.array([2 * item.share - 1 for item in items]), _prompts(items)

    def together(rows: NDArray[np.int64]) -> float:
        """Of differences, which may be written either way round: no mean is taken off."""
        return at_equal(gaps[rows], longer[rows], np.zeros(len(rows))).correlation

    return Length(within=bootstrap_interval(together, clusters, seed=seed),
                  at_equal=bootstrap_interval(
                      lambda rows: at_equal(gaps[rows], longer[rows], judged[rows]).correlation, clusters, seed=seed),
                  slope=bootstrap_interval(
                      lambda rows: at_equal(gaps[rows], longer[rows], judged[rows]).slope, clusters, seed=seed))


def _with_position(items: Sequence[Item], rated: Sequence[Rated], seed: int) -> Estimate | None:
    """How the gap goes with which side was shown first, the judgment held fixed: the model never sees the place, but it may
    have learned from people who lean to one."""
    told = [(each.gap, item.shown, 2 * item.share - 1, prompt_name(item.prompt))
            for item, each in zip(items, rated, strict=True) if item.shown is not None]
    if len(told) < FEWEST:
        return None
    gaps, shown, judged = (np.array(column, dtype=np.float64) for column in list(zip(*told, strict=True))[:3])
    found = bootstrap_interval(lambda rows: at_equal(gaps[rows], shown[rows], judged[rows]).correlation,
                               [row[3] for row in told], seed=seed)
    return found if math.isfinite(found.value) else None


def spread_of(items: Sequence[Item], rated: Sequence[Rated], seed: int = 0) -> Spread | None:
    """Of the decided items, whose `rated` have members."""
    if not rated or len(rated[0].members) < 2:
        return None
    gaps = np.array([[better - worse for better, worse in each.members] for each in rated])      # (N, M)
    spread, right = gaps.std(axis=1), np.array([each.gap > 0 for each in rated])
    together: NDArray[np.bool_] = np.asarray((gaps > 0).all(axis=1) | (gaps < 0).all(axis=1))
    clusters = np.array(_prompts(items))

    def mean(values: Numbers, kept: NDArray[np.bool_]) -> Estimate | None:
        return mean_interval(values[kept], clusters[kept], seed=seed) if kept.any() else None

    def accuracy(kept: NDArray[np.bool_]) -> Estimate | None:
        places = np.flatnonzero(kept).tolist()
        return _accuracy([items[at] for at in places], [rated[at] for at in places], seed)

    every = np.ones(len(rated), dtype=bool)
    unanimous = mean(together.astype(float), every)
    assert unanimous is not None
    return Spread(members=gaps.shape[1], right=mean(spread, right), wrong=mean(spread, ~right), unanimous=unanimous,
                  when_unanimous=accuracy(together), when_split=accuracy(~together))
