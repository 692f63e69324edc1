"""Harmful requests and instructions, by rules in a file, and by a classifier of your own if you name one.

Rules find wordings, not intentions: they are for looking at what they find, and for sets too large to read.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module, resources
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import regex

from tutelage.data.quality import is_refusal
from tutelage.data.texts import prompt_text, responses
from tutelage.errors import DataError
from tutelage.lineage import content_hash

AROUND = 120           # characters on each side of a finding in which an `unless` excuses it
Classifier = Callable[[Sequence[str]], Sequence[float]]      # texts -> how harmful each is, from 0 to 1


@dataclass(frozen=True, slots=True)
class Rule:
    name: str
    patterns: tuple[regex.Pattern[str], ...]
    unless: regex.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class HarmRules:
    """Rules of one file, and its hash, which a cleaned data set records."""

    rules: tuple[Rule, ...]
    unless: regex.Pattern[str] | None
    sha256: str

    def found(self, text: str) -> list[str]:
        """Names of the rules that fire on a text."""
        return [rule.name for rule in self.rules if any(self._fires(rule, pattern, text) for pattern in rule.patterns)]

    def _fires(self, rule: Rule, pattern: regex.Pattern[str], text: str) -> bool:
        for hit in pattern.finditer(text):
            around = text[max(0, hit.start() - AROUND):hit.end() + AROUND]
            if not any(excuse and excuse.search(around) for excuse in (rule.unless, self.unless)):
                return True
        return False


def read_rules(path: Path | None = None) -> HarmRules:
    """Rules of a TOML file of `harmful.toml`'s form; the built-in ones where none is named.

    Raises:
        DataError: if the file cannot be read, or is not of that form.
    """
    try:
        content = path.read_text(encoding="utf-8") if path else \
            resources.files("tutelage.data").joinpath("harmful.toml").read_text(encoding="utf-8")
        value = tomllib.loads(content)
        rules = tuple(Rule(str(rule["name"]), tuple(_pattern(each) for each in rule["patterns"]),
                           _pattern(rule["unless"]) if "unless" in rule else None) for rule in value["rule"])
        return HarmRules(rules, _pattern(value["unless"]) if "unless" in value else None, content_hash(value))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, regex.error) as error:
        raise DataError(f"{path} is no file of harm rules: {type(error).__name__}: {error}. Wanted TOML with [[rule]] tables, "
                        "each with a name and patterns; see tutelage/data/harmful.toml.") from None


def _pattern(text: str) -> regex.Pattern[str]:
    return regex.compile(text, regex.IGNORECASE)


def harms(record: Any, rules: HarmRules) -> tuple[list[str], bool]:
    """Rules that fire on a record's prompt or its wanted response, and whether the response declines.

    A harmful prompt that is declined is what safety training is made of: it is told apart, not lumped in.
    """
    answers = responses(record)
    wanted = answers[0] if answers else ""
    return rules.found(f"{prompt_text(record)}\n{wanted}"), bool(wanted) and is_refusal(wanted)


def load_classifier(name: str) -> Classifier:
    """A classifier: `file.py:function`, `package.module:function`, or a directory with a transformers sequence classifier.

    Of a directory's labels those that begin with `toxic`, `harm`, `unsafe`, `hate` or are `LABEL_1` are added up.

    Raises:
        DataError: if it cannot be loaded.
    """
    if Path(name).expanduser().is_dir():
        return _from_directory(Path(name).expanduser())
    place, _, function = name.rpartition(":")
    try:
        if place.endswith(".py"):
            spec = spec_from_file_location("tutelage_classifier", Path(place).expanduser())
            assert spec is not None and spec.loader is not None
            module = module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = import_module(place)
        found: Classifier = getattr(module, function)
    except (ImportError, OSError, AttributeError, ValueError, SyntaxError) as error:
        raise DataError(f"no classifier at {name!r}: {error}. Wanted file.py:function, package.module:function, or the "
                        "directory of a sequence classifier.") from None
    return found


def _from_directory(directory: Path) -> Classifier:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
        model = AutoModelForSequenceClassification.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{directory} holds no sequence classifier: {str(error).splitlines()[0]}") from None
    model.eval()
    bad = [at for at, label in model.config.id2label.items()
           if label == "LABEL_1" or label.lower().startswith(("toxic", "harm", "unsafe", "hate"))]
    if not bad:
        raise DataError(f"{directory} has the labels {', '.join(map(str, model.config.id2label.values()))}; none says toxic, "
                        "harmful, unsafe or hate. Write a function that calls it, and name that.")

    def classify(texts: Sequence[str]) -> list[float]:
        scores: list[float] = []
        with torch.inference_mode():
            for begin in range(0, len(texts), 16):
                batch = tokenizer(list(texts[begin:begin + 16]), truncation=True, padding=True, return_tensors="pt")
                logits = model(**batch).logits.float()
                chances = logits.sigmoid() if model.config.problem_type == "multi_label_classification" else logits.softmax(-1)
                scores += chances[:, bad].sum(-1).clamp(max=1).tolist()
        return scores

    return classify
