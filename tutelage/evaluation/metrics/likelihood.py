"""What a model's own probabilities say: choices by likelihood, perplexity, bits per byte, and pass@k of drawn programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from tutelage.errors import DataError

By = Literal["raw", "characters", "bytes", "tokens"]


def choose(logprobs: Sequence[float], choices: Sequence[str] = (), by: By = "raw", tokens: Sequence[int] = ()) -> int:
    """The choice the model finds likeliest, by its place; the first of equals.

    Args:
        logprobs: nats of each whole choice.
        choices: their texts, for `characters` (what lm-evaluation-harness calls acc_norm) and `bytes` of UTF-8.
        by: what a choice's logprob is divided by, so that a long one is not punished for its length.
        tokens: how many tokens each has, for `tokens`.

    Raises:
        DataError: if there is no choice, or one has length 0 in what it is divided by.
    """
    lengths: list[int] = [1] * len(logprobs)
    if by == "characters":
        lengths = [len(choice) for choice in choices]
    elif by == "bytes":
        lengths = [len(choice.encode("utf-8", "surrogatepass")) for choice in choices]
    elif by == "tokens":
        lengths = list(tokens)
    if not logprobs or len(lengths) != len(logprobs) or min(lengths) < 1:
        raise DataError(f"choose got {len(logprobs)} logprobs and the lengths {lengths} in {by}; wanted one length above 0 each.")
    return max(range(len(logprobs)), key=lambda at: logprobs[at] / lengths[at])


def share_of(logprobs: Sequence[float], place: int) -> float:
    """The probability of one of several choices where it must be one of them, 0 to 1: softmax of whole logprobs, in nats."""
    most = max(logprobs)
    return math.exp(logprobs[place] - most) / math.fsum(math.exp(each - most) for each in logprobs)


def perplexity(nats: float, tokens: int) -> float:
    """exp(nats a token); `nats` is the negative log-likelihood of all tokens. Only models with one tokenizer compare."""
    if tokens < 1:
        raise DataError(f"perplexity of {tokens} tokens; wanted at least one.")
    return math.exp(nats / tokens)


def bits_per_byte(nats: float, texts: Sequence[str]) -> float:
    """Bits the model needs for a byte of UTF-8: compares models whatever their tokenizers."""
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    if not size:
        raise DataError("bits per byte of no byte at all; wanted a text.")
    return nats / math.log(2) / size


def pass_at_k(drawn: int, passed: int, k: int) -> float:
    """Probability that one of k programs passes, without bias (Chen et al. 2021, arXiv:2107.03374, eq. 1).

        1 - C(drawn - passed, k) / C(drawn, k)

    Args:
        drawn: programs tried, at least k.
        passed: how many of them passed.
    """
    if not 1 <= k <= drawn or not 0 <= passed <= drawn:
        raise DataError(f"pass@{k} of {passed} passed among {drawn}; wanted 1 <= k <= drawn and 0 <= passed <= drawn.")
    return float(1 - Fraction(math.comb(drawn - passed, k), math.comb(drawn, k)))
