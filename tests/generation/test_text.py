"""Stop strings and text that is shown while it is drawn; a byte a token, so that most characters of 天 come in three."""

from __future__ import annotations

import random

import pytest

from tutelage.data.chat import ChatTemplate
from tutelage.generation.text import StopStrings, TextStream, before_stop
from tutelage.models.tiny import tiny_tokenizer


@pytest.fixture
def chat() -> ChatTemplate:
    return ChatTemplate.of(tiny_tokenizer())


def ids_of(chat: ChatTemplate, text: str) -> list[int]:
    return chat.tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("strings", [("END",), ("。", "Q:"), ("aaab",), ("天空",)])
def test_a_stop_string_is_seen_with_the_token_that_completes_it(chat: ChatTemplate, strings: tuple[str, ...]) -> None:
    stops = StopStrings(chat, strings)
    for text in ("x" * 60 + strings[0] + "y", strings[0], "天天" + strings[-1] + "。x", "aaa" + strings[0]):
        ids = ids_of(chat, text)
        first = next(n for n in range(1, len(ids) + 1) if stops(ids[:n]))
        whole = chat.decode_response(ids[:first])
        assert any(string in whole for string in strings)
        assert not any(string in chat.decode_response(ids[: first - 1]) for string in strings)


def test_text_is_cut_before_whichever_comes_first() -> None:
    assert before_stop("one two three", ("three", "two")) == "one "
    assert before_stop("one", ("x",)) == "one" == before_stop("one", ())


def test_pieces_are_whole_characters_and_together_the_text(chat: ChatTemplate) -> None:
    stream = TextStream(chat)
    pieces = [stream.take(token) for token in [*ids_of(chat, "a天é😀b"), chat.end_of_turn_id]]
    assert pieces == ["a", "", "", "天", "", "é", "", "", "", "😀", "b", ""]
    assert stream.rest() == ""


def test_nothing_of_a_stop_string_is_ever_shown(chat: ChatTemplate) -> None:
    rng = random.Random(0)
    for _ in range(200):
        strings = ("aba", "bc天")
        text = "".join(rng.choice("abc天 ") for _ in range(30))
        stream, stops, shown = TextStream(chat, strings), StopStrings(chat, strings), ""
        ids = ids_of(chat, text)
        for n in range(1, len(ids) + 1):
            shown += stream.take(ids[n - 1])
            assert before_stop(text, strings).startswith(shown)
            if stops(ids[:n]):
                break
        assert shown + stream.rest() == before_stop(text, strings)


def test_what_a_response_is_cut_off_in_comes_with_the_rest(chat: ChatTemplate) -> None:
    stream = TextStream(chat, ("stop",))
    assert "".join(stream.take(token) for token in ids_of(chat, "see sto")) == "see "
    assert stream.rest() == "sto"
