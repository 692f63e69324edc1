"""A known answer is compared with what was said, whichever way round it was shown."""

from __future__ import annotations

from itertools import permutations

import pytest

from tutelage.studio.gold import as_shown, in_item_order, is_right


def test_a_comparison_shown_the_other_way_round() -> None:
    # Shown (1, 0): what stood first is the item's second. "a" wins there means the item's "b".
    assert in_item_order("comparison", {"winner": "a", "strength": 2}, (1, 0)) == {"winner": "b", "strength": 2}
    assert is_right("comparison", {"winner": "a", "strength": 1}, {"winner": "b", "strength": 3}, (1, 0))
    assert not is_right("comparison", {"winner": "a", "strength": 1}, {"winner": "b", "strength": 3}, (0, 1))
    assert is_right("comparison", {"winner": "tie"}, {"winner": "tie"}, (1, 0))


def test_a_ranking_shown_in_another_order() -> None:
    # Shown: the item's third, first, second; ranked 1, 2, 3 as shown: the item's own are 2, 3, 1.
    assert in_item_order("ranking", {"ranks": [1, 2, 3]}, (2, 0, 1)) == {"ranks": [2, 3, 1]}


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_turning_and_turning_back_is_nothing(order: tuple[int, ...]) -> None:
    for answer in ({"ranks": [1, 3, 2]}, {"text": "x", "sample": 2}, {"declined": "cannot_judge"}):
        assert as_shown("ranking", in_item_order("ranking", answer, order), order) == answer


def test_a_rating_may_be_one_off() -> None:
    gold = {"scores": {"helpful": 4, "correct": 5}}
    assert is_right("rating", {"scores": {"helpful": 5, "correct": 4}}, gold, (0,))
    assert not is_right("rating", {"scores": {"helpful": 2, "correct": 5}}, gold, (0,))
    assert not is_right("rating", {"declined": "cannot_judge"}, gold, (0,))
