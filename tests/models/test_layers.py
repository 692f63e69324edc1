"""A trunk cut down to its first layers is the model that its configuration then describes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tutelage.batch import TokenBatch
from tutelage.errors import ConfigError, ModelError
from tutelage.models.load import keep_layers, load_policy, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer

BATCH = TokenBatch.pack([[72, 101, 108, 108, 111], [1, 2, 3]], [[True] * 5, [True] * 3])
WINDOWS = {"sliding_window": 3, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}


@pytest.mark.parametrize(("architecture", "more"), [("llama", {}), ("gpt2", {}), ("gpt_neox", {}), ("gemma2", WINDOWS),
                                                    ("mixtral", {"num_local_experts": 2})])
def test_a_cut_trunk_equals_one_built_with_fewer_layers(architecture: str, more: dict[str, object], tmp_path: Path) -> None:
    policy = Policy(tiny_model(architecture, layers=3, noise=0.2, **more))
    whole = policy.evaluate_logprobs(BATCH)
    keep_layers(policy, 2)
    assert len(policy.blocks()) == policy.config.num_hidden_layers == 2
    cut = policy.evaluate_logprobs(BATCH)
    assert (cut - whole).abs().max() > 1e-3
    save_policy(policy, tiny_tokenizer(), tmp_path / "cut")
    assert torch.equal(load_policy(tmp_path / "cut", "fp32").evaluate_logprobs(BATCH), cut)


def test_experts_are_not_taken_for_layers() -> None:
    """A mixture's experts are a list of modules too, here as long as none of the layers' (three)."""
    policy = Policy(tiny_model("mixtral", layers=3, num_local_experts=2))
    assert [type(block).__name__ for block in policy.blocks()] == ["MixtralDecoderLayer"] * 3


@pytest.mark.parametrize("count", [0, 4, -1])
def test_a_count_the_model_does_not_have_is_refused_with_the_number_it_has(count: int) -> None:
    with pytest.raises(ConfigError, match="the model has 3"):
        keep_layers(Policy(tiny_model(layers=3)), count)


def test_layers_that_cannot_be_told_are_an_error() -> None:
    policy = Policy(tiny_model(layers=3))
    policy.model.model.layers = nn.Sequential(*policy.model.model.layers)
    with pytest.raises(ModelError, match="cannot be told"):
        policy.blocks()
