"""Algorithms by name, each a setting of the one composition, with its source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tutelage.config import from_plain, to_plain
from tutelage.errors import ConfigError
from tutelage.rl.config import Algorithm

PRESETS: Mapping[str, Algorithm] = {
    # Schulman et al. 2017, arXiv:1707.06347, with the RLHF details of arXiv:1909.08593 and arXiv:2403.17031
    "ppo": Algorithm(credit="gae", clip_range=0.2, value_clip=0.2, vf_coef=0.1, kl_coef=0.05, whiten=True),
    # Ahmadian et al. 2024, arXiv:2402.14740: REINFORCE with the other samples' mean as its baseline, KL in the reward
    "rloo": Algorithm(credit="leave_one_out", clip_range=None, value_clip=None, vf_coef=0.0, kl_coef=0.05, whiten=False),
}


def algorithm(name: str, changes: Mapping[str, Any]) -> Algorithm:
    """The preset `name` with `changes`, checked as any configuration is."""
    if name not in PRESETS:
        raise ConfigError(f"no algorithm {name!r}. There are: {', '.join(PRESETS)}.")
    preset = to_plain(PRESETS[name])
    given = {key: _as_in(preset.get(key), value) for key, value in changes.items()}
    return from_plain(Algorithm, {**preset, **given})


def _as_in(preset: Any, value: Any) -> Any:
    """`RL.settings` holds floats; a whole one, or 0 and 1, is what a field of whole numbers or a switch means by it."""
    if isinstance(preset, bool) and value in (0, 1):
        return bool(value)
    if isinstance(preset, int) and float(value).is_integer():
        return int(value)
    return value
