"""Placeholders: typed, consistent in a record, and a way back that is exact."""

from __future__ import annotations

import pytest

from tutelage.privacy import Redaction, find, redact, restore

TEXT = "电话13812345678，邮箱ann@example.org；再打13812345678或者(212) 555-0147。"


def test_the_same_datum_has_the_same_placeholder_and_the_way_back_is_exact() -> None:
    text, originals = redact(TEXT)
    assert text == "电话[PHONE_1]，邮箱[EMAIL_1]；再打[PHONE_1]或者[PHONE_2]。"
    assert originals == {"[PHONE_1]": "13812345678", "[EMAIL_1]": "ann@example.org", "[PHONE_2]": "(212) 555-0147"}
    assert restore(text, originals) == TEXT


def test_nothing_is_left_to_find_and_a_second_redaction_changes_nothing() -> None:
    text, _ = redact(TEXT)
    assert not find(text) and redact(text) == (text, {})


def test_placeholders_that_the_text_wrote_itself_are_not_given_out() -> None:
    before = "[PHONE_1] means 13812345678, not [PHONE_2]"
    text, originals = redact(before)
    assert text == "[PHONE_1] means [PHONE_3], not [PHONE_2]" and restore(text, originals) == before


def test_a_record_is_consistent_over_its_texts_and_only_the_kinds_asked_for_go() -> None:
    redaction = Redaction(kinds=["phone"])
    assert [redaction.apply(text) for text in (TEXT, "call 13812345678")] == [
        "电话[PHONE_1]，邮箱ann@example.org；再打[PHONE_1]或者[PHONE_2]。", "call [PHONE_1]"]


@pytest.mark.parametrize("writing", ["138-1234-5678", "138 1234 5678", "+86 13812345678", "１３８１２３４５６７８"])
def test_another_writing_of_a_number_comes_back_as_it_was(writing: str) -> None:
    before = f"手机13812345678即手机{writing}。"
    text, originals = redact(before)
    assert text == "手机[PHONE_1]即手机[PHONE_2]。" and restore(text, originals) == before


def test_unknown_placeholders_stay() -> None:
    assert restore("[EMAIL_9] [NOTE_1]", {"[EMAIL_1]": "x"}) == "[EMAIL_9] [NOTE_1]"
