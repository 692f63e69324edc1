"""A model as the judge of pairs: each pair is shown both ways round, and where the two answers disagree it is a tie.

Judges lean to the response shown first, or to the second (Zheng et al. 2023, arXiv:2306.05685). How far this one leans is
measured and said; agreeing with itself is the least that is asked of it.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import regex

from tutelage.errors import DataError
from tutelage.evaluation.compare import plain
from tutelage.evaluation.metrics.winning import LengthControlled, length_controlled_win_rate
from tutelage.messages import Message, Messages
from tutelage.records import Sampling
from tutelage.statistics import Estimate, share_interval, sign_flip_test, win_rate
from tutelage.text_metrics import count_words, han_fraction

if TYPE_CHECKING:      # a report needs no torch
    from tutelage.evaluation.examine import Responds

Choice = Literal["A", "B", "tie", ""]      # "" is an answer that says none
LONGEST_ANSWER = 16                        # tokens
_ASK = {
    "en": ("Two assistants answered the same question. Say which answer is better: more helpful, correct and to the point. "
           "Length by "
           "itself is no merit.\n\nQuestion:\n{question}\n\nAnswer A:\n{a}\n\nAnswer B:\n{b}\n\n"
           "Reply with one word: A, B or tie."),
    "zh": ("两个助手回答了同一个问题。请判断哪个回答更好：更有帮助、更正确、更切题。篇幅长本身不是优点。\n\n"
           "问题：\n{question}\n\n回答A：\n{a}\n\n回答B：\n{b}\n\n只回答一个词：A、B 或 平局。")}
_SLOT = regex.compile(r"\{(?:question|a|b)\}")
_SAID = regex.compile(r"(?<![\p{Latin}\p{N}])(?:(A)|(B)|((?i:tie|tied|both|equal))|(平局|平手|一样))(?![\p{Latin}\p{N}])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What a judge made of two models on the same prompts; of the first model where it says nothing else."""

    judge: str
    wins: tuple[float, ...]                 # one a prompt: 1, 0.5 (tie, or the two orders disagree), 0
    rate: Estimate                          # win rate
    controlled: LengthControlled
    p: float                                # of the paired randomisation test that neither is better
    first_shown: Estimate                   # share of decided answers that name the response shown first; 0.5 is no leaning;
                                            # NaN where none was decided
    consistent: Estimate                    # share of prompts whose two answers name the same response
    unreadable: int                         # answers that name none, of two a prompt; counted as ties

    def to_json(self) -> dict[str, Any]:
        return {"judge": self.judge, "rate": plain(self.rate), "controlled": plain(self.controlled.rate), "p": self.p,
                "first_shown": plain(self.first_shown), "consistent": plain(self.consistent), "unreadable": self.unreadable}


def judge_pairs(judge: Responds, prompts: Sequence[Messages], first: Sequence[str], second: Sequence[str],
                seed: int = 0) -> Judged:
    """Have `judge` compare a response of each model to every prompt, at temperature 0, in both orders.

    Raises:
        DataError: if there are not as many responses as prompts, or fewer than two.
    """
    if not len(prompts) == len(first) == len(second) or len(prompts) < 2:
        raise DataError(f"judge_pairs got {len(prompts)} prompts, {len(first)} and {len(second)} responses; wanted as many "
                        f"of each, "
                        "two or more.")
    asked = [request(prompt, a, b) for prompt, a, b in zip(prompts, first, second, strict=True)]
    asked += [request(prompt, b, a) for prompt, a, b in zip(prompts, first, second, strict=True)]
    said = judge.write(asked, Sampling(temperature=0.0, max_new_tokens=LONGEST_ANSWER, seed=seed))
    answers = [read(each.text) for each in said]
    straight, turned = answers[:len(prompts)], answers[len(prompts):]
    wins = [_win(one, other) for one, other in zip(straight, turned, strict=True)]
    decided = [(prompt, float(each == "A")) for prompt, pair in enumerate(zip(straight, turned, strict=True))
               for each in pair if each in ("A", "B")]
    lengths = ([float(count_words(text)) for text in texts] for texts in (first, second))
    return Judged(
        judge=judge.name, wins=tuple(wins), rate=win_rate(wins, [0.5] * len(wins), seed=seed),
        controlled=length_controlled_win_rate(wins, *lengths, seed=seed),
        p=sign_flip_test([win - 0.5 for win in wins], seed=seed),
        first_shown=leaning(decided, seed),
        consistent=share_interval([float((one, other) in (("A", "B"), ("B", "A"), ("tie", "tie")))
                                   for one, other in zip(straight, turned, strict=True)], seed=seed),
        unreadable=answers.count(""))


def leaning(decided: Sequence[tuple[Hashable, float]], seed: int) -> Estimate:
    """Towards what is shown first: from (prompt, 1 where that was named), one of each answer that named one. NaN of none."""
    if not decided:
        return Estimate(math.nan, math.nan, math.nan, 0)
    return share_interval([first for _, first in decided], [prompt for prompt, _ in decided], seed=seed)


def request(prompt: Messages, a: str, b: str) -> Messages:
    """What the judge is asked, in the language of the question."""
    question = prompt[-1].text if len(prompt) == 1 else "\n".join(f"{message.role}: {message.text}" for message in prompt)
    language = "zh" if han_fraction(question) > 0.5 else "en"
    parts = {"{question}": question, "{a}": a, "{b}": b}
    # in one pass: a response may hold braces of its own
    return (Message.of("user", _SLOT.sub(lambda found: parts[found.group()], _ASK[language])),)


def read(answer: str) -> Choice:
    """The first verdict an answer names; "" where it names none."""
    found = _SAID.search(answer)
    if found is None:
        return ""
    return "A" if found.group(1) else "B" if found.group(2) else "tie"


def _win(straight: Choice, turned: Choice) -> float:
    """1 where the first model wins both ways round, 0 where it loses both, else a tie."""
    if (straight, turned) == ("A", "B"):
        return 1.0
    return 0.0 if (straight, turned) == ("B", "A") else 0.5
