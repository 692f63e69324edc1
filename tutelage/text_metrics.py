"""What can be said of a text without a model: how varied it is, how much it repeats itself, how long, in which script.

A unit is what is counted: one Han, Hiragana or Katakana character, or one run of letters and digits of any other
script ("don't" and "3.14" are one each). So English is counted in words and Chinese in characters, as each is counted
by the people who read it, and a mixed text needs no guess about its language.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex

UNIT = regex.compile(
    r"(?V1)[\p{Han}\p{Hiragana}\p{Katakana}]"                      # one character, one unit
    r"|[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}]]+"    # a word or a number ...
    r"(?:(?:['’]|(?<=\p{N})[.,](?=\p{N}))[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Hiragana}\p{Katakana}]]+)*"   # ... that goes on
)
# A full stop ends a sentence only before a blank, a closing quote or the end, so that 3.14 holds none; a line break
# ends one always, as in lists. Chinese marks end one wherever they stand.
_SENTENCE_END = regex.compile(r"[。！？；!?…]+|\.+(?=\s|[\"'”’)\]」』]|$)|\n+")
_LETTER = regex.compile(r"\p{L}")
_HAN_LETTER = regex.compile(r"(?V1)[\p{Han}&&\p{L}]")


def units(text: str) -> list[str]:
    """The units of `text` in order, case folded; punctuation is left out."""
    return [unit.casefold() for unit in UNIT.findall(text)]


def ngrams(text: str, n: int) -> Iterator[tuple[str, ...]]:
    """Every run of n units, in order; none where the text is shorter."""
    if n < 1:
        raise ValueError(f"an n-gram of {n} units was asked for; wanted 1 or more.")
    found = units(text)
    return (tuple(found[start:start + n]) for start in range(len(found) - n + 1))


def distinct_n(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of all texts, 0 to 1 (Li et al. 2016, arXiv:1510.03055, "distinct-n").

    No n-gram crosses from one text to the next. It falls as there is more text, whoever wrote it: compare only equal
    numbers of texts of similar length. 0 where there is no n-gram at all: who says nothing is not varied.
    """
    found = [gram for text in texts for gram in ngrams(text, n)]
    return len(set(found)) / len(found) if found else 0.0


def repetition_fraction(text: str, n: int = 4) -> float:
    """Share of n-grams that the same text has already said, 0 to 1 (seq-rep-n: Welleck et al. 2020, arXiv:1908.04319).

    0 where the text has no n-gram.
    """
    found = list(ngrams(text, n))
    return 1 - len(set(found)) / len(found) if found else 0.0


def count_words(text: str) -> int:
    """Words of an alphabetic text, characters of a Chinese one (字数), the sum of both in a mixed one."""
    return len(UNIT.findall(text))


def count_sentences(text: str) -> int:
    """Stretches between sentence ends that hold at least one unit; what is left without an end mark counts too.

    "e.g. this" counts as two: abbreviations are not known.
    """
    return sum(1 for stretch in _SENTENCE_END.split(text) if UNIT.search(stretch))


def words_per_sentence(text: str) -> float:
    """Mean length of a sentence in units: the plainest measure of how hard a text reads. 0 for an empty text."""
    sentences = count_sentences(text)
    return count_words(text) / sentences if sentences else 0.0


def han_fraction(text: str) -> float:
    """Share of the letters that are Han characters, 0 to 1; 0 where there are no letters. Digits do not count."""
    letters = len(_LETTER.findall(text))
    return len(_HAN_LETTER.findall(text)) / letters if letters else 0.0


def longest_common(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the table at a time as the bits of one number (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for i, unit in enumerate(a):
        places[unit] = places.get(unit, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full                       # a zero bit marks where the table goes up by one
    for unit in b:
        hit = row & places.get(unit, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(a) - row.bit_count()
