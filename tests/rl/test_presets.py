"""Algorithms by name, and what is refused."""

from __future__ import annotations

import pytest

from tutelage.errors import ConfigError
from tutelage.rl.config import RL, Algorithm
from tutelage.rl.presets import PRESETS, algorithm


def test_a_preset_takes_changes_by_the_names_of_its_fields() -> None:
    changed = algorithm("ppo", {"kl_coef": 0.2, "epochs": 4})
    assert (changed.kl_coef, changed.epochs, changed.clip_range) == (0.2, 4, PRESETS["ppo"].clip_range)
    assert algorithm("rloo", {}) == PRESETS["rloo"]


def test_unknown_names_and_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"There are: reinforce, .*, ppo, rloo"):
        algorithm("ppoo", {})
    with pytest.raises(ConfigError, match="kl_coef"):
        algorithm("ppo", {"kl_coeff": 0.1})


@pytest.mark.parametrize("changes", [{"gamma": 1.5}, {"clip_range": 0.0}, {"epochs": 0}, {"kl_coef": -1.0},
                                     {"clip_range": None, "epochs": 2}, {"clip_range": None, "minibatches": 2},
                                     {"ent_target": 2.0}, {"critic_warmup": -1}, {"importance_limit": 0.0}, {"ptx_coef": -0.1},
                                     {"credit": "best"}, {"credit": "group_mean", "critic_warmup": 1}], ids=str)
def test_a_composition_that_means_nothing_is_refused(changes: dict) -> None:
    with pytest.raises(ConfigError):
        Algorithm(**changes)


@pytest.mark.parametrize("changes", [{"steps": 0}, {"temperature": 0.0}, {"reward_clip": 0.0}, {"missing_end_penalty": -1.0},
                                     {"last_temperature": 0.0}, {"standardise": True}, {"critic_lr": 0.0}, {"ptx_tokens": 1},
                                     {"reference_samples": -1}], ids=str)
def test_a_stage_that_means_nothing_is_refused(changes: dict) -> None:
    with pytest.raises(ConfigError):
        RL(**changes)
