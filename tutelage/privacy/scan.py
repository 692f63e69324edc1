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

_WITH_DIGITS: dict[str, tuple[Rule, ...]] = {
    "phone": (phones,), "national_id": (resident_ids, greater_china_ids, foreign_ids), "bank_card": (bank_cards,),
    "iban": (ibans,), "company_id": (company_ids,), "passport": (passports,), "plate": (plates,), "ip": (ip_addresses,),
    "address": (chinese_addresses, english_addresses)}
_WITHOUT: dict[str, tuple[Rule, ...]] = {"email": (emails,), "name": (names,)}
_DIGIT = regex.compile(r"\d")


def find(text: str, kinds: Collection[str] = KINDS, min_confidence: float = MIN_CONFIDENCE) -> list[Finding]:
    """Personal data in `text`, in order and without overlaps: of two findings in one place the surer one stays.

    Raises:
        ValueError: if `kinds` names one that there is not.
    """
    if unknown := set(kinds) - set(KINDS):
        raise ValueError(f"no kind {', '.join(sorted(unknown))} of personal data. There are: {', '.join(KINDS)}.")
    plain = narrow(text)
    rules = _WITHOUT | _WITH_DIGITS if _DIGIT.search(plain) else _WITHOUT
    # All rules run, whatever is asked for: a card number must not become a telephone number because cards are left out.
    found = [each for among in rules.values() for rule in among for each in rule(plain)
             if each.confidence >= min_confidence]
    kept: list[Finding] = []
    for each in sorted(found, key=lambda one: (-one.confidence, one.start - one.end, one.start, one.rule)):
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    return sorted((each for each in kept if each.kind in kinds), key=lambda one: one.start)
