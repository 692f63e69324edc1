"""What the policy scored before it learned anything: the scale of rewards, and the best of its own samples to compare with."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tutelage.algorithms import best_in_group, best_of_kl, expected_best
from tutelage.errors import RewardError
from tutelage.protocols import Generate, Score
from tutelage.records import Prompt, Sample, Sampling

LEAST_STD = 1e-6      # a smaller spread of reference scores is no scale


class Baseline:
    """Scores of samples of the policy as it starts; empty until they are measured, which a checkpoint remembers."""

    def __init__(self, standardise: bool) -> None:
        self.standardise = standardise
        self.mean, self.std = 0.0, 1.0
        self.best: dict[str, float] = {}      # n -> expected score of the best of n samples of a prompt

    def measure(self, scores: Sequence[float], per_prompt: int) -> None:
        """`scores` of `per_prompt` samples of each prompt, neighbours.

        Raises:
            RewardError: if there is none, or they are to be the scale of rewards and do not differ.
        """
        if not scores:
            raise RewardError("no prompt has a score for each of its reference samples. Mend the reward.")
        groups = [scores[start:start + per_prompt] for start in range(0, len(scores), per_prompt)]
        sizes = [n for n in (2**power for power in range(per_prompt.bit_length())) if n <= per_prompt]
        self.best = {str(n): statistics.fmean(expected_best(group, n) for group in groups) for n in sizes}
        self.mean, self.std = statistics.fmean(scores), statistics.stdev(scores) if len(scores) > 1 else 0.0
        if self.standardise and self.std < LEAST_STD:
            raise RewardError(f"the {len(scores)} reference samples all score {self.mean:.4g}, so there is no scale to "
                              "standardise by. Set standardise to false, or look at the reward.")

    @property
    def measured(self) -> bool:
        return bool(self.best)

    def scaled(self, score: float) -> float:
        """The score in standard deviations of the reference samples, whose mean is 0 (the bias of InstructGPT's rewards,
        arXiv:2203.02155, section 3.5); as it is where that was not asked for.
        """
        return (score - self.mean) / self.std if self.standardise else score

    @property
    def unit(self) -> float:
        """What one unit of a score is scaled to."""
        return 1 / self.std if self.standardise else 1.0

    def facts(self) -> dict[str, Any]:
        """For the manifest: what best-of-n of the start would score, and how far from it that is at most, nats."""
        return {"start_best_of": {n: {"score": score, "kl": best_of_kl(int(n))} for n, score in self.best.items()}}

    def __str__(self) -> str:
        best = ", ".join(f"best of {n} {score:.3f}" for n, score in self.best.items())
        return f"score {self.mean:.3f} ± {self.std:.3f}; {best}"

    def state(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std, "best": dict(self.best)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.mean, self.std, self.best = state["mean"], state["std"], dict(state["best"])


def best_of_n(engine: Generate, reward: Score, prompts: Sequence[Prompt], sampling: Sampling, n: int) -> list[Sample]:
    """The best of n samples of each prompt, by `reward`: what RL has to beat, without training anything."""
    samples = engine.generate(prompts, sampling, n)
    scores = torch.tensor(reward.score(samples).total)
    return [sample for sample, best in zip(samples, best_in_group(scores, n).tolist(), strict=True) if best]
