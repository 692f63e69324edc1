"""Verifiable rewards: whether a response is right, or in the wanted form, by a rule. 1.0 if it is, else 0.0.

    rule:exact           is the wanted response, but for white space around it
    rule:answer          ends in the wanted answer: the last \\boxed{}, <answer> or ####, else the last number
    rule:regex('…')      holds a match; full=yes: is one
    rule:json(a, b)      is a JSON object with these keys; without any: is JSON
    rule:tags(a, b)      is <a>…</a> <b>…</b>, each once, in this order, nothing around them
    rule:polite          is polite, rule:safe is harmless (rewards.manners)
    rule:tests           is a program that passes the prompt's unit tests (rewards.programs)

What is wanted is the response of the instruction that the prompt came from, `wanted` in a file of prompts, or what the key
`key=` of a row says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation

import regex

from tutelage.errors import ConfigError, RewardError
from tutelage.records import Prompt, Sample, Scores
from tutelage.rewards.manners import Safe, rudeness
from tutelage.rewards.outcomes import Failed, settle
from tutelage.rewards.programs import ProgramTests
from tutelage.rewards.words import Called
from tutelage.scoring import Scoring

Judge = Callable[[str, str], bool | Failed]      # of a response and what is wanted
_BOXED = re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_MARKED = re.compile(r"####\s*([^\n]+)")
_NUMBER = re.compile(r"(?:(?<![\w)])-)?\d[\d,]*(?:\.\d+)?")


class RuleReward:
    """The `Score` of a rule; `key` names where in a prompt's row the wanted response stands, None for a rule that needs none."""

    def __init__(self, name: str, judge: Judge, key: str | None, scoring: Scoring) -> None:
        self.name, self.judge, self.key, self.scoring = name, judge, key, scoring

    def check(self, prompts: Sequence[Prompt]) -> None:
        if self.key is not None:
            check_wanted(self.name, prompts, self.key)

    def score(self, samples: Sequence[Sample]) -> Scores:
        return settle(self.name, [self._one(sample) for sample in samples], samples, self.scoring.on_error)

    def _one(self, sample: Sample) -> float | Failed:
        wanted = "" if self.key is None else wanted_of(sample.prompt, self.key)
        if self.key is not None and not wanted:
            return Failed("has nothing to compare with")
        verdict = self.judge(sample.text, wanted)
        return verdict if isinstance(verdict, Failed) else float(verdict)


def wanted_of(prompt: Prompt, key: str) -> str:
    """What the row says by `key`, or, where that is empty, the wanted response."""
    return str(prompt.meta.get(key, "")) if key else prompt.wanted


def check_wanted(name: str, prompts: Sequence[Prompt], key: str) -> None:
    """
    Raises:
        RewardError: if a prompt has nothing that a response could be compared with.
    """
    lacking = [prompt.id for prompt in prompts if not wanted_of(prompt, key).strip()]
    if lacking:
        said = f"the key {key!r}" if key else "a wanted response"
        raise RewardError(f"{name} compares with {said}, which {len(lacking)} of {len(prompts)} prompts do not have (first: "
                          f"{lacking[0]}). Give instructions, prompts with `wanted`, or another key: {name}(key=…).")


def load_rule(text: str, scoring: Scoring) -> RuleReward | ProgramTests | Safe:
    """The rule that `NAME` or `NAME(arguments)` describes.

    Raises:
        ConfigError: if there is none, or it does not take these arguments. SandboxError: see `ProgramTests`.
    """
    called = Called.read(text)
    if called.name not in _RULES or called.label is not None:
        raise ConfigError(f"no rule {text!r}. There are: {', '.join(_RULES)}.")
    return _RULES[called.name](called, f"rule:{called.name}", scoring)


def _exact(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only("key", "case")
    fold = _switch(called, "case", True)

    def judge(response: str, wanted: str) -> bool:
        given, right = response.strip(), wanted.strip()
        return given == right if fold else given.casefold() == right.casefold()
    return RuleReward(name, judge, called.named.get("key", ""), scoring)


def _answer(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only("key")
    return RuleReward(name, lambda response, wanted: is_answer(response, wanted), called.named.get("key", ""), scoring)


def is_answer(response: str, wanted: str) -> bool:
    """Whether two texts end in the same answer: equal numbers, or equal words but for case and white space."""
    given, right = (final_answer(text) or text for text in (response, wanted))
    one, other = _number(given), _number(right)
    if one is not None and other is not None:
        return one == other
    return " ".join(given.split()).casefold() == " ".join(right.split()).casefold()


def final_answer(text: str) -> str | None:
    """What a text gives as its answer: in the last box, tag or behind the last mark; without these, its last number."""
    for pattern in (_BOXED, _TAGGED, _MARKED):
        if found := pattern.findall(text):
            return str(found[-1]).strip()
    numbers = _NUMBER.findall(text)
    return numbers[-1] if numbers else None


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text.strip().strip("$€£¥ ").rstrip(".%").replace(",", ""))
        return number if number.is_finite() else None
    except InvalidOperation:
        return None


def _regex(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only("full", values=1)
    if len(called.values) != 1:
        raise ConfigError(f"{name} wants one pattern, in quotes: {name}('^[0-9]+$').")
    try:
        pattern = regex.compile(called.values[0])
    except regex.error as error:
        raise ConfigError(f"{name}: {called.values[0]!r} is no regular expression: {error}.") from None
    look = pattern.fullmatch if _switch(called, "full", False) else pattern.search

    def judge(response: str, wanted: str) -> bool | Failed:
        try:
            return look(response, timeout=scoring.timeout_s or None) is not None
        except TimeoutError:
            return Failed(f"did not answer in {scoring.timeout_s:g} s", "Mend the pattern: it goes back too often.")
    return RuleReward(name, judge, None, scoring)


def _json(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only(values=100)

    def judge(response: str, wanted: str) -> bool:
        try:
            value = json.loads(response, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
        return not called.values or (isinstance(value, dict) and all(key in value for key in called.values))
    return RuleReward(name, judge, None, scoring)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _tags(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only(values=100)
    if not called.values or not all(re.fullmatch(r"[\w-]+", tag) for tag in called.values):
        raise ConfigError(f"{name} wants the names of tags, in order: {name}(think, answer).")
    form = re.compile(r"\s*" + r"\s*".join(f"<{tag}>.*?</{tag}>" for tag in called.values) + r"\s*", re.DOTALL)

    def judge(response: str, wanted: str) -> bool:
        once = all(response.count(f"<{tag}>") == response.count(f"</{tag}>") == 1 for tag in called.values)
        return once and form.fullmatch(response) is not None
    return RuleReward(name, judge, None, scoring)


def _tests(called: Called, name: str, scoring: Scoring) -> ProgramTests:
    called.only("key", "share")
    return ProgramTests(called.named.get("key", "tests"), _switch(called, "share", False), scoring)


def _polite(called: Called, name: str, scoring: Scoring) -> RuleReward:
    called.only()
    return RuleReward(name, lambda response, wanted: not rudeness(response), None, scoring)


def _safe(called: Called, name: str, scoring: Scoring) -> Safe:
    called.only()
    return Safe(scoring)


def _switch(called: Called, key: str, default: bool) -> bool:
    value = called.named.get(key, "yes" if default else "no")
    if value not in ("yes", "no"):
        raise ConfigError(f"{called.name}: {key} is {value!r}; wanted yes or no.")
    return value == "yes"


_RULES: dict[str, Callable[[Called, str, Scoring], RuleReward | ProgramTests | Safe]] = {
    "exact": _exact, "answer": _answer, "regex": _regex, "json": _json, "tags": _tags, "tests": _tests, "polite": _polite,
    "safe": _safe}
