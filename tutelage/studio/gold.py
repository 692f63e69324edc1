"""Known answers: whether what somebody said of the samples as they were shown is what is known of them as they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SIDES = "ab"


def in_item_order(kind: str, answer: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """An answer about samples as displayed (`order[k]` is the item's place of the one shown as number k), as it reads
    with the samples in the item's own order."""
    turned = dict(answer)
    if kind == "comparison" and answer.get("winner") in ("a", "b"):
        turned["winner"] = _SIDES[order[_SIDES.index(answer["winner"])]]
    if kind == "ranking" and "ranks" in answer:
        turned["ranks"] = [rank for _, rank in sorted(zip(order, answer["ranks"], strict=True))]
    if isinstance(answer.get("sample"), int):
        turned["sample"] = order[answer["sample"]]
    return turned


def as_shown(kind: str, answer: Mapping[str, Any], order: Sequence[int]) -> dict[str, Any]:
    """The other way round: an answer about samples in the item's own order, as it reads for who saw them in `order`."""
    return in_item_order(kind, answer, [order.index(place) for place in range(len(order))])


def matches(kind: str, said: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Whether two answers in one order say the same. Of a comparison the winner decides, not the strength; a rating may
    be one off on each aspect."""
    if kind == "comparison":
        return said.get("winner") == known.get("winner")
    if kind == "rating" and "scores" in known and "scores" in said:
        return all(abs(said["scores"].get(aspect, 0) - score) <= 1 for aspect, score in known["scores"].items())
    return dict(said) == dict(known)


def is_right(kind: str, answer: Mapping[str, Any], gold: Mapping[str, Any], order: Sequence[int]) -> bool:
    """Whether an answer about samples as displayed is the known one."""
    return matches(kind, in_item_order(kind, answer, order), gold)
