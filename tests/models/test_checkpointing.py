"""Blocks that are computed again in the backward: the same numbers, less memory, and a planner that knows."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.batch import TokenBatch
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.footprint import measure_activations
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.project import Project
from tutelage.training.dropout import adapter_dropout
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft

ARCHITECTURES = ["llama", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi3", "cohere", "olmo2", "granite", "mistral"]


def ragged() -> TokenBatch:
    """Two sequences behind one prefix and one that stands alone."""
    prompt = list(range(1, 9))
    return TokenBatch.pack([[*prompt, 9, 10, 11, 12], [*prompt, 3, 1], [5, 5, 5]],
                           [[False] * 8 + [True] * 4, [False] * 8 + [True] * 2, [False, True, True]], [8, 8, 0])


def learn(policy: Policy, seed: int = 0) -> tuple[torch.Tensor, dict[str, torch.Tensor | None]]:
    with adapter_dropout(policy, seed):
        loss = -policy(ragged()).logprobs.sum()
        loss.backward()
    return loss.detach(), {name: value.grad for name, value in policy.named_parameters() if value.requires_grad}


def same(first: Any, second: Any) -> bool:
    (loss, gradients), (other_loss, others) = first, second
    return torch.equal(loss, other_loss) and all(torch.equal(value, others[name]) for name, value in gradients.items())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_loss_and_gradients_are_the_same_to_the_bit(architecture: str) -> None:
    plain, forgetful = (Policy(tiny_model(architecture, noise=0.02)) for _ in range(2))
    forgetful.checkpoint_blocks()
    assert same(learn(plain), learn(forgetful))


@pytest.mark.parametrize("adapter", [Adapter(rank=4), Adapter(rank=4, dropout=0.3)], ids=["lora", "dropout"])
def test_an_adapter_learns_the_same_and_drops_the_same_twice(adapter: Adapter) -> None:
    policies = [Policy(tiny_model(noise=0.02)) for _ in range(2)]
    for policy in policies:
        add_adapter(policy, adapter)
        torch.manual_seed(0)
        for name, value in policy.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
    policies[1].checkpoint_blocks()
    found = [learn(policy, 3) for policy in policies]
    assert same(*found)
    if adapter.dropout:
        assert not same(found[0], learn(_fresh(policies[0]), 4))


def _fresh(policy: Policy) -> Policy:
    policy.zero_grad(set_to_none=True)
    return policy


def test_a_copy_computes_its_own_blocks_again() -> None:
    """As lanes do: what was copied learns, and the gradients of the other one stay where they are."""
    policy, plain = Policy(tiny_model(noise=0.02)), Policy(tiny_model(noise=0.02))
    policy.checkpoint_blocks()
    copied = copy.deepcopy(policy)
    assert same(learn(plain), learn(copied))
    assert all(value.grad is None for value in policy.parameters())


def test_what_is_kept_is_the_input_of_each_block() -> None:
    """fp32, width 32, two blocks: 2 x 128 bytes a token, and little besides; without, twenty times as much."""
    policy = Policy(tiny_model())
    whole = measure_activations(policy)
    policy.checkpoint_blocks()
    kept = measure_activations(policy)
    assert 256 <= kept.per_token < 640 < 0.2 * whole.per_token
    with policy.remembering() as forgets:
        assert forgets and measure_activations(policy) == whole
    assert measure_activations(policy) == kept
    with Policy(tiny_model()).remembering() as forgets:
        assert not forgets


def test_a_stage_makes_the_same_model(project: Project, tmp_path: Path, tiny_directory: Path,
                                                     instructions: Callable[..., str]) -> None:
    rows = [("what is there to say?", "a long answer " * 8), ("b?", "two")]
    config = {"model": str(tiny_directory), "data": instructions(rows), "precision": "fp32", "epochs": 2}
    made = [sft(where, SFT(**config, checkpointing=checkpointing)) for where, checkpointing in
            ((project, True), (Project.init(tmp_path / "plain"), False))]
    assert made[0].manifest.files == made[1].manifest.files
    assert made[0].manifest.facts["last_loss"] == made[1].manifest.facts["last_loss"]


@pytest.mark.parametrize(("architecture", "rates"), [
    ("gpt2", {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}), ("llama", {"attention_dropout": 0.5}),
    ("gpt_neox", {"attention_dropout": 0.5, "hidden_dropout": 0.5}), ("phi3", {"resid_pdrop": 0.5, "attention_dropout": 0.5})])
def test_the_trunks_own_dropout_is_off_in_training(architecture: str, rates: dict[str, float], project: Project,
                                                   tmp_path: Path, instructions: Callable[..., str]) -> None:
    """D8: a configuration may ask for dropout; a stage trains what it would train without, so old and new logprobs agree."""
    from tutelage.models.load import save_policy
    from tutelage.models.tiny import tiny_tokenizer

    made = []
    for name, changes in (("with", rates), ("without", dict.fromkeys(rates, 0.0))):
        model = tiny_model(architecture, **changes)
        assert all(getattr(model.config, key) == value for key, value in changes.items())
        save_policy(Policy(model), tiny_tokenizer(), tmp_path / name)
        made.append(sft(Project.init(tmp_path / f"project-{name}"), SFT(
            model=str(tmp_path / name), data=instructions([("a?", "one"), ("b?", "two")]), precision="fp32", epochs=2)))
    assert made[0].manifest.facts["last_loss"] == made[1].manifest.facts["last_loss"]
    assert made[0].manifest.files["model.safetensors"] == made[1].manifest.files["model.safetensors"]
