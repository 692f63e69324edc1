"""What a judge does whatever is shown: leaning to one side, answering the same question in two ways."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

from tutelage.feedback.agreement import Agreement
from tutelage.feedback.votes import prompt_key, question_key, readings
from tutelage.records import Judgment
from tutelage.statistics import share_interval

RESAMPLES = 2_000


def position_bias(judgments: Iterable[Judgment], resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """P(the response shown first wins) among comparisons with a winner; 0.5 is no bias where sides are counterbalanced.

    The interval is clustered by prompt. Of imported comparisons nobody knows the sides, so they do not count.
    """
    said = [judgment for judgment in judgments if judgment.kind == "comparison" and judgment.guideline != "imported"
            and judgment.answer["winner"] in ("a", "b")]
    wins = [float(judgment.answer["winner"] == "a") for judgment in said]
    return _share(wins, [prompt_key(judgment) for judgment in said], "no_winner", resamples, seed)


def self_consistency(judgments: Iterable[Judgment], resamples: int = RESAMPLES, seed: int = 0) -> Agreement:
    """How often one judge who is asked the same again says the same, whichever way round it is shown.

    Every pair of answers of one person to one question is a row (an aspect of a rating each its own); the interval is
    clustered by question. Only kinds with votes count.
    """
    asked: dict[tuple[str, str, str], list[object]] = {}
    home: dict[tuple[str, str, str], str] = {}
    for judgment in judgments:
        for name, item, value in readings(judgment):
            key = (judgment.annotator_id, name, item)
            asked.setdefault(key, []).append(value)
            home[key] = question_key(judgment)
    same, clusters = [], []
    for key in sorted(asked):
        for one, other in combinations(asked[key], 2):
            same.append(float(one == other))
            clusters.append(home[key])
    return _share(same, clusters, "no_duplicates", resamples, seed)


def _share(rows: Sequence[float], clusters: Sequence[str], reason: str, resamples: int, seed: int) -> Agreement:
    if not rows:
        return Agreement(None, None, None, 0, reason)
    found = share_interval(rows, clusters, resamples, seed)
    return Agreement(found.value, found.low, found.high, found.n)
