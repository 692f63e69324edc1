"""A critic of its own: another model than the policy, with an optimizer of its own.

L response tokens of a micro-batch laid end to end
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import clipped_value_loss
from tutelage.batch import TokenBatch
from tutelage.models.load import load_policy
from tutelage.models.policy import Policy
from tutelage.training.loop import MicroBatch, Term, update
from tutelage.training.optimizer import Masters, freeze_language_head

SCALE_FILE = "scale.json"      # in a reward artifact: mean and standard deviation of its raw scores


def load_critic(path: Path, precision: str) -> Policy:
    """The model in `path` with a critic's head: that of a reward model reads as its standardised score, any other is zero."""
    critic = load_policy(path, precision, value_head=True, score_head=True)
    assert critic.value_head is not None and critic.score_head is not None
    scale = json.loads((path / SCALE_FILE).read_text(encoding="utf-8")) if (path / SCALE_FILE).is_file() else None
    if scale is not None:
        head, score = critic.value_head.linear, critic.score_head.linear
        with torch.no_grad():
            head.weight.copy_(score.weight / scale["std"])
            head.bias.copy_((score.bias - scale["mean"]) / scale["std"])
    critic.score_head = None
    freeze_language_head(critic)
    return critic


class Critic:
    """Says what a response's tokens are worth, and learns it from returns."""

    def __init__(self, masters: Masters, value_clip: float | None) -> None:
        self.masters, self.objective = masters, ValueLoss(value_clip)

    def state(self) -> dict[str, Any]:
        return {"masters": self.masters.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.masters.load_state(state["masters"])

    @torch.no_grad()
    def values(self, batches: Sequence[TokenBatch]) -> list[Tensor]:
        """(L,) each."""
        return self.masters.lanes.each(_values, batches)

    def learn(self, batches: Sequence[MicroBatch]) -> dict[str, float]:
        """One update; its metrics, of which those of the optimizer begin with `critic_`."""
        found = update(self.masters, batches, self.objective)
        return {"value": found["value"], "squared_error": found["squared_error"],
                **{f"critic_{name}": found[name] for name in ("grad_norm", "lr")}}


class ValueLoss:
    """What `training.loop.update` minimises for a critic of its own: `values` and `returns` are the micro-batch's (L,) fields."""

    def __init__(self, value_clip: float | None) -> None:
        self.value_clip = value_clip

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"value": float(batch.tokens.response_mask.sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        loss = clipped_value_loss(_values(policy, batch.tokens), batch.fields["values"], batch.fields["returns"],
                                  clip_range=self.value_clip)
        return [Term("value", replace(loss, stats={"squared_error": loss.stats["squared_error"]}))]


def _values(critic: Policy, tokens: TokenBatch) -> Tensor:
    values = critic(tokens, logprobs=False, values=True).values
    assert values is not None
    return values
