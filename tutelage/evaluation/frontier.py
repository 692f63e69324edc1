"""What a distance from the reference buys: policies against drawing n and keeping the best, at matched KL.

Drawing n responses and keeping the one the reward likes best moves no weight, yet it too leaves the reference, by at most
log n - (n - 1) / n nats (Beirami et al. 2024, arXiv:2401.01879). A policy that reaches less at the same KL was not worth
training; one whose reward goes on rising while the truth falls is exploiting the reward (Gao et al. 2022,
arXiv:2210.10760).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tutelage.errors import DataError
from tutelage.evaluation.compare import Comparison
from tutelage.evaluation.contestant import Contestant
from tutelage.statistics import Estimate, mean_interval


@dataclass(frozen=True, slots=True)
class BestOf:
    """What keeping the best of n gives on average."""

    n: int
    kl: float                # nats a response, at most
    reward: Estimate         # over prompts
    truth: Estimate


def best_of_kl(n: int) -> float:
    """The most that keeping the best of n can differ from the policy it was drawn from, nats: log n - (n - 1) / n."""
    if n < 1:
        raise DataError(f"the best of {n} was asked for; wanted 1 or more.")
    return math.log(n) - (n - 1) / n


def best_of_curve(rewards: Sequence[Sequence[float]], truths: Sequence[Sequence[float]], seed: int = 0) -> list[BestOf]:
    """Reward and truth of the best of n, n = 1 to N, from N samples of each prompt.

    Every set of n of the N counts once, so nothing is drawn: sorted by reward, the sample of rank r (from 1) is the best of
    C(r - 1, n - 1) of the C(N, n) sets. Samples of equal reward share what falls to them.

    Args:
        rewards, truths: one row of N numbers a prompt.
    Raises:
        DataError: if there is no prompt, or prompts have different numbers of samples.
    """
    sizes = {len(row) for row in (*rewards, *truths)}
    if not rewards or len(rewards) != len(truths) or len(sizes) != 1 or sizes == {0}:
        raise DataError(f"best_of_curve got {len(rewards)} rows of rewards and {len(truths)} of truths, of {sorted(sizes)} "
                        f"samples; "
                        "wanted as many of each, of one length.")
    count = sizes.pop()
    found = []
    for n in range(1, count + 1):
        weights = [float(Fraction(math.comb(rank, n - 1), math.comb(count, n))) for rank in range(count)]
        kept = [_kept(one, other, weights) for one, other in zip(rewards, truths, strict=True)]
        found.append(BestOf(n, best_of_kl(n), mean_interval([reward for reward, _ in kept], seed=seed),
                            mean_interval([truth for _, truth in kept], seed=seed)))
    return found


def _kept(rewards: Sequence[float], truths: Sequence[float], weights: Sequence[float]) -> tuple[float, float]:
    order = sorted(range(len(rewards)), key=lambda at: rewards[at])
    reward = math.fsum(weight * rewards[at] for weight, at in zip(weights, order, strict=True))
    truth, start = 0.0, 0
    while start < len(order):                       # runs of equal reward
        end = start
        while end < len(order) and rewards[order[end]] == rewards[order[start]]:
            end += 1
        share = math.fsum(weights[start:end]) / (end - start)
        truth += share * math.fsum(truths[at] for at in order[start:end])
        start = end
    return reward, truth


def curve_of(contestant: Contestant, seed: int = 0) -> list[BestOf]:
    """The curve of a contestant that has a reward and several samples a prompt; empty for another."""
    reward, rows = contestant.reward, list(contestant.rows.values())
    if reward is None or len(rows[0]) < 2:
        return []
    return best_of_curve([[reward[row] for row in group] for group in rows],
                         [[contestant.grades.total[row] for row in group] for group in rows], seed)


@dataclass(frozen=True, slots=True)
class Overoptimised:
    """A step between two policies at which the reward rose and the truth, or the win rate at equal length, fell."""

    before: str
    after: str
    measure: Literal["truth", "controlled"]      # what fell: truth, or the win rate at equal length


def overoptimised(comparison: Comparison) -> list[Overoptimised]:
    """Every such step between two policies with a KL, the one nearer to the reference first. Both must be shown: the
    reward's rise by its corrected verdict, the fall of truth likewise, of the win rate by its interval.
    """
    found = []
    moved = sorted((each for each in comparison.summaries if each.kl is not None and each.reward is not None),
                   key=lambda each: each.kl.value if each.kl else 0.0)
    for at, before in enumerate(moved):
        for after in moved[at + 1:]:
            pair = comparison.pair(after.name, before.name)
            if pair.reward is None or pair.reward.verdict != "better":
                continue
            if pair.truth.verdict == "worse":
                found.append(Overoptimised(before.name, after.name, "truth"))
            elif pair.length_controlled is not None and pair.length_controlled.rate.high < 0.5:
                found.append(Overoptimised(before.name, after.name, "controlled"))
    return found
