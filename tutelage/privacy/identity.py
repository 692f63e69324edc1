"""Numbers that a state gave to a person: identity cards, social security, passports, and plates of their cars."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from functools import cache
from importlib import import_module

import regex

from tutelage.privacy.finding import EDGE, END, Finding, standing

_ID = regex.compile(
    r"(?i)\b(?:id(?: card| number)?|identity|resident|national|social security|ssn|insurance|nino?|nhs|dni|nie|"
    r"codice fiscale|fiscal|cpf|pesel|aadhaar|sin|bsn|ahv|avs|personnummer|s[ée]curit[ée] sociale|insee|nir|hkid|tax)\b"
    r"(?:[ -]?(?:number|card|code|no)\b\.?)*"
    r"|(?:身份证件?|证件|居民|公民身份|实名|客户|身份|登记|社保|户口|身分證|身份證)(?:号码|编号|字号|号|為|为)?")
# First two digits: the province that gave the card.
_PROVINCES = frozenset((
    *range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83))
_RESIDENT = regex.compile(EDGE + r"([1-9]\d{5})[ -]?((?:18|19|20)\d{6})[ -]?(\d{3}[\dXx])" + END)
_RESIDENT_15 = regex.compile(EDGE + r"([1-9]\d{5})(\d{6})\d{3}" + END)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def resident_ids(text: str) -> Iterator[Finding]:
    """Resident identity cards of China: 18 characters with a check digit (GB 11643), 15 digits on old ones."""
    for found in _RESIDENT.finditer(text):
        stands = standing(text, found.start(), _ID)
        if int(found[1][:2]) not in _PROVINCES or not _is_date(found[2]):
            continue
        holds = resident_checksum(found[1] + found[2] + found[3])
        if holds or stands == "called":      # one wrong digit under the right word is still somebody's number
            yield Finding("national_id", "cn.id", found.start(), found.end(), 0.99 if holds else 0.6, holds)
    for found in _RESIDENT_15.finditer(text):
        stands = standing(text, found.start(), _ID)
        if int(found[1][:2]) in _PROVINCES and _is_date("19" + found[2]) and stands != "other":
            yield Finding("national_id", "cn.id15", found.start(), found.end(), 0.9 if stands == "called" else 0.55)


def resident_checksum(number: str) -> bool:
    """ISO 7064 MOD 11-2 over 17 digits against the 18th, X being ten."""
    total = sum(int(digit) * weight for digit, weight in zip(number[:17], _WEIGHTS, strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


def _is_date(text: str) -> bool:
    try:
        datetime.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


_HONG_KONG = regex.compile(EDGE + r"([A-Z]{1,2})(\d{6})\(([0-9A])\)")
_TAIWAN = regex.compile(EDGE + r"([A-Z])([1289]\d{8})" + END)
_TAIWAN_LETTERS = "ABCDEFGHJKLMNPQRSTUVXYWZIO"      # in the order of their codes, from 10


def greater_china_ids(text: str) -> Iterator[Finding]:
    for found in _HONG_KONG.finditer(text):
        letters = [ord(letter) - 55 for letter in found[1].rjust(2)]
        letters[0] = 36 if len(found[1]) == 1 else letters[0]
        check = 10 if found[3] == "A" else int(found[3])
        values = [*letters, *(int(digit) for digit in found[2]), check]
        if sum(value * weight for value, weight in zip(values, range(9, 0, -1), strict=True)) % 11 == 0:
            yield Finding("national_id", "hk.id", found.start(), found.end(), 0.97, True)
    for found in _TAIWAN.finditer(text):
        code = _TAIWAN_LETTERS.index(found[1]) + 10
        total = code // 10 + code % 10 * 9 + sum(
            int(digit) * weight for digit, weight in zip(found[2], (8, 7, 6, 5, 4, 3, 2, 1, 1), strict=True))
        stands = standing(text, found.start(), _ID)
        if total % 10 == 0 and stands != "other":
            yield Finding("national_id", "tw.id", found.start(), found.end(), 0.95 if stands == "called" else 0.6, True)


# rule, pattern, module of python-stdnum, whether it has a check digit, whether the number alone is enough
_STDNUM: tuple[tuple[str, str, str, bool, bool], ...] = (
    ("us.ssn", r"\d{3}-\d{2}-\d{4}", "us.ssn", False, True),
    ("us.ssn", r"\d{9}", "us.ssn", False, False),
    ("gb.nhs", r"\d{3}[ -]\d{3}[ -]\d{4}|\d{10}", "gb.nhs", True, False),
    ("es.dni", r"\d{8}-?[A-Z]", "es.dni", True, True),
    ("es.nie", r"[XYZ]-?\d{7}-?[A-Z]", "es.nie", True, True),
    ("it.cf", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale", True, True),
    ("br.cpf", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf", True, True),
    ("fr.nir", r"[12] ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", "fr.nir", True, False),
    ("pl.pesel", r"\d{11}", "pl.pesel", True, False),
    ("in.aadhaar", r"[2-9]\d{3} \d{4} \d{4}|[2-9]\d{11}", "in_.aadhaar", True, False),
    ("ca.sin", r"\d{3}[ -]\d{3}[ -]\d{3}|\d{9}", "ca.sin", True, False),
    ("nl.bsn", r"\d{9}", "nl.bsn", True, False),
    ("ch.ahv", r"756\.\d{4}\.\d{4}\.\d{2}", "ch.ssn", True, True),
    ("se.personnummer", r"(?:19|20)?\d{6}[-+]\d{4}", "se.personnummer", True, False),
    ("kr.rrn", r"\d{6}-[1-4]\d{6}", "kr.rrn", True, True),
    ("de.idnr", r"\d{2} \d{3} \d{3} \d{3}|\d{11}", "de.idnr", True, False),
)
_PATTERNS = tuple((rule, regex.compile(EDGE + f"(?:{pattern})" + END + r"(?!-[0-9A-Za-z])"), module, checked, alone)
                  for rule, pattern, module, checked, alone in _STDNUM)
_NINO = regex.compile(EDGE + r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]" + END)


@cache
def _is_valid(module: str, number: str) -> bool:
    return bool(import_module(f"stdnum.{module}").is_valid(number))


def foreign_ids(text: str) -> Iterator[Finding]:
    """National numbers that python-stdnum knows. Those that many other numbers look like need the word before them."""
    for rule, pattern, module, checked, alone in _PATTERNS:
        for found in pattern.finditer(text):
            stands = standing(text, found.start(), _ID, 40)
            if (stands == "called" or (alone and stands == "plain")) and _is_valid(module, found[0]):
                yield Finding("national_id", rule, found.start(), found.end(), 0.96 if stands == "called" else 0.75,
                              True if checked else None)
    for found in _NINO.finditer(text):
        if (stands := standing(text, found.start(), _ID)) != "other":
            yield Finding("national_id", "gb.nino", found.start(), found.end(), 0.95 if stands == "called" else 0.7)


_PASSPORT = regex.compile(r"(?i)\bpassport\b(?:\s*(?:number|no\b\.?))?|护照(?:号码?)?|通行证(?:号码?)?")
_PASSPORT_NUMBER = regex.compile(EDGE + r"(?:[A-Z]\d{8}|[A-Z]{2}\d{6,7}|\d{9}|[DSP]E\d{7}|\d{2}[A-Z]{2}\d{5})" + END)
_MRZ = regex.compile(r"(?<![0-9A-Z<])([A-Z0-9<]{9})(\d)([A-Z<]{3})(\d{6})(\d)([MFX<])"
                     r"(\d{6})(\d)([A-Z0-9<]{14})([\d<])(\d)(?![0-9A-Z<])")


def passports(text: str) -> Iterator[Finding]:
    for found in _PASSPORT_NUMBER.finditer(text) if _PASSPORT.search(text) else ():
        if standing(text, found.start(), _PASSPORT) == "called":
            yield Finding("passport", "labelled", found.start(), found.end(), 0.85)
    if "<<" in text:
        for found in _MRZ.finditer(text):      # the second machine-readable line (ICAO 9303), four check digits
            if all(_mrz_digit(found[at]) == found[at + 1] for at in (1, 4, 7)):
                yield Finding("passport", "mrz", found.start(), found.end(), 0.99, True)


def _mrz_digit(text: str) -> str:
    values = [0 if letter == "<" else int(letter, 36) for letter in text]
    return str(sum(value * (7, 3, 1)[at % 3] for at, value in enumerate(values)) % 10)


_PLATE_WORD = regex.compile(r"(?i)\b(?:number |licen[cs]e |registration )?plate\b|\bregistration\b|\breg\b|车牌")
_CHINESE_PLATE = regex.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-HJ-NP-Z][·•. \-]?"
    r"(?:[DF][A-HJ-NP-Z0-9]\d{4}|\d{5}[DF]|[A-HJ-NP-Z0-9]{4}[A-HJ-NP-Z0-9挂学警港澳])(?![0-9A-Za-z])")
_OTHER_PLATE = regex.compile(EDGE + r"(?:[A-Z]{2}\d{2} ?[A-Z]{3}|\d[A-Z]{3}\d{3}|[A-Z]{2,3}[- ]?\d{3,4}"
                              r"|\d{3,4}[- ]?[A-Z]{2,3})" + END)


def plates(text: str) -> Iterator[Finding]:
    for found in _CHINESE_PLATE.finditer(text):
        if sum(letter.isdigit() for letter in found[0][2:]) >= 3:      # at most two letters on a plate
            yield Finding("plate", "cn", found.start(), found.end(), 0.9)
    for found in _OTHER_PLATE.finditer(text) if _PLATE_WORD.search(text) else ():
        if standing(text, found.start(), _PLATE_WORD, 18) == "called":
            yield Finding("plate", "labelled", found.start(), found.end(), 0.75)
