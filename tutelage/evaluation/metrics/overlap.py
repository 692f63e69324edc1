"""Overlap with reference texts: BLEU, chrF and ROUGE, from counts that add up over a corpus.

Counts a sentence and the score of their sum are kept apart, so that an interval can draw sentences again without reading
them again. With one sentence the corpus score is that sentence's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import regex

from tutelage.errors import DataError
from tutelage.text_metrics import longest_common, units

MOST_WORDS = 4           # BLEU's longest n-gram
MOST_CHARACTERS = 6      # chrF's
BETA = 2                 # chrF: recall weighs this often as much as precision, squared
Language = Literal["en", "zh"]
_NOT_A_ROUGE_LETTER = regex.compile(r"[^a-z0-9]+")


@dataclass(frozen=True, slots=True)
class BleuCounts:
    """What one sentence adds to a corpus's BLEU."""

    matches: tuple[int, ...]      # n-grams shared with the references, n = 1 to 4
    totals: tuple[int, ...]       # n-grams said
    length: int                   # tokens said
    wanted: int                   # tokens of the reference nearest in length


def bleu_counts(response: str, references: Sequence[str], language: Language = "en") -> BleuCounts:
    """Counts by the tokenizer that sacrebleu names `13a` (en) or `zh`; a match counts at most as often as a reference has it."""
    _need(references)
    said = _tokens(response, language)
    wanted = [_tokens(reference, language) for reference in references]
    matches, totals = [], []
    for n in range(1, MOST_WORDS + 1):
        ours, best = _grams(said, n), Counter[Any]()
        for reference in wanted:
            best |= _grams(reference, n)
        matches.append((ours & best).total())
        totals.append(ours.total())
    nearest = min((abs(len(tokens) - len(said)), len(tokens)) for tokens in wanted)[1]
    return BleuCounts(tuple(matches), tuple(totals), len(said), nearest)


def bleu(sentences: Sequence[BleuCounts]) -> float:
    """Corpus BLEU, 0 to 1 (Papineni et al. 2002, smoothed as in sacrebleu: Post 2018, arXiv:1804.08771, "exp").

        BLEU = min(1, exp(1 - wanted / said)) * (p1 p2 p3 p4) ** (1/4)

    The first precision without a match counts as half a match, the second as a quarter, and so on; where nothing matches
    at all, or a corpus has no 4-gram, it is 0.
    """
    matches, totals = ([sum(column) for column in zip(*rows, strict=True)]
                       for rows in ([each.matches for each in sentences], [each.totals for each in sentences]))
    said, wanted = sum(each.length for each in sentences), sum(each.wanted for each in sentences)
    if not sentences or not any(matches) or not all(totals):
        return 0.0
    logs, halves = 0.0, 0
    for match, total in zip(matches, totals, strict=True):
        halves += not match
        logs += math.log((match or 0.5 ** halves) / total)
    return math.exp(min(0.0, 1 - wanted / said) + logs / MOST_WORDS)


def chrf_counts(response: str, references: Sequence[str]) -> tuple[int, ...]:
    """Of character n-grams without blanks, n = 1 to 6: those said, wanted and shared, for the best of the references."""
    _need(references)
    said = "".join(response.split())
    ours = [_grams(said, n) for n in range(1, MOST_CHARACTERS + 1)]
    best: tuple[int, ...] = ()
    for reference in references:
        wanted = "".join(reference.split())
        row: list[int] = []
        for n, grams in enumerate(ours, start=1):
            theirs = _grams(wanted, n)
            row += [grams.total() if theirs else 0, theirs.total(), (grams & theirs).total()]
        if not best or chrf([row]) > chrf([best]):
            best = tuple(row)
    return best


def chrf(sentences: Sequence[Sequence[int]]) -> float:
    """Corpus chrF2, 0 to 1 (Popović 2015): the F of mean precision and mean recall over the lengths both texts have."""
    sums = [sum(column) for column in zip(*sentences, strict=True)]
    rows = [(said, wanted, shared) for said, wanted, shared in zip(sums[::3], sums[1::3], sums[2::3], strict=True)
            if said and wanted]
    if not rows:
        return 0.0
    precision = sum(shared / said for said, _, shared in rows) / len(rows)
    recall = sum(shared / wanted for _, wanted, shared in rows) / len(rows)
    weight = BETA**2
    return (1 + weight) * precision * recall / (weight * precision + recall) if precision + recall else 0.0


@dataclass(frozen=True, slots=True)
class Overlap:
    precision: float
    recall: float
    f1: float


def rouge_n(response: str, reference: str, n: int, language: Language = "en") -> Overlap:
    """ROUGE-n (Lin 2004): n-grams both have, over those said and over those wanted."""
    ours, theirs = (_grams(rouge_tokens(text, language), n) for text in (response, reference))
    return _overlap((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(response: str, reference: str, language: Language = "en") -> Overlap:
    """ROUGE-L (Lin 2004): the longest common subsequence, over the length of either."""
    ours, theirs = (rouge_tokens(text, language) for text in (response, reference))
    return _overlap(longest_common(ours, theirs), len(ours), len(theirs))


def rouge_tokens(text: str, language: Language) -> list[str]:
    """en: runs of a-z and 0-9 in lower case, as rouge-score has them; zh: characters, and words of other scripts."""
    return units(text) if language == "zh" else _NOT_A_ROUGE_LETTER.sub(" ", text.lower()).split()


def _overlap(shared: int, said: int, wanted: int) -> Overlap:
    precision, recall = shared / max(said, 1), shared / max(wanted, 1)
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall) if shared else 0.0)


def _grams(tokens: Sequence[str], n: int) -> Counter[Any]:
    if isinstance(tokens, str):
        return Counter(tokens[at:at + n] for at in range(len(tokens) - n + 1))
    return Counter(tuple(tokens[at:at + n]) for at in range(len(tokens) - n + 1))


def _tokens(text: str, language: Language) -> list[str]:
    return _tokenizer(language)(text.rstrip()).split()


@cache
def _tokenizer(language: Language) -> Any:
    # Here: half a second that a command without BLEU need not pay.
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a
    from sacrebleu.tokenizers.tokenizer_zh import TokenizerZh

    return TokenizerZh() if language == "zh" else Tokenizer13a()


def _need(references: Sequence[str]) -> None:
    if not references:
        raise DataError("overlap with no reference was asked for; wanted at least one reference text.")
