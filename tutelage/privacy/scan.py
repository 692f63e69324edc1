"""All rules over one text."""

from __future__ import annotations

from collections.abc import Collection

import regex

from tutelage.privacy.contacts import emails, ip_addresses, phones
from tutelage.privacy.finding import KINDS, Finding, Rule, narrow
from tutelage.privacy.identity import foreign_ids, greater_china_ids, passports, plates, resident_ids
from tutelage.privacy.money import bank_cards, company_ids, ibans
from tutelage.privacy.places import chinese_addresses, english_addresses, names

MIN_CONFIDENCE = 0.5

_LONG: tuple[Rule, ...] = (phones, resident_ids, greater_china_ids, foreign_ids, bank_cards, ibans, company_ids, passports)
_SHORT: tuple[Rule, ...] = (plates, ip_addresses, chinese_addresses, english_addresses)
_NONE: tuple[Rule, ...] = (emails, names)
# Most texts hold no number long enough for most rules; one look spares them.
_NUMBER = regex.compile(r"\d(?:[-. ()A-Za-z]{0,3}\d){5}")
_DIGIT = regex.compile(r"\d")


def find(text: str, kinds: Collection[str] = KINDS, min_confidence: float = MIN_CONFIDENCE) -> list[Finding]:
    """Personal data in `text`, in order and without overlaps: of two findings in one place the surer one stays.

    Raises:
        ValueError: if `kinds` names one that there is not.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"no kind {', '.join(sorted(unknown))} of personal data. There are: {', '.join(KINDS)}.")
    plain = narrow(text)
    rules = (*_NONE, *(_SHORT if _DIGIT.search(plain) else ()), *(_LONG if _NUMBER.search(plain) else ()))
    # All rules run, whatever is asked for: a card number must not become a telephone number because cards are left out.
    found = [each for rule in rules for each in rule(plain) if each.confidence >= min_confidence]
    kept: list[Finding] = []
    for each in sorted(found, key=lambda one: (-one.confidence, one.start - one.end, one.start, one.rule)):
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    return sorted((each for each in kept if each.kind in kinds), key=lambda one: one.start)
