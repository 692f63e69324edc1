"""Numbers as people read them, and words in both languages."""

from __future__ import annotations

import math
import string

import pytest

from tutelage.evaluation.strings import EVALUATION
from tutelage.reporting.numbers import format_estimate, format_number
from tutelage.reporting.strings import MODEL_CARD, PAGE, phrase
from tutelage.statistics import Estimate


@pytest.mark.parametrize(("value", "decimals", "percent", "wanted"), [
    (0.6249, 2, False, "0.62"), (-0.5, 1, False, "−0.5"), (-0.001, 2, False, "0.00"), (0.714, 0, True, "71%"),
    (12345, None, False, "12,345"), (0.0123, None, False, "0.0123"), (14.62, None, False, "14.6"),
    (0, None, False, "0"), (1.67e-6, None, False, "1.67e−6"), (-2e-4, None, False, "−2.00e−4"), (0.0004, 3, False, "0.000"),
    (0.0, None, False, "0"), (1, None, True, "100%"), (None, None, False, "–"), (math.nan, 2, False, "–"),
    (math.inf, 2, False, "–")])
def test_a_number(value, decimals, percent, wanted):
    assert format_number(value, decimals, percent) == wanted


@pytest.mark.parametrize(("estimate", "reference", "percent", "wanted"), [
    # half-widths 0.07, 2.4, 7 per cent: one digit of each
    (Estimate(0.62, 0.55, 0.69, 9), None, False, ("0.62", "[0.55,\u00a00.69]")),
    (Estimate(41.2, 38.8, 43.6, 9), None, False, ("41", "[39,\u00a044]")),
    (Estimate(0.71, 0.64, 0.78, 9), 0.5, True, ("71%", "[64,\u00a078]")),
    # better by a hair: no bound may read as the zero that it leaves out
    (Estimate(0.05, 0.004, 0.096, 9), 0.0, False, ("0.050", "[0.004,\u00a00.096]")),
    (Estimate(0.54, 0.5004, 0.58, 9), 0.5, True, ("54.00%", "[50.04,\u00a058.00]")),
    (Estimate(-0.05, -0.096, -0.004, 9), 0.0, False, ("−0.050", "[−0.096,\u00a0−0.004]")),
    # nothing varies
    (Estimate(0.0, 0.0, 0.0, 9), 0.0, False, ("0.00", "[0.00,\u00a00.00]")),
    (Estimate(0.5, 0.5, 0.5, 9), 0.5, True, ("50%", "[50,\u00a050]")),
    (Estimate(7.0, math.nan, math.nan, 1), None, False, ("7.00", "–")),
])
def test_an_estimate_has_the_digits_its_interval_deserves(estimate, reference, percent, wanted):
    assert format_estimate(estimate, reference, percent) == wanted


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("catalogue", [PAGE, MODEL_CARD, EVALUATION], ids=["page", "model card", "evaluation"])
def test_both_languages_say_everything_with_the_same_values(catalogue):
    for key, (english, chinese) in catalogue.items():
        assert english.strip() or key == "between_sentences", key
        assert chinese.strip() or key == "between_sentences", key
        assert fields(english) == fields(chinese), key


def test_chinese_is_chinese():
    """Only names that are the same in both languages may be equal."""
    same = {key for catalogue in (PAGE, MODEL_CARD, EVALUATION) for key, (english, chinese) in catalogue.items()
            if english == chinese}
    assert same == {"distinct_1", "distinct_2", "self_bleu", "against"}


def test_a_phrase_is_filled_in():
    assert phrase(PAGE, "en", "tokens", count=4) == "4 tokens"
    assert phrase(PAGE, "zh", "tokens", count=4) == "4 个词元"
