"""Text metrics, by hand."""

import pytest

from tutelage.text_metrics import (
    count_sentences,
    count_words,
    distinct_n,
    han_fraction,
    ngrams,
    repetition_fraction,
    units,
    words_per_sentence,
)


@pytest.mark.parametrize(("text", "wanted"), [
    ("Don't pay 3.14 or 1,000!", ["don't", "pay", "3.14", "or", "1,000"]),
    ("The end.Next", ["the", "end", "next"]),
    ("你好，世界", ["你", "好", "世", "界"]),
    ("用GPT-2写3首诗", ["用", "gpt", "2", "写", "3", "首", "诗"]),
    ("naïve cafe\u0301", ["naïve", "cafe\u0301"]),
    ("한국어 문장", ["한국어", "문장"]),
    (" …!? ", []),
    ("", []),
])
def test_units_are_words_or_han_characters(text, wanted):
    assert units(text) == wanted
    assert count_words(text) == len(wanted)


def test_distinct_of_a_sentence_counted_by_hand():
    # the cat the dog: 4 units, 3 different; 3 pairs, all different
    assert distinct_n(["the cat the dog"], 1) == 3 / 4
    assert distinct_n(["the cat the dog"], 2) == 1.0


def test_distinct_is_over_all_texts_and_no_pair_crosses_between_them():
    # units a b | a b: 2 of 4. pairs: (a b) | (a b): 1 of 2; a crossing pair (b a) would make it 2 of 3
    assert distinct_n(["a b", "a b"], 1) == 1 / 2
    assert distinct_n(["a b", "a b"], 2) == 1 / 2


def test_distinct_of_chinese_is_by_character():
    # 人 山 人 海: 4 characters, 3 different; as one "word" it would be 1
    assert distinct_n(["人山人海"], 1) == 3 / 4


def test_distinct_ignores_case_punctuation_and_order_of_texts():
    assert distinct_n(["A, b!", "c"], 1) == distinct_n(["c", "a b"], 1) == 1.0
    assert distinct_n(["Yes yes"], 1) == 1 / 2


def test_nothing_said_is_not_varied():
    assert distinct_n([], 1) == distinct_n(["", "!"], 1) == distinct_n(["one"], 2) == 0.0


def test_an_ngram_of_nothing_is_refused():
    with pytest.raises(ValueError, match="wanted 1 or more"):
        ngrams("a b", 0)


def test_repetition_counts_what_was_said_before():
    # a b a b a b, n = 2: ab ba ab ba ab: 5 pairs, 2 different, so 3 of 5 are repeats
    assert repetition_fraction("a b a b a b", 2) == pytest.approx(3 / 5, abs=1e-12)
    # ha x 7, n = 4: 4 n-grams, 1 different
    assert repetition_fraction("ha " * 7) == 3 / 4
    assert repetition_fraction("哈哈哈哈哈哈哈") == 3 / 4
    assert repetition_fraction("every word here is new") == 0.0
    assert repetition_fraction("too short") == 0.0


@pytest.mark.parametrize(("text", "wanted"), [
    ("One. Two! Three?", 3),
    ("Pi is 3.14 and so on", 1),
    ('He said "no." Then he left.', 2),
    ("你好。今天天气不错！出去走走吧？", 3),
    ("“再见。”他说。", 2),
    ("等等……好了", 2),
    ("- milk\n- bread\n", 2),
    ("What?! No...", 2),
    ("...", 0),
    ("", 0),
])
def test_sentences(text, wanted):
    assert count_sentences(text) == wanted


def test_sentence_length():
    assert words_per_sentence("One two. Three four five six.") == 3.0
    assert words_per_sentence("") == 0.0


def test_share_of_han():
    # 3 Han letters, 2 Latin ones; the digit and the mark are no letters
    assert han_fraction("我爱你 ab 1!") == 3 / 5
    assert han_fraction("plain English") == 0.0
    assert han_fraction("〇一々") == 1.0          # 〇 is a number, 々 a letter
    assert han_fraction("123") == 0.0
