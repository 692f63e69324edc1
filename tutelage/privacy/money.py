"""Bank cards, IBANs and the credit codes of Chinese companies."""

from __future__ import annotations

from collections.abc import Iterator

import regex
from stdnum import iban as stdnum_iban
from stdnum.cn import uscc

from tutelage.privacy.finding import EDGE, END, Finding, is_quantity, standing

_CARD_WORD = regex.compile(
    r"(?i)\b(?:credit|debit|bank)? ?card\b(?: (?:number|no\b\.?))?|\b(?:visa|mastercard|amex|unionpay|account|charge|pay)\b"
    r"|(?:银行卡|信用卡|储蓄卡|借记卡|工资卡|付款卡|卡|账户|账号|帐号|转账|银联)(?:号码?)?")
_CARD = regex.compile(
    EDGE + r"(?:\d{13,19}" + END
    + r"|(?<![0-9][ -])(?:\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,4})?|3[47]\d{2}[ -]\d{6}[ -]\d{5}|\d{6}[ -]\d{10,13})"
    + END + r"(?![ -]\d))")
# Who issues: first digits (from, to) and the lengths that go with them.
_NETWORKS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (4, 4, (13, 16, 19)), (51, 55, (16,)), (2221, 2720, (16,)), (34, 34, (15,)), (37, 37, (15,)), (62, 62, (16, 17, 18, 19)),
    (81, 81, (16, 17, 18, 19)), (6011, 6011, (16, 19)), (644, 649, (16, 19)), (65, 65, (16, 19)), (3528, 3589, (16, 19)),
    (300, 305, (14,)), (36, 36, (14,)), (38, 38, (14,)), (9558, 9558, (19,)), (2200, 2204, (16,)), (5018, 5018, (16, 19)),
    (5020, 5020, (16, 19)), (5038, 5038, (16, 19)), (6304, 6304, (16, 19)), (6759, 6763, (16, 19)), (60, 60, (16, 19)))


def bank_cards(text: str) -> Iterator[Finding]:
    """Luhn's check digit, and a length that the issuer in the first digits has."""
    for found in _CARD.finditer(text):
        number = regex.sub("[ -]", "", found[0])
        stands = standing(text, found.start(), _CARD_WORD)
        if stands == "other" or not 13 <= len(number) <= 19 or is_quantity(text, found.end()):
            continue
        holds, issued, called = luhn(number), _is_issued(number), stands == "called"
        confidence = _card_confidence(holds, issued and len(number) > 14, called)
        if confidence and len(set(number)) > 1:
            yield Finding("bank_card", "luhn", found.start(), found.end(), confidence, holds)


def _card_confidence(holds: bool, issued: bool, called: bool) -> float:
    if holds:
        return (0.98 if called else 0.85) if issued else (0.7 if called else 0.0)
    return 0.55 if called and issued else 0.0


def luhn(number: str) -> bool:
    """Whether the last digit is the check digit of the others (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in reversed(number)]
    return (sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])) % 10 == 0


def _is_issued(number: str) -> bool:
    return any(low <= int(number[:len(str(low))]) <= high and len(number) in lengths for low, high, lengths in _NETWORKS)


_IBAN = regex.compile("(?i)" + EDGE + r"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![0-9A-Za-z])")


def ibans(text: str) -> Iterator[Finding]:
    """Country's length and form, and ISO 7064 MOD 97-10. What follows in capitals is left out of a spaced one."""
    for found in _IBAN.finditer(text):
        candidate = found[0]
        while len(candidate) > 14:
            if stdnum_iban.is_valid(candidate):
                yield Finding("iban", "iban", found.start(), found.start() + len(candidate), 0.99, True)
                break
            candidate = candidate.rpartition(" ")[0]


_CODE_WORD = regex.compile(r"(?i)\b(?:uscc|credit code|tax id)\b|信用代码|税号|纳税人识别号?|开票信息")
_USCC = regex.compile(EDGE + r"[1-9ANY][1-59]\d{6}[0-9A-HJ-NPQRTUWXY]{10}" + END)


def company_ids(text: str) -> Iterator[Finding]:
    """Unified social credit codes (GB 32100): a one-person business's is as good as its owner's name."""
    for found in _USCC.finditer(text):
        stands = standing(text, found.start(), _CODE_WORD)
        holds = bool(uscc.is_valid(found[0]))
        if (holds and stands != "other") or (stands == "called" and not holds):
            yield Finding("company_id", "cn.uscc", found.start(), found.end(), 0.97 if holds else 0.55, holds)
