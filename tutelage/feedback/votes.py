"""Judgments as votes: what each person said of each item, whichever side things were shown on.

An item is one thing that several people can say the same or something else of: a pair of responses, an aspect of one
response, the label of a text. A vote says it of the content, not of the place: of a pair, the response whose sample id
comes first is `first`. Who was asked the same twice and said two things has no vote on it (`habits.self_consistency`
counts that); "cannot judge" is no vote either.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tutelage.errors import ShapeError
from tutelage.lineage import canonical_json
from tutelage.records import Judgment

MISSING = -1

Said = tuple[str, str, str, Hashable]     # item, the cluster it belongs to, who, what


@dataclass(frozen=True, slots=True)
class Votes:
    """U items · R raters · V values. `codes[u, r]` is the index into `values` of what r said of u, -1 where nothing.

    Items of one cluster are not independent (the pairs of one ranking, the responses to one prompt): a bootstrap draws
    clusters whole.
    """

    items: tuple[str, ...]             # U
    raters: tuple[str, ...]            # R
    values: tuple[Any, ...]            # V, sorted
    codes: NDArray[np.int64]           # (U, R)
    clusters: NDArray[np.int64]        # (U,)

    @classmethod
    def of(cls, said: Iterable[Said]) -> Votes:
        """Votes as they are told; who says two things of one item has no vote on it.

        Raises:
            ShapeError: if values are of kinds that cannot be put in one order.
        """
        table: dict[str, dict[str, set[Hashable]]] = {}
        homes: dict[str, str] = {}
        for item, cluster, rater, value in said:
            table.setdefault(item, {}).setdefault(rater, set()).add(value)
            homes[item] = cluster
        items = tuple(sorted(table))
        raters = tuple(sorted({rater for votes in table.values() for rater in votes}))
        values = _sorted({value for votes in table.values() for each in votes.values() for value in each})
        codes = np.full((len(items), len(raters)), MISSING)
        number, column = {value: at for at, value in enumerate(values)}, {rater: at for at, rater in enumerate(raters)}
        for row, item in enumerate(items):
            for rater, given in table[item].items():
                if len(given) == 1:
                    codes[row, column[rater]] = number[next(iter(given))]
        order = {cluster: at for at, cluster in enumerate(sorted(set(homes.values())))}
        return cls(items, raters, values, codes, np.array([order[homes[item]] for item in items], dtype=np.int64))

    @classmethod
    def table(cls, rows: Mapping[str, Mapping[str, Hashable]]) -> Votes:
        """item -> rater -> value, None for none; every item is a cluster of its own."""
        return cls.of((item, item, rater, value) for item, votes in rows.items() for rater, value in votes.items()
                      if value is not None)

    @property
    def counts(self) -> NDArray[np.float64]:
        """(U, V) how many said each value."""
        rows, columns = np.nonzero(self.codes != MISSING)
        found = np.zeros((len(self.items), len(self.values)))
        np.add.at(found, (rows, self.codes[rows, columns]), 1.0)
        return found


def _sorted(values: set[Any]) -> tuple[Any, ...]:
    try:
        return tuple(sorted(values))
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise ShapeError(f"votes hold values of the kinds {kinds}, which have no common order.") from None


def prompt_key(judgment: Judgment) -> str:
    return canonical_json([message.to_json() for message in judgment.prompt.messages])


def question_key(judgment: Judgment) -> str:
    """The same for all who were asked the same, whichever way round."""
    return canonical_json([judgment.kind, prompt_key(judgment), sorted(judgment.samples)])


def votes_by_question(judgments: Iterable[Judgment]) -> dict[str, Votes]:
    """What is voted on -> the votes: "comparison", "ranking", "thumbs", "label", and "rating: ASPECT" for each aspect.

    Kinds that say something in words have none.
    """
    said: dict[str, list[Said]] = {}
    for judgment in judgments:
        for name, item, value in readings(judgment):
            said.setdefault(name, []).append((item, prompt_key(judgment), judgment.annotator_id, value))
    return {name: Votes.of(each) for name, each in sorted(said.items())}


def readings(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    """(what is voted on, item, value) of one judgment."""
    read = _READERS.get(judgment.kind)
    if read is not None:
        yield from read(judgment)


def _comparison(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    winner = judgment.answer["winner"]
    if winner == "cannot_judge":
        return
    if winner in ("a", "b"):
        winner = _side(judgment.samples, "ab".index(winner))
    yield "comparison", question_key(judgment), winner


def _side(samples: Sequence[str], winner: int) -> str:
    return "first" if samples[winner] == min(samples) else "second"


def _ranking(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    ranks = judgment.answer.get("ranks")
    if ranks is None:
        return
    for i, j in combinations(range(len(ranks)), 2):
        pair = (judgment.samples[i], judgment.samples[j])
        value = "tie" if ranks[i] == ranks[j] else _side(pair, 0 if ranks[i] < ranks[j] else 1)
        yield "ranking", canonical_json([prompt_key(judgment), sorted(pair)]), value


def _rating(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    for aspect, score in judgment.answer.get("scores", {}).items():
        yield f"rating: {aspect}", question_key(judgment), score


def _thumbs(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    if "up" in judgment.answer:
        yield "thumbs", question_key(judgment), "up" if judgment.answer["up"] else "down"


def _label(judgment: Judgment) -> Iterator[tuple[str, str, Hashable]]:
    if "labels" in judgment.answer:
        yield "label", question_key(judgment), tuple(sorted(judgment.answer["labels"]))


_READERS: Mapping[str, Callable[[Judgment], Iterator[tuple[str, str, Hashable]]]] = {
    "comparison": _comparison, "ranking": _ranking, "rating": _rating, "thumbs": _thumbs, "label": _label}
