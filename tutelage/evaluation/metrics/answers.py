"""Short answers: exact match and token F1 as SQuAD takes them, with characters as the tokens of Chinese.

English is normalised as in SQuAD (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, no punctuation, no articles,
single blanks. Where Han characters, kana or Chinese punctuation occur, that punctuation goes too and each character is
a token of its own, so that a text needs no guess about its language.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence

import regex

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_EAST_ASIAN_PUNCTUATION = regex.compile(r"[\u3000-\u303f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65“”‘’—…·￥]")
_CHINESE_MARKS = regex.compile(r"[\u3001-\u3011\uff01-\uff0f\uff1a-\uff20]")       # curly quotes alone are English too
_ARTICLE = regex.compile(r"\b(a|an|the)\b")
_EAST_ASIAN = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")


def normalise(text: str) -> str:
    """`text` as answers are compared: case, punctuation, articles and blanks aside."""
    text = text.lower().translate(_ASCII_PUNCTUATION)
    if _EAST_ASIAN.search(text) or _CHINESE_MARKS.search(text):
        text = _EAST_ASIAN_PUNCTUATION.sub("", text)
    return " ".join(_ARTICLE.sub(" ", text).split())


def answer_tokens(text: str) -> list[str]:
    """Tokens of the normalised text: words between blanks, each Han character or kana alone."""
    return _EAST_ASIAN.sub(lambda found: f" {found.group()} ", normalise(text)).split()


def exact_match(response: str, answers: Sequence[str]) -> float:
    """1 where the response is one of the answers, both normalised, else 0."""
    return float(normalise(response) in {normalise(answer) for answer in answers})


def contains_answer(response: str, answers: Sequence[str]) -> float:
    """1 where the tokens of an answer stand in the response one after the other, else 0. An empty answer is in no text."""
    said = answer_tokens(response)
    wanted = [tokens for answer in answers if (tokens := answer_tokens(answer))]
    return float(any(said[at:at + len(tokens)] == tokens for tokens in wanted for at in range(len(said) - len(tokens) + 1)))


def token_f1(response: str, answers: Sequence[str]) -> float:
    """The best F1, over the answers, of the tokens both have, each as often as it occurs in both.

        F1 = 2 common / (tokens of the response + tokens of the answer)

    Where either has no token it is 1 if both have none, else 0, as in SQuAD 2.0.
    """
    return _best(_f1, response, answers)


def _best(score: Callable[[str, str], float], response: str, answers: Sequence[str]) -> float:
    return max((score(response, answer) for answer in answers), default=0.0)


def _f1(response: str, answer: str) -> float:
    said, wanted = answer_tokens(response), answer_tokens(answer)
    if not said or not wanted:
        return float(said == wanted)
    common = (Counter(said) & Counter(wanted)).total()
    return 2 * common / (len(said) + len(wanted))
