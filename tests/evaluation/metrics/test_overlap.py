"""BLEU and chrF held to sacrebleu, ROUGE to rouge-score, on the same cases; and by hand."""

from __future__ import annotations

import math

import pytest
from cases import CASES, EVERY
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from tutelage.errors import DataError
from tutelage.evaluation.metrics.overlap import bleu, bleu_counts, chrf, chrf_counts, rouge_l, rouge_n, rouge_tokens
from tutelage.text_metrics import units

NAMES = {"en": "13a", "zh": "zh"}


class Characters:
    """What rouge-score calls a tokenizer, with our tokens of Chinese."""

    def tokenize(self, text: str) -> list[str]:
        return units(text)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bleu_of_each_sentence_is_sacrebleus(language):
    judge = BLEU(tokenize=NAMES[language], effective_order=False)
    for response, reference in EVERY:
        ours = bleu([bleu_counts(response, [reference], language)])
        assert ours == pytest.approx(judge.corpus_score([response], [[reference]]).score / 100, abs=1e-9), (response, reference)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_bleu_of_corpora_with_several_references_is_sacrebleus(language):
    judge = BLEU(tokenize=NAMES[language])
    for start in range(0, len(CASES) - 8, 3):
        rows = CASES[start:start + 8]
        said = [response for response, _ in rows]
        wanted = [[reference for _, reference in rows], [CASES[(start + i) % len(CASES)][0][:30] for i in range(8)]]
        counts = [bleu_counts(one, [a, b], language) for one, a, b in zip(said, *wanted, strict=True)]
        assert bleu(counts) == pytest.approx(judge.corpus_score(said, wanted).score / 100, abs=1e-9)


def test_chrf_is_sacrebleus_sentence_by_sentence_and_over_corpora():
    judge = CHRF()
    for response, reference in EVERY:
        ours = chrf([chrf_counts(response, [reference])])
        assert ours == pytest.approx(judge.corpus_score([response], [[reference]]).score / 100, abs=1e-9), (response, reference)
    for start in range(0, len(CASES) - 8, 3):
        rows = CASES[start:start + 8]
        other = [CASES[(start + i) % len(CASES)][0][:30] or "x" for i in range(8)]
        counts = [chrf_counts(said, [wanted, also]) for (said, wanted), also in zip(rows, other, strict=True)]
        judged = judge.corpus_score([said for said, _ in rows], [[wanted or "x" for _, wanted in rows], other])
        if all(wanted for _, wanted in rows):
            assert chrf(counts) == pytest.approx(judged.score / 100, abs=1e-9)


def test_chrf_of_a_corpus_counts_no_length_that_a_reference_is_too_short_for():
    said, wanted = ["abcdefgh", "abcdefgh"], ["ab", "abcdefgx"]
    ours = chrf([chrf_counts(one, [other]) for one, other in zip(said, wanted, strict=True)])
    assert ours == pytest.approx(CHRF().corpus_score(said, [wanted]).score / 100, abs=1e-9)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_rouge_is_rouge_scores(language):
    judge = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False, tokenizer=Characters() if language == "zh" else None)
    for response, reference in EVERY:
        theirs = judge.score(reference, response)
        for name, ours in (("rouge1", rouge_n(response, reference, 1, language)),
                           ("rouge2", rouge_n(response, reference, 2, language)),
                           ("rougeL", rouge_l(response, reference, language))):
            found = (ours.precision, ours.recall, ours.f1)
            assert found == pytest.approx(tuple(theirs[name]), abs=1e-9), (name, response, reference)


def test_bleu_by_hand():
    # said "the cat sat on the mat", wanted "the cat sat on a mat": 5/6, 3/5, 2/4, 1/3, no brevity penalty
    found = bleu([bleu_counts("the cat sat on the mat", ["the cat sat on a mat"])])
    assert found == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25, abs=1e-12)
    # half as long as wanted: exp(1 - 8/4) times precisions of 1
    assert bleu([bleu_counts("a b c d", ["a b c d e f g h"])]) == pytest.approx(math.exp(-1), abs=1e-12)


def test_chinese_is_counted_in_characters():
    assert rouge_n("北京是首都", "首都是北京", 1, "zh").f1 == 1.0 and rouge_l("北京是首都", "首都是北京",
                                                                    "zh").f1 == pytest.approx(0.4)
    assert rouge_tokens("北京 is big", "en") == ["is", "big"] and rouge_tokens("北京 is big", "zh") == ["北", "京", "is", "big"]
    assert bleu([bleu_counts("中国的首都是北京", ["中国的首都是北京"], "zh")]) == pytest.approx(1.0)


def test_no_reference_is_refused():
    for counts in (bleu_counts, chrf_counts):
        with pytest.raises(DataError, match="at least one reference"):
            counts("x", [])
