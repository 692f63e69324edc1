"""What a rule finds, and how it reads the words before a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import regex

# Every kind there is, in the order of the documentation; a placeholder is the kind in capitals.
KINDS = ("email", "phone", "national_id", "bank_card", "iban", "company_id", "passport", "plate", "ip", "address", "name")


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data at `text[start:end]`.

    `checksum` is True where a check digit held, False where it did not and only the words around it speak for the
    finding, None where the rule has none. `confidence` is from 0 to 1: a rank, not a measured probability.
    """

    kind: str
    rule: str
    start: int
    end: int
    confidence: float
    checksum: bool | None = None


Rule = Callable[[str], Iterator[Finding]]

# Characters of full width that stand for ASCII, and the wide blank. One for one, so that places in the text stay.
_NARROW = {code + 0xFEE0: code for code in range(0x21, 0x7F)} | {0x3000: 0x20}

# Edges of a number or code. Han characters are no part of one, which `\b` would make them.
EDGE = r"(?<![0-9A-Za-z])(?<![0-9]\.)"
END = r"(?![0-9A-Za-z])(?!\.[0-9])"
DIGIT = "0-9"

REACH = 28      # characters before a number in which a word says what it is
_CLAUSE = regex.compile(r"[。；;！!？?\n]")
# Words that say that a number is nobody's: the nearest word before it decides.
_OTHER = regex.compile(
    r"(?i)\b(?:order|invoice|tracking|serial|isbn|issn|doi|sku|part|item|model|version|commit|uuid|imei|transaction|"
    r"flight|licen[cs]e key|batch|ticket|case|article|product|key|hash|timestamp|catalogue|room|chapter|compute|solve)\b"
    r"(?:[ -]?(?:code|number|no\.?|id|13|10))*"
    r"|(?i:isbn|imei|sku|uuid)(?:-1[03])?"
    r"|(?:订单|单号|编号|运单|快递|流水|发票|序列号|型号|批次|合同|案号|票号|版本|物料|交易|时间戳|区划代码|计算|书号)(?:编?号码?)?")
# What stands right after a quantity.
_QUANTITY = regex.compile(
    r"\s*(?:[+*/^×÷<>=%]|除以|乘以|加上|减去|等于|[万亿]|元|美元|个|人|吨|条|次|公里|(?i:dollars|people|times)\b)")

Standing = Literal["called", "other", "plain"]


def narrow(text: str) -> str:
    """`text` with characters of full width as ASCII; as long as before."""
    return text.translate(_NARROW)


def standing(text: str, start: int, names: regex.Pattern[str], reach: int = REACH) -> Standing:
    """What the words before `start` call what stands there: by one of `names`, something else, or nothing.

    Only the same clause counts, and of two words the nearer one.
    """
    before = text[max(0, start - reach):start]
    breaks = [found.end() for found in _CLAUSE.finditer(before)]
    before = before[breaks[-1]:] if breaks else before
    called = max((found.end() for found in names.finditer(before)), default=0)
    other = max((found.end() for found in _OTHER.finditer(before)), default=0)
    if not called and not other:
        return "plain"
    return "called" if called >= other else "other"


def is_quantity(text: str, end: int) -> bool:
    """Whether what stands after `end` makes the number before it an amount."""
    return _QUANTITY.match(text, end) is not None
