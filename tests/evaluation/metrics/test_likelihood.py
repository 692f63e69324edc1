"""Choices, perplexity, bits per byte and pass@k: by hand, by enumeration, and where they are refused."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from tutelage.errors import DataError
from tutelage.evaluation.metrics.likelihood import bits_per_byte, choose, pass_at_k, perplexity


def test_a_long_choice_wins_only_where_its_length_is_taken_out():
    logprobs, choices = [-4.0, -6.0], ["no", "no, never"]
    assert choose(logprobs) == 0 and choose(logprobs, choices, "characters") == 1      # -2 against -0.67
    assert choose(logprobs, choices, "bytes") == 1 and choose(logprobs, choices, "tokens", [2, 2]) == 0
    assert choose(logprobs, choices, "tokens", [2, 4]) == 1      # -2 against -1.5


def test_bytes_and_characters_differ_in_chinese():
    # -6 over 2 characters and over 6 bytes, -8 over 5 of either: -3 against -1.6, -1 against -1.6
    assert choose([-6.0, -8.0], ["北京", "paris"], "characters") == 1 and choose([-6.0, -8.0], ["北京", "paris"], "bytes") == 0


def test_choices_are_those_of_a_slow_loop():
    rng = random.Random(0)
    for _ in range(60):
        choices = ["".join(rng.choice("ab 北京é") for _ in range(rng.randint(1, 9))) for _ in range(rng.randint(1, 6))]
        logprobs = [-10 * rng.random() for _ in choices]
        for by, length in (("raw", lambda text: 1), ("characters", len), ("bytes", lambda text: len(text.encode()))):
            best = 0
            for at in range(1, len(choices)):
                if logprobs[at] / length(choices[at]) > logprobs[best] / length(choices[best]):
                    best = at
            assert choose(logprobs, choices, by) == best


def test_equal_choices_give_the_first_and_empty_ones_are_refused():
    assert choose([-1.0, -1.0]) == 0
    for logprobs, choices in (([], []), ([-1.0], [""]), ([-1.0, -2.0], ["a"])):
        with pytest.raises(DataError, match="wanted one length"):
            choose(logprobs, choices, "characters")


def test_perplexity_and_bits_by_hand():
    rng = random.Random(1)
    for _ in range(50):
        count = rng.randint(1, 50)
        assert perplexity(count * math.log(7), count) == pytest.approx(7, abs=1e-9)      # a die with seven sides
        text = "".join(rng.choice("ab北é🙂") for _ in range(count))
        size = sum(1 if letter in "ab" else 2 if letter == "é" else 3 if letter == "北" else 4 for letter in text)
        assert bits_per_byte(8 * math.log(2) * size, [text]) == pytest.approx(8, abs=1e-9)
    assert perplexity(0.0, 3) == 1.0 and bits_per_byte(0.0, ["a", ""]) == 0.0
    for broken in (lambda: perplexity(1.0, 0), lambda: bits_per_byte(1.0, ["", ""])):
        with pytest.raises(DataError):
            broken()


def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one():
    """Every way to draw k of n is tried."""
    cases = 0
    for drawn in range(1, 8):
        for passed, k in itertools.product(range(drawn + 1), range(1, drawn + 1)):
            draws = list(itertools.combinations([True] * passed + [False] * (drawn - passed), k))
            assert pass_at_k(drawn, passed, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-9)
            cases += 1
    assert cases >= 50


def test_pass_at_k_of_large_numbers_and_of_nonsense():
    slow = 1 - math.prod(1 - 10 / n for n in range(200 - 3 + 1, 201))       # the paper's own loop
    assert pass_at_k(200, 3, 10) == pytest.approx(slow, abs=1e-9) and pass_at_k(200, 0, 100) == 0.0 and pass_at_k(9, 9, 1) == 1.0
    for drawn, passed, k in ((5, 6, 1), (5, -1, 1), (5, 1, 0), (5, 1, 6)):
        with pytest.raises(DataError, match="wanted 1 <= k"):
            pass_at_k(drawn, passed, k)


def test_perplexity_of_a_single_token():
    assert perplexity(math.log(7), 1) == pytest.approx(7, abs=1e-12)
    with pytest.raises(DataError, match="at least one"):
        perplexity(1.0, -1)
