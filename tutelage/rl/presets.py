"""Algorithms by name, each a setting of the one composition, with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tutelage.config import from_plain, to_plain
from tutelage.errors import ConfigError
from tutelage.rl.config import Algorithm

# What most of them share: the plain policy gradient of whole responses, on-policy, no critic.
_PLAIN = Algorithm(credit="returns", baseline="none", whiten=False, clip_range=None, value_clip=None, vf_coef=0.0)
_GROUP = replace(_PLAIN, credit="group_std", clip_range=0.2, kl_in="loss", kl_estimator="k3")

PRESETS: Mapping[str, Algorithm] = {
    # Williams 1992: no baseline; with the mean of earlier rollouts; with a learned one
    "reinforce": _PLAIN,
    "reinforce_mean": replace(_PLAIN, baseline="mean"),
    "reinforce_critic": replace(_PLAIN, baseline="critic", vf_coef=0.1),
    # Mnih et al. 2016, arXiv:1602.01783, over whole responses: PPO at one pass, lambda 1, without clipping
    "a2c": replace(_PLAIN, baseline="critic", vf_coef=0.5, whiten=True),
    # Schulman et al. 2017, arXiv:1707.06347, with the RLHF details of arXiv:1909.08593 and arXiv:2403.17031
    "ppo": Algorithm(credit="gae", clip_range=0.2, value_clip=0.2, vf_coef=0.1, kl_coef=0.05, whiten=True),
    # Ahmadian et al. 2024, arXiv:2402.14740: REINFORCE with the other samples' mean as its baseline, KL in the reward
    "rloo": replace(_PLAIN, credit="leave_one_out"),
    # Shao et al. 2024, arXiv:2402.03300, eq. 3: each response's tokens are averaged first, KL by k3 in the loss
    "grpo": replace(_GROUP, average="responses", kl_coef=0.04),
    # Liu et al. 2025, arXiv:2503.20783: neither the division by the group's std nor that by the response's length; no KL
    "dr_grpo": replace(_GROUP, credit="group_mean", average="constant", kl_coef=0.0),
    # Yu et al. 2025, arXiv:2503.14476: clip-higher, mean over tokens, prompts without a difference left out, no KL
    "dapo": replace(_GROUP, average="tokens", clip_higher=0.28, drop_equal=True, kl_coef=0.0),
    # Zheng et al. 2025, arXiv:2507.18071: the ratio of the whole response, to the power of one over its length; no KL
    "gspo": replace(_GROUP, ratio="sequence", average="responses", clip_range=3e-4, clip_higher=4e-4, kl_coef=0.0),
    # Guo et al. 2024, arXiv:2402.04792: DPO (kl_coef is its beta) on the best and the worst of a prompt's own fresh samples
    "online_dpo": replace(_PLAIN, credit="pair", average="sums", kl_coef=0.1),
    # Dong et al. 2023, arXiv:2304.06767 (RAFT): fine-tuning on the best of a prompt's own fresh samples
    "expert_iteration": replace(_PLAIN, credit="best", drop_equal=True, kl_coef=0.0),
}


def algorithm(name: str, changes: Mapping[str, Any]) -> Algorithm:
    """The preset `name` with `changes`, checked as any configuration is."""
    if name not in PRESETS:
        raise ConfigError(f"no algorithm {name!r}. There are: {', '.join(PRESETS)}.")
    preset = to_plain(PRESETS[name])
    given = {key: _as_in(preset.get(key), value) for key, value in changes.items()}
    return from_plain(Algorithm, {**preset, **given})


def _as_in(preset: Any, value: Any) -> Any:
    """`RL.settings` may hold floats; a whole one, or 0 and 1, is what a field of whole numbers or a switch means by it."""
    if not isinstance(value, float | int):
        return value
    if isinstance(preset, bool) and value in (0, 1):
        return bool(value)
    if isinstance(preset, int) and float(value).is_integer():
        return int(value)
    return value
