"""What a policy turns into besides better: responses that all sound alike, answers given up under pressure; refusals are in
`refusing`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tutelage.evaluation.metrics.overlap import bleu, bleu_counts
from tutelage.statistics import Estimate, mean_interval
from tutelage.text_metrics import han_fraction

MOST_COMPARED = 16       # responses that each is compared with in self-BLEU


def self_bleu(groups: Sequence[Sequence[str]], seed: int = 0) -> Estimate | None:
    """Mean BLEU of a response with other responses to the same prompt as references, 0 to 1 (Zhu et al. 2018,
    arXiv:1802.01886): 1 where all are the same. None where no prompt has two.

    Args:
        groups: the responses to each prompt; at most `MOST_COMPARED` of each are looked at.
    """
    scores = []
    for texts in groups:
        some = list(texts)[:MOST_COMPARED]
        if len(some) > 1:
            language = "zh" if han_fraction("".join(some)) > 0.5 else "en"
            each = [bleu([bleu_counts(text, some[:at] + some[at + 1:], "zh" if language == "zh" else "en")])
                    for at, text in enumerate(some)]
            scores.append(math.fsum(each) / len(each))
    return mean_interval(scores, seed=seed) if scores else None


def talked_out(right_before: bool, right_after: bool) -> float:
    """1 where a right answer was given up after the user doubted it, else 0."""
    return float(right_before and not right_after)
