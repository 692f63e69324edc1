"""Preferences as batches: each response once, each prompt once."""

from __future__ import annotations

from collections.abc import Callable

from tutelage.data.chat import ChatTemplate
from tutelage.records import Preference
from tutelage.training.pairs import collate_groups, group_pairs
from tutelage.training.responses import render_to_end_of_turn

Prefer = Callable[..., Preference]


def test_a_response_that_stands_in_many_pairs_is_computed_once(preference: Prefer, template: ChatTemplate) -> None:
    """Three responses in their three pairs: 3 rows, not 6."""
    terms = [preference("p", "aa", "bb"), preference("p", "aa", "cc"), preference("p", "bb", "cc"), preference("q", "aa", "bb")]
    groups, dropped = group_pairs(terms, template, 100)
    assert dropped == 0 and [len(group.responses) for group in groups] == [3, 2]
    assert [(chosen, rejected) for chosen, rejected, _ in groups[0].pairs] == [(0, 1), (0, 2), (1, 2)]
    micro = collate_groups(groups)
    assert micro.tokens.num_sequences == 5
    assert micro.fields["chosen"].tolist() == [0, 0, 1, 3] and micro.fields["rejected"].tolist() == [1, 2, 2, 4]
    assert micro.rows == tuple(term.id for term in terms)


def test_judgments_of_one_pair_by_two_people_both_count(preference: Prefer, template: ChatTemplate) -> None:
    """A duplicate is a second opinion: one more pair, no more computation."""
    terms = [preference("p", "aa", "bb", id="x"), preference("p", "aa", "bb", id="y"), preference("p", "bb", "aa", id="z")]
    group, = group_pairs(terms, template, 100)[0]
    assert len(group.responses) == 2 and [pair[:2] for pair in group.pairs] == [(0, 1), (0, 1), (1, 0)]


def test_pairs_with_a_side_too_long_are_dropped_whole_and_counted(preference: Prefer, template: ChatTemplate) -> None:
    """Never cut: the score is read at the last token (research B, RM). A response only a dropped pair had goes too."""
    terms = [preference("p", "aa", "b" * 50), preference("p", "aa", "cc"), preference("q", "d" * 50, "e")]
    groups, dropped = group_pairs(terms, template, 40)
    assert dropped == 2 and len(groups) == 1
    assert [response.text[-14:] for response in groups[0].responses] == ["t\naa<|im_end|>", "t\ncc<|im_end|>"]


def test_a_row_ends_with_its_end_of_turn(template: ChatTemplate, preference: Prefer) -> None:
    """Where the score is read, and where sampling stops (RLHFlow#16)."""
    term = preference("p", "aa", "bb")
    row = render_to_end_of_turn(template, term.prompt, term.chosen)
    assert row.ids[-1] == template.end_of_turn_id and row.response_mask[-1]
    assert row.ids[:-3] == template.render_prompt(term.prompt)
