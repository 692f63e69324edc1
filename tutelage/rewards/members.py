"""Several reward models on one trunk: an adapter and heads each, in one artifact (Coste et al. 2024, arXiv:2310.02743).

    adapter/, heads.safetensors      the first member's, as of a model that has one
    members.safetensors              the others', by "2.NAME", "3.NAME" …
    scale.json                       the first member's, and under `members` those of the others

The trunk is loaded once; before a member is asked, its weights are put where the last one's were.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError
from tutelage.models.foreign import reading
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.models.policy import Policy
from tutelage.rewards.ensemble import Ensemble
from tutelage.rewards.judges import Judges
from tutelage.rewards.measuring import Measured
from tutelage.rewards.model import SCALE_FILE, RewardScorer, read_scale
from tutelage.scoring import OnError

MEMBERS_FILE = "members.safetensors"


@dataclass(frozen=True, kw_only=True)
class Member:
    """One trained reward model: what it does not share with the others, how it was trained, and what it says."""

    weights: Mapping[str, Tensor]
    learned: Mapping[str, Any]        # steps and losses
    measured: Measured
    judges: Judges | None = None      # what it learned of annotators


def learned_by(members: Sequence[Member]) -> dict[str, Any]:
    """Steps and losses of one, or the means over several."""
    rows = [each.learned for each in members]
    return {name: rows[0][name] if all(row[name] == rows[0][name] for row in rows)
            else fmean(row[name] for row in rows) for name in rows[0]}


def own_weights(policy: Policy) -> dict[str, Tensor]:
    """What a member does not share with the others: its adapter and its heads."""
    return {name: value.detach().clone() for name, value in policy.named_parameters()
            if "lora_" in name or name.startswith(("score_head.", "token_head."))}


def save_members(members: Sequence[Member], directory: Path) -> None:
    """Write the scales of all, and the weights of all but the first."""
    first, *others = members
    scale = {**first.measured.scale, **({"members": [each.measured.scale for each in others]} if others else {})}
    (directory / SCALE_FILE).write_text(json.dumps(scale) + "\n", encoding="utf-8")
    if others:
        save_file({f"{number}.{name}": value.contiguous() for number, each in enumerate(others, start=2)
                   for name, value in each.weights.items()}, directory / MEMBERS_FILE)


def load_reward(directory: Path, precision: str, on_error: OnError = "stop", k: float = 0.0) -> RewardScorer | Ensemble:
    """The `Score` of a reward artifact: of its one member, or the mean of several less `k` times their spread.

    Raises:
        ArtifactError: if it is no reward model; ModelError: if it cannot be read; ConfigError: if `k` has no spread to weigh.
    """
    scales = read_scale(directory)
    others = scales.get("members", [])
    if not others:
        if k:
            raise ConfigError(f"k is {k:g}, and the reward has one member, so no spread. Train several: --members 4 "
                              "--adapter.rank 8; or name several: ensemble(NAME, NAME, k=0.5).")
        return RewardScorer.load(directory, precision, on_error)
    policy = load_policy(directory, precision, score_head=True, token_head="tokens" in scales)
    template = ChatTemplate.load(directory, load_tokenizer(directory))
    with reading(f"{directory / MEMBERS_FILE} cannot be read"):
        saved = load_file(directory / MEMBERS_FILE)
    weights = [own_weights(policy), *({name.partition(".")[2]: value for name, value in saved.items()
                                       if name.startswith(f"{number}.")} for number in range(2, len(others) + 2))]
    return Ensemble([RewardScorer.of(policy, template, scale, on_error, each)
                     for scale, each in zip([scales, *others], weights, strict=True)], k)
