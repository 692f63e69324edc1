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


def is_right(kind: str, answer: Mapping[str, Any], gold: Mapping[str, Any], order: Sequence[int]) -> bool:
    """Whether the answer is the known one. Of a comparison the winner decides, not the strength; a rating may be one off."""
    said = in_item_order(kind, answer, order)
    if kind == "comparison":
        return said.get("winner") == gold.get("winner")
    if kind == "rating" and "scores" in gold and "scores" in said:
        return all(abs(said["scores"].get(aspect, 0) - score) <= 1 for aspect, score in gold["scores"].items())
    return said == dict(gold)
