"""Rows that are too long: said, counted, and never left without a label (trl#6668, trl#6025, trl#3927)."""

from __future__ import annotations

import pytest

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.loader import collate
from tutelage.data.truncation import Truncation, fit_all, fitted
from tutelage.errors import ConfigError


@pytest.fixture
def rows(tiny, talk):
    template = ChatTemplate.of(tiny)      # a prompt of 21 tokens, then one token a byte and the end of turn
    return [template.render(talk("Hi", said)) for said in ("x", "xxxx", "x" * 20)] + [template.render(talk("Hi")[:1])]


def named(rows: list[Rendered]) -> dict[str, Rendered]:
    return {str(place): row for place, row in enumerate(rows)}


def test_over_long_rows_are_dropped_by_default_and_counted(rows):
    kept, counts = fit_all(named(rows), 26)
    assert list(kept.values()) == rows[:2] and counts == Truncation(kept=2, cut=0, dropped=2)
    assert str(counts) == "2 of 4 rows whole, 0 cut, 2 dropped"


def test_cut_rows_lose_the_end_of_the_response_and_no_end_of_turn_is_made_up(rows):
    kept, counts = fit_all(named(rows), 24, "cut")
    assert counts == Truncation(kept=1, cut=2, dropped=1)
    for row, whole in zip(list(kept.values())[1:], rows[1:], strict=False):
        assert row.ids == whole.ids[:24] and row.response_mask == whole.response_mask[:24]
        assert row.num_labels == 3 and 257 not in row.ids[21:]
        assert row.spans[-1].end == 24 and all(span.end <= 24 for span in row.spans)


@pytest.mark.parametrize("policy", ["drop", "cut"])
def test_no_length_leaves_a_row_without_a_label(rows, policy):
    for length in range(1, 50):
        kept, counts = fit_all(named(rows), length, policy)
        assert counts.total == len(rows) and len(kept) == counts.kept + counts.cut
        assert all(row.num_labels > 0 and len(row.ids) <= length for row in kept.values())
        if kept:
            assert int(collate(list(kept.values())).label_counts.min()) > 0
    assert fitted(rows[3], 1000, policy) is None, "a prompt has no label however short it is"


def test_a_length_or_policy_that_makes_no_sense_is_refused(rows):
    with pytest.raises(ConfigError, match="wanted 1 or more"):
        fitted(rows[0], 0)
    with pytest.raises(ConfigError, match="'drop' or 'cut'"):
        fitted(rows[0], 10, "left")      # type: ignore[arg-type]
