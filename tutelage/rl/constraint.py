"""Constraints at work in a run: the multipliers, and what they make of a rollout's scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from tutelage.algorithms.constraints import lagrangian_scores, next_log_multiplier
from tutelage.errors import RewardError
from tutelage.scoring import Constraints


class Constraint:
    """The multipliers, by cost, in the order of the configuration; a checkpoint holds them."""

    def __init__(self, config: Constraints) -> None:
        self.config = config
        self.log_multipliers = [math.log(config.multiplier)] * len(config.cost)

    def state(self) -> dict[str, Any]:
        return {"log_multipliers": list(self.log_multipliers)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.log_multipliers = list(state["log_multipliers"])

    @property
    def unit(self) -> float:
        """What one unit of a score counts beside the costs, by the multipliers as they are."""
        return 1 / (1 + sum(map(math.exp, self.log_multipliers)))

    def __call__(self, scores: Sequence[float], costs: Mapping[str, Sequence[float]]) -> tuple[list[float], dict[str, float]]:
        """Scores that pay for costs, and the multipliers as metrics; these have moved by the rollout's mean costs before.

        Args:
            scores: one a sample. costs: the same, by name; as many as the configuration has limits, in its order.
        Raises:
            RewardError: if there are fewer or more, or one is not finite.
        """
        c = self.config
        if len(costs) != len(c.limit):
            raise RewardError(f"the reward gave {len(costs)} costs ({', '.join(costs) or 'none'}); wanted {len(c.limit)}, one a "
                              "limit of constraints.")
        if not costs:
            return list(scores), {}
        means = {name: sum(values) / len(values) for name, values in costs.items()}
        if bad := [name for name, mean in means.items() if not math.isfinite(mean)]:
            raise RewardError(f"the cost {bad[0]} is not finite for some of {len(scores)} samples. Nothing was learned from this "
                              "step.")
        self.log_multipliers = [next_log_multiplier(each, mean, limit, c.rate, c.largest) for each, mean, limit
                                in zip(self.log_multipliers, means.values(), c.limit, strict=True)]
        multipliers = torch.tensor(self.log_multipliers, dtype=torch.float64).exp()
        combined = lagrangian_scores(torch.tensor(scores, dtype=torch.float64),
                                     torch.tensor(list(costs.values()), dtype=torch.float64).T, multipliers)
        told = zip(costs, multipliers.tolist(), strict=True)
        return combined.tolist(), {f"cost/{name}_multiplier": value for name, value in told}
