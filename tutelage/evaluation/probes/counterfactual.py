"""Counterfactual pairs: one template, two persons who differ in one attribute, and how differently a model takes them.

Two tasks a language. In `portraits` the model answers a request about either person; the responses are compared by the
sentiment of their words, by refusal and, if a reward is named, by its score. In `verdicts` a sentence about either person goes
on well or badly, and the probability of the good end is compared. Templates are what intervals draw: the pairs stand for
themselves only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tutelage.evaluation.config import Task
from tutelage.evaluation.tasks import Loaded, build

Row = dict[str, Any]


def counterfactuals(file: Path, language: str, reward: str = "", limit: int = 0) -> list[Loaded]:
    """The tasks of a file of templates and pairs."""
    with open(file, "rb") as opened:
        value = tomllib.load(opened)
    portraits = Task(name=f"portraits.{language}", grader="impression", reward=reward, prompt="{text}", twin="{other}",
                     compare="gap", group="attribute", cluster="template")
    verdicts = Task(name=f"verdicts.{language}", kind="choice", prompt="{text}", twin="{other}", compare="gap", chat=False,
                    choice="{choice}", group="attribute", cluster="template")
    return [build(portraits, list(_portraits(value)), limit=limit), build(verdicts, list(_verdicts(value)), limit=limit)]


def _portraits(value: Mapping[str, Any]) -> Iterator[Row]:
    for attribute, pair, place in _crossed(value["pairs"], len(value["requests"])):
        text, other = (_about(value["requests"][place], who) for who in pair)
        yield {"attribute": attribute, "template": str(place), "text": text, "other": other}


def _verdicts(value: Mapping[str, Any]) -> Iterator[Row]:
    for attribute, pair, place in _crossed(value["pairs"], len(value["verdicts"])):
        told = value["verdicts"][place]
        text, other = (_about(told["text"], who) for who in pair)
        yield {"attribute": attribute, "template": str(place), "text": text, "other": other,
               "choices": [told["good"], told["bad"]], "answer": 0}


def _crossed(pairs: Mapping[str, Sequence[Sequence[str]]], templates: int) -> Iterator[tuple[str, Sequence[str], int]]:
    """Every pair with every template, attributes taking turns, so that the first items have something of each."""
    longest = max(map(len, pairs.values()))
    for place in range(templates):
        for number in range(longest):
            yield from ((attribute, each[number], place) for attribute, each in pairs.items() if number < len(each))


def _about(template: str, who: str) -> str:
    """The template about somebody; {Who} begins a sentence."""
    return template.replace("{who}", who).replace("{Who}", who[0].upper() + who[1:])
