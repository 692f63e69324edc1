"""The figures of an RL step, by the names that Stable-Baselines3 made common.

B sampled responses · T response tokens, padded on the right
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tutelage.algorithms import explained_variance, k1, masked_mean, masked_sum
from tutelage.batch import Rollout

_NAMES = {"policy": "train/policy_loss", "kl": "train/kl_loss", "value": "train/value_loss", "entropy": "train/entropy_loss",
          "ptx": "train/ptx_loss", "clipped": "train/clip_fraction", "approx_kl": "train/approx_kl",
          "squared_error": "train/value_squared_error"}


def of_rollout(rollout: Rollout, returns: Tensor, has_critic: bool) -> dict[str, float]:
    """What was sampled and how it scored, before anything is learned of it."""
    mask = rollout.response_mask
    kl = masked_sum(k1(rollout.old_logprobs, rollout.ref_logprobs), mask, dim=1)
    return {
        "objective/score": float(rollout.scores.mean()), "objective/score_std": float(rollout.scores.std(correction=0)),
        "objective/kl": float(kl.mean()),
        "objective/entropy": float(masked_mean(rollout.extras["entropy"], mask)),
        "rollout/length": float(mask.sum(1).float().mean()),
        "rollout/ended_fraction": float(rollout.extras["ended"].float().mean()),
        **({"train/explained_variance": float(explained_variance(rollout.values, returns, mask))} if has_critic else {}),
        **_mismatch((rollout.extras["engine_logprobs"] - rollout.old_logprobs)[mask].abs()),
    }


def _mismatch(nats: Tensor) -> dict[str, float]:
    """How far the logprobs of who sampled are from the trainer's, nats a token."""
    found = torch.quantile(nats, torch.tensor([0.5, 0.9, 0.99, 1.0])).tolist()
    return {f"rollout/engine_mismatch_{name}": value for name, value in zip(("p50", "p90", "p99", "max"), found, strict=True)}


def of_ratios(log_ratios: Sequence[Tensor]) -> dict[str, float]:
    """Percentiles of the ratio to the policy that began a rollout's passes; nothing where no ratio was taken."""
    if not log_ratios:
        return {}
    low, high = torch.quantile(torch.cat(list(log_ratios)).exp(), torch.tensor([0.01, 0.99])).tolist()
    return {"ratio_p01": low, "ratio_p99": high}


def of_updates(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over the updates of a rollout."""
    return {_NAMES.get(name, f"train/{name}"): sum(each[name] for each in updates) / len(updates)
            for name in (updates[0] if updates else ()) if name != "measured"}
