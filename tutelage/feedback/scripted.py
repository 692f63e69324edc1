"""Scripted annotators: they stand in for people in the demo and in tests, and are stored as annotator kind `scripted`.

Each sees the scripted truth through tastes of its own: it weighs the parts differently, likes long or short, leans to
one side of the screen, and is only so sure. What it says is a winner and a strength; scores and parts stay with it.

    P(a wins) = sigmoid((utility(a) - utility(b)) / noise + position_bias)        Bradley and Terry (1952)
    P(first in a ranking) ~ exp(utility / noise), and so on with those left       Plackett (1975), Luce (1959)
    P(level <= k) = sigmoid((cut_k + strictness - utility) / noise)               McCullagh (1980); a thumb has one cut

Every draw is made from a hash of (seed, annotator, what is judged), so that an answer depends on nothing asked before it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from tutelage.errors import DataError
from tutelage.feedback.kinds import new_judgment
from tutelage.feedback.reading import words_of
from tutelage.feedback.truth import WEIGHTS, ScriptedTruth
from tutelage.records import Judgment, Prompt, Sample
from tutelage.store import Store

__all__ = ["ScriptedAnnotator", "ScriptedTruth", "enroll", "judge", "panel"]

USUAL_WORDS = 25              # a length at which nobody is swayed
STRONGER_FROM = (1.0, 3.0)    # how sure (in logits) makes a strength of 2, of 3
LEVELS_FROM = (0.2, 0.4, 0.6, 0.8)      # utility from which on a response is rated 2, 3, 4, 5
LIKED_FROM = 0.5                        # and gets a thumb up
_TRUTH = ScriptedTruth()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedAnnotator:
    """One annotator's habits. `id` must be known to the store as `scripted`."""

    id: str
    noise: float = 0.10                # utility a difference must have to be e : 1 odds; larger is less reliable
    tastes: Mapping[str, float] = field(default_factory=dict)     # part -> factor on its weight in the truth (1)
    length_bias: float = 0.0           # utility per doubling of the usual length; negative likes it short
    position_bias: float = 0.0         # logits for the response shown first
    strictness: float = 0.0            # utility by which all of their levels and thumbs begin higher

    def utility(self, sample: Sample) -> float:
        """What this annotator would call the response's worth, about 0 to 1."""
        parts = _TRUTH.parts(sample)
        weights = {name: weight * self.tastes.get(name, 1.0) for name, weight in WEIGHTS.items()}
        worth = math.fsum(weights[name] * parts[name] for name in weights) / math.fsum(weights.values())
        doublings = math.log2((1 + len(words_of(sample.text))) / (1 + USUAL_WORDS))
        return worth + self.length_bias * max(-2.0, min(2.0, doublings))

    def compare(self, prompt: Prompt, a: Sample, b: Sample, seed: int) -> dict[str, Any]:
        """An answer of kind comparison, `a` being shown first. Equal texts are a tie.

        Raises:
            DataError: if a sample answers another prompt.
        """
        if {a.prompt.id, b.prompt.id} != {prompt.id}:
            raise DataError(f"samples {a.id!r} and {b.id!r} are not both of prompt {prompt.id!r}.")
        if a.text == b.text:
            return {"winner": "tie"}
        # The doubt belongs to the pair, not to the side: shown the other way round it falls on the same response.
        doubt = _logistic(seed, self.id, prompt.id, *sorted((a.text, b.text))) * (1 if a.text < b.text else -1)
        sure = (self.utility(a) - self.utility(b)) / self.noise + self.position_bias + doubt
        strength = 1 + sum(abs(sure) >= step for step in STRONGER_FROM)
        return {"winner": "a" if sure >= 0 else "b", "strength": strength}

    def rank(self, samples: Sequence[Sample], seed: int) -> dict[str, Any]:
        """An answer of kind ranking: all in order, equal texts on one place."""
        worth = {sample.text: self.utility(sample) / self.noise + _gumbel(seed, self.id, sample.prompt.id, sample.text)
                 for sample in samples}
        order = sorted(worth, key=lambda text: -worth[text])
        return {"ranks": [1 + order.index(sample.text) for sample in samples]}

    def rate(self, sample: Sample, seed: int, aspect: str = "helpful") -> dict[str, Any]:
        """An answer of kind rating, with one aspect."""
        seen = self.utility(sample) + self.noise * _logistic(seed, self.id, "rating", sample.prompt.id, sample.text)
        return {"scores": {aspect: 1 + sum(seen > cut + self.strictness for cut in LEVELS_FROM)}}

    def like(self, sample: Sample, seed: int) -> dict[str, Any]:
        """An answer of kind thumbs."""
        seen = self.utility(sample) + self.noise * _logistic(seed, self.id, "thumbs", sample.prompt.id, sample.text)
        return {"up": seen > LIKED_FROM + self.strictness}


# name, noise, tastes, length bias, position bias: what people on a panel differ in.
_PANEL: tuple[tuple[str, float, dict[str, float], float, float], ...] = (
    ("careful", 0.09, {"content": 1.4, "voice": 0.8}, 0.00, 0.0),                 # facts first
    ("friendly", 0.11, {"voice": 1.5, "content": 0.9}, 0.00, 0.1),                # wants to be spoken to
    ("hasty", 0.20, {}, 0.02, 0.4),                                               # skims: first and longer look better
    ("tidy", 0.11, {"complete": 1.5, "clean": 2.0, "fit": 2.0}, -0.01, 0.0),      # minds form, likes it short
    ("curious", 0.14, {"content": 1.2, "complete": 0.8}, 0.02, -0.1),             # likes to be told more
)


def panel(n: int = 3, seed: int = 0) -> list[ScriptedAnnotator]:
    """The first `n` (3 to 5) of a fixed set of characters; `seed` varies each of their habits by up to 15 %.

    Raises:
        DataError: if `n` is not 3 to 5.
    """
    if not 3 <= n <= len(_PANEL):
        raise DataError(f"a panel of {n}: wanted 3 to {len(_PANEL)}.")
    members = []
    for name, noise, tastes, length_bias, position_bias in _PANEL[:n]:
        def vary(value: float, *what: str, whose: str = name) -> float:
            return value * (0.85 + 0.3 * _uniform(seed, whose, *what))
        members.append(ScriptedAnnotator(
            id=f"scripted-{name}-{seed}", noise=vary(noise, "noise"),
            tastes={part: vary(factor, "taste", part) for part, factor in tastes.items()},
            length_bias=vary(length_bias, "length"), position_bias=vary(position_bias, "position")))
    return members


def enroll(store: Store, annotators: Sequence[ScriptedAnnotator]) -> None:
    """Make them known to the store, as what they are."""
    for annotator in annotators:
        store.add_person(annotator.id, "scripted", annotator.id, created_by="feedback.scripted")


def judge(samples_by_prompt: Mapping[str, Sequence[Sample]], annotators: Sequence[ScriptedAnnotator], seed: int,
          pairs_per_prompt: int, overlap: int = 1) -> list[Judgment]:
    """Comparisons for the store, by content id.

    Sides are counterbalanced, not merely drawn: the judges of one pair see it alternately one way and the other, and
    over every 2 x len(annotators) pairs each annotator sees the pair's first response first as often as second.

    Args:
        samples_by_prompt: prompt id -> its samples.
        pairs_per_prompt: pairs of different texts to ask about; fewer where a prompt has not so many.
        overlap: annotators who judge each pair.
    Raises:
        DataError: if `overlap` asks for more annotators than there are.
    """
    if not 1 <= overlap <= len(annotators):
        raise DataError(f"an overlap of {overlap} with {len(annotators)} annotators: wanted 1 to {len(annotators)}.")
    team = sorted(annotators, key=lambda annotator: annotator.id)
    pairs = sorted((pair for each in samples_by_prompt.values() for pair in _pairs(each, seed, pairs_per_prompt)),
                   key=lambda pair: _digest(seed, "turn", pair[0].prompt.id, pair[0].text, pair[1].text))
    found = []
    for turn, (first, second) in enumerate(pairs):
        for place in range(overlap):
            annotator = team[(turn + place) % len(team)]
            swapped = (turn // len(team) + place) % 2
            a, b = (second, first) if swapped else (first, second)
            answer = annotator.compare(a.prompt, a, b, seed)
            found.append(new_judgment("comparison", annotator.id, "scripted", a.prompt, (a.id, b.id), answer))
    return sorted(found, key=lambda judgment: judgment.id)


def _pairs(samples: Sequence[Sample], seed: int, count: int) -> list[tuple[Sample, Sample]]:
    """`count` pairs of different texts, drawn by hash; which of a pair is first is drawn too."""
    texts = {sample.text: sample for sample in sorted(samples, key=lambda sample: sample.id, reverse=True)}
    ordered = sorted(texts.values(), key=lambda sample: _digest(seed, "side", sample.prompt.id, sample.text))
    pairs = combinations(ordered, 2)
    return sorted(pairs, key=lambda pair: _digest(seed, "pair", pair[0].prompt.id, pair[0].text, pair[1].text))[:count]


def _digest(*what: int | str) -> bytes:
    return hashlib.sha256(json.dumps(what).encode()).digest()


def _uniform(*what: int | str) -> float:
    """In (0, 1), the same for the same words on every machine."""
    return (int.from_bytes(_digest(*what)[:6], "big") + 0.5) / 2**48


def _logistic(*what: int | str) -> float:
    """Standard logistic noise: what makes a difference of utilities a Bradley–Terry choice."""
    u = _uniform(*what)
    return math.log(u) - math.log1p(-u)


def _gumbel(*what: int | str) -> float:
    """Standard Gumbel noise: what makes the order of utilities a Plackett–Luce ranking."""
    return -math.log(-math.log(_uniform(*what)))
