"""E-mail, telephone and IP addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import cache
from typing import Any

import regex

from tutelage.privacy.finding import EDGE, END, Finding, is_quantity, standing

_EMAIL = regex.compile(
    r"(?<![A-Za-z0-9._%+\-])[A-Za-z0-9_](?:[A-Za-z0-9._%+'\-]{0,62}[A-Za-z0-9_+\-])?@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9\-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{2,24}(?![A-Za-z0-9\-])")
_SPELLED = regex.compile(      # somebody (at) example.com, somebody [at] example [dot] com
    r"(?<![A-Za-z0-9._])[A-Za-z0-9][\w.+\-]*(?: ?(?:[\[(]dot[\])]) ?\w+)* ?[\[({](?:at|AT|@)[\])}] ?"
    r"[A-Za-z0-9][A-Za-z0-9\-]*(?:(?:\.| ?[\[({](?:dot|DOT|\.)[\])}] ?)[A-Za-z0-9\-]+)+", regex.ASCII)
_AT = regex.compile(r"(?i)[\[({](?:at|@)[\])}]")
_ASSET = regex.compile(r"@\d+x\.")          # icon@2x.png


def emails(text: str) -> Iterator[Finding]:
    if "@" in text:
        for found in _EMAIL.finditer(text):
            # git@host:path is where a repository lies, not somebody's mail.
            if not _ASSET.search(found[0]) and not (found[0].startswith("git@") and text[found.end():found.end() + 1] == ":"):
                yield Finding("email", "email", found.start(), found.end(), 0.98)
    if _AT.search(text):
        for found in _SPELLED.finditer(text):
            yield Finding("email", "email.spelled", found.start(), found.end(), 0.8)


_PHONE = regex.compile(
    r"(?i)\b(?:tel|phone|telephone|cell|mobile|call|text|ring|dial|fax|whatsapp|sms|contact|reach|office)\b\.?"
    r"|电话|手机|座机|号码|拨打|致电|联系|微信|回拨|短信|传真|热线|来电|分机|打|加")
_MOBILE = regex.compile(EDGE + r"(?<![-−])(?P<country>(?:\+|00)86[- ]?)?1[3-9]\d([- ]?)\d{4}\2\d{4}"
                        r"(?!\d|\.\d|-\d|[A-Za-z](?![A-Za-z]))")      # a word may follow ("...QQ"), a code's letter may not
_LANDLINE = regex.compile(
    EDGE + r"(?P<open>\()?0(?:10|2[0-57-9]|[3-9]\d{2})(?(open)\))(?P<gap>[- ]?)\d{7,8}" + END + r"(?!-\d{3})")
_NANP = regex.compile(
    r"(?<![0-9A-Za-z+])(?<![0-9][.\-])(?P<country>\+?1[-. ]?)?(?:\((?P<area>[2-9]\d{2})\) ?|(?P<area2>[2-9]\d{2})(?P<gap>[-. ]))"
    r"[2-9]\d{2}(?(gap)(?P=gap)|[-. ])\d{4}(?![0-9A-Za-z])(?![-.]\d)")
_BRITISH = regex.compile(
    r"(?<![0-9A-Za-z+])(?:(?:\+44 ?(?:\(0\) ?)?|0)7\d{3}[ -]?\d{3}[ -]?\d{3}"
    r"|(?:\+44 ?(?:\(0\) ?)?|\(?0)(?:20|1\d{2,3}|2[3489])\)?"
    r"[ -]\d{3,4}[ -]?\d{3,4})(?![0-9A-Za-z])(?![-.]\d)")
_WORLD = regex.compile(r"(?<![0-9A-Za-z+])\+[1-9]\d{0,2}(?:[-. ()]{0,2}\d){6,13}(?![0-9])")
_LABELLED = regex.compile(EDGE + r"(?:\(\d{2,4}\) ?)?\d(?:[-. ()]{0,2}\d){6,13}" + END + r"(?![- ]\d)")
_NO_PHONE = regex.compile(r"(?:19|20)\d{2}[-. ](?:19|20)\d{2}|(?:19|20)\d{2}[-./]\d{1,2}[-./]\d{1,2}")
_TOLL_FREE = ("800", "888", "877", "866", "855", "844", "833", "900")


@cache
def _library() -> Any:
    import phonenumbers  # 50 ms, and only for texts that hold a number of its kind

    return phonenumbers


def _is_phone(text: str, region: str | None) -> bool:
    library = _library()
    try:
        return bool(library.is_valid_number(library.parse(text, region)))
    except library.NumberParseException:
        return False


def phones(text: str) -> Iterator[Finding]:
    yield from _chinese(text)
    yield from _western(text)
    for found in _LABELLED.finditer(text):
        # A number of unknown plan is one only where the word just before it says so.
        if standing(text, found.start(), _PHONE, 14) == "called" and not _NO_PHONE.match(found[0]) \
                and not is_quantity(text, found.end()) and not _contiguous_long(found[0]):
            yield Finding("phone", "labelled", found.start(), found.end(), 0.6)


def _contiguous_long(number: str) -> bool:
    return number.isdigit() and len(number) > 12


def _chinese(text: str) -> Iterator[Finding]:
    for found in _MOBILE.finditer(text):
        stands = standing(text, found.start(), _PHONE)
        if found["country"] or stands == "called":
            yield Finding("phone", "cn.mobile", found.start(), found.end(), 0.97)
        elif stands == "plain" and not is_quantity(text, found.end()):
            yield Finding("phone", "cn.mobile", found.start(), found.end(), 0.8)
    for found in _LANDLINE.finditer(text):
        stands = standing(text, found.start(), _PHONE)
        if stands == "called" or (stands == "plain" and (found["gap"] or found["open"])):
            yield Finding("phone", "cn.landline", found.start(), found.end(), 0.9 if stands == "called" else 0.75)


def _western(text: str) -> Iterator[Finding]:
    for found in _NANP.finditer(text):
        area, stands = found["area"] or found["area2"], standing(text, found.start(), _PHONE)
        if area not in _TOLL_FREE and stands != "other":
            yield Finding("phone", "us", found.start(), found.end(), 0.95 if stands == "called" or found["area"] else 0.8)
    for found in _BRITISH.finditer(text):
        if standing(text, found.start(), _PHONE) != "other" and _is_phone(found[0], "GB"):
            yield Finding("phone", "gb", found.start(), found.end(), 0.8)
    for found in _WORLD.finditer(text):
        number = found[0]
        while number and not _is_phone(number, None):      # what follows a number may be another one
            number = regex.sub(r"[-. ()]*\d+$", "", number) if regex.search(r"[-. ()]\d+$", number) else ""
        if number:
            yield Finding("phone", "e164", found.start(), found.start() + len(number), 0.95)


_IP_WORD = regex.compile(r"(?i)\b(?:ip|ipv4|ipv6|address|host|server|client|from|ssh|ping|login)\b"
                         r"|地址|登录|访问|服务器|来自|主机")
_VERSION = regex.compile(r"(?i)(?:\bv(?:ersion|er\.?)?\s*|/|版本号?|section |chapter |§ ?|第)$")
_IPV4 = regex.compile(r"(?:(?<![0-9A-Za-z.])|(?<=IP))(?:\d{1,3}\.){3}\d{1,3}(?![0-9A-Za-z])(?!\.[0-9])")
_IPV6 = regex.compile(r"(?<![0-9A-Za-z:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{1,4}(?![0-9A-Za-z:])")


def ip_addresses(text: str) -> Iterator[Finding]:
    """Addresses that can be somebody's: not private ranges, masks, loopback or what is written like a version."""
    for found in _IPV4.finditer(text):
        parts = [int(part) for part in found[0].split(".")]
        if max(parts) > 255 or _VERSION.search(text, max(0, found.start() - 12), found.start()) or _is_nobodys(parts):
            continue
        called = standing(text, found.start(), _IP_WORD) == "called"
        if called or (max(parts) >= 20 and parts[0] >= 12):      # 2.10.33.4 without a word is a version
            yield Finding("ip", "ipv4", found.start(), found.end(), 0.95 if called else 0.75)
    if text.count(":") >= 2:
        for found in _IPV6.finditer(text):
            groups = [group for group in found[0].split(":") if group]
            # a::b and 12:34:56 are no addresses: three groups, one of them of three digits or more with a figure in it
            sure = len(groups) >= 3 and any(len(group) >= 3 and regex.search(r"\d", group) for group in groups)
            if sure and _is_ipv6(found[0]):
                yield Finding("ip", "ipv6", found.start(), found.end(), 0.95)


def _is_nobodys(parts: list[int]) -> bool:
    first, second = parts[0], parts[1]
    return (first in (0, 10, 127) or first >= 224 or (first, second) in ((192, 168), (169, 254))
            or (first == 172 and 16 <= second < 32))


def _is_ipv6(text: str) -> bool:
    try:
        return not ipaddress.IPv6Address(text).is_link_local
    except ValueError:
        return False
