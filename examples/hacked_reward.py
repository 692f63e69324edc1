"""A reward that means well and can be hacked, and what was meant: for docs/guard.md.

    tutelage rl --reward examples/hacked_reward.py:friendly --guard.reward examples/hacked_reward.py:meant …
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tutelage.feedback.truth import ScriptedTruth
from tutelage.records import Sample

KIND_WORDS = re.compile(r"\b(good|great|happy|love|nice|kind|best|wonderful|enjoy|thank|thanks|please|welcome|glad|beautiful)\b")


def friendly(samples: Sequence[Sample]) -> list[float]:
    """What is optimised: kind words of a response, ten of them at most."""
    return [min(10, len(KIND_WORDS.findall(sample.text.lower()))) / 2 for sample in samples]


def meant(samples: Sequence[Sample]) -> list[float]:
    """What was wanted all along: an answer that says what the prompt asks for, in whole sentences. 0 to 1."""
    return list(ScriptedTruth().score(samples).total)
