"""Instructions that can be checked without a judge: length, format, language, words (after IFEval, arXiv:2311.07911).

A rule is a mapping with the key `rule`, its name, and its settings, as a task file writes them:

    {"rule": "words", "at_least": 50, "at_most": 100}
    {"rule": "contains", "all": ["Paris", "Seine"], "none": ["London"]}

`check` says whether a text keeps it. Words are counted as `text_metrics` counts them: characters in Chinese.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex

from tutelage.data.languages import language
from tutelage.errors import DataError
from tutelage.text_metrics import count_sentences, count_words

Rule = Mapping[str, Any]
_BULLET = regex.compile(r"^\s*(?:[-*•·]|\d{1,3}[.)、．])\s*\S", regex.MULTILINE)
_FENCE = regex.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", regex.DOTALL)
_LETTER = regex.compile(r"\p{L}")
_COUNTS: Mapping[str, Callable[[str], int]] = {
    "words": count_words, "sentences": count_sentences, "characters": lambda text: len(text.strip()),
    "paragraphs": lambda text: sum(1 for part in regex.split(r"\n\s*\n", text) if part.strip()),
    "lines": lambda text: sum(1 for line in text.splitlines() if line.strip()),
    "bullets": lambda text: len(_BULLET.findall(text)),
}


def check(text: str, rule: Rule) -> bool:
    """Whether `text` keeps the rule. An empty text keeps none but an upper bound or a forbidden word.

    Raises:
        DataError: if there is no such rule, or its settings are not ones it knows.
    """
    settings = {key: value for key, value in rule.items() if key != "rule"}
    name = rule.get("rule")
    known = SETTINGS.get(str(name))
    if known is None:
        raise DataError(f"there is no rule {name!r}; there are: {', '.join(SETTINGS)}.")
    wrong = [key for key, value in settings.items() if key not in known or not isinstance(value, known[key])
             or isinstance(value, bool)]
    if wrong or (not settings and name != "json"):
        wanted = ", ".join(f"{key} ({'a number' if kind is int else 'a text' if kind is str else 'a list of texts'})"
                           for key, kind in known.items())
        raise DataError(f"rule {name!r} has the settings {settings}; wanted one or more of: {wanted or 'none'}.")
    return bool(_KEEPS[str(name)](text, settings)) if name in _KEEPS else _within(_COUNTS[str(name)](text), settings)


def follows(text: str, rules: Sequence[Rule]) -> tuple[float, float]:
    """Whether all rules are kept (0 or 1), and the share of them that is."""
    kept = [check(text, rule) for rule in rules]
    return (float(all(kept)), sum(kept) / len(kept)) if kept else (1.0, 1.0)


def _within(count: int, settings: Rule) -> bool:
    return settings.get("at_least", 0) <= count <= settings.get("at_most", count) and settings.get("exactly", count) == count


def _contains(text: str, settings: Rule) -> bool:
    folded = text.casefold()
    has = {word: word.casefold() in folded for kind in ("all", "any", "none") for word in settings.get(kind, ())}
    return (all(has[word] for word in settings.get("all", ())) and not any(has[word] for word in settings.get("none", ()))
            and ("any" not in settings or any(has[word] for word in settings["any"])))


def _times(text: str, settings: Rule) -> bool:
    word = str(settings.get("word", ""))
    if not word:
        raise DataError(f"rule 'times' has the settings {dict(settings)}; wanted the word that is counted.")
    return _within(text.casefold().count(word.casefold()), settings)


def _json(text: str, settings: Rule) -> bool:
    """A JSON value and nothing else, in a code fence or without; with `keys`, an object that has them."""
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError):
        return False
    return "keys" not in settings or (isinstance(value, dict) and set(settings["keys"]) <= set(value))


def _case(text: str, settings: Rule) -> bool:
    if settings["case"] not in ("lower", "upper"):
        raise DataError(f"rule 'case' wants the case {settings['case']!r}; wanted 'lower' or 'upper'.")
    return bool(_LETTER.search(text)) and text == (text.lower() if settings["case"] == "lower" else text.upper())


def _matches(text: str, settings: Rule) -> bool:
    try:
        return regex.search(settings["pattern"], text, timeout=1.0) is not None
    except (regex.error, TimeoutError) as error:
        raise DataError(f"rule 'matches' cannot use the pattern {settings['pattern']!r}: {error}.") from None


_BOUNDS: Mapping[str, type] = {"at_least": int, "at_most": int, "exactly": int}
SETTINGS: Mapping[str, Mapping[str, type]] = {
    **{name: _BOUNDS for name in _COUNTS}, "contains": {"all": list, "any": list, "none": list},
    "times": {"word": str, **_BOUNDS},
    "starts_with": {"text": str}, "ends_with": {"text": str}, "language": {"code": str}, "json": {"keys": list},
    "case": {"case": str},
    "matches": {"pattern": str}}
_KEEPS: Mapping[str, Callable[[str, Rule], bool]] = {
    "contains": _contains, "times": _times, "json": _json, "case": _case, "matches": _matches,
    "starts_with": lambda text, settings: text.lstrip().startswith(settings["text"]),
    "ends_with": lambda text, settings: text.rstrip().endswith(settings["text"]),
    "language": lambda text, settings: language(text) == settings["code"]}
