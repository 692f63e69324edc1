"""What is saved is what was trained: weights, adapters and heads come back to the bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from tutelage.batch import TokenBatch
from tutelage.errors import ConfigError, ModelError
from tutelage.lineage import tree_hashes
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.load import HEADS, load_policy, load_tokenizer, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer

LORA = Adapter(rank=3, alpha=6.0)
BATCH = TokenBatch.pack([[72, 101, 108, 108, 111, 257], [1, 2, 3], [250, 7, 7, 7, 9]], [[True] * 6, [True] * 3, [True] * 5])


def outputs(policy: Policy) -> list[Tensor]:
    with torch.no_grad():
        out = policy(BATCH, entropy=True, values=True, scores=True)
    return [part for part in (out.logprobs, out.entropy, out.values, out.scores) if part is not None]


def perturb(policy: Policy, seed: int = 1) -> Policy:
    """As if trained: everything that may be trained moves."""
    generator = torch.Generator().manual_seed(seed)
    for value in policy.parameters():
        if value.requires_grad:
            value.data += 0.1 * torch.randn(value.shape, generator=generator).to(value.dtype)
    return policy


def same(first: list[Tensor], second: list[Tensor]) -> bool:
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def base(directory: Path, **overrides: Any) -> Path:
    save_policy(Policy(tiny_model(**{"noise": 0.2, **overrides})), tiny_tokenizer(), directory)
    return directory


def test_new_heads_say_zero() -> None:
    policy = Policy(tiny_model(noise=0.2), value_head=True, score_head=True)
    _, _, values, scores = outputs(policy)
    assert values.tolist() == [0.0] * 11 and scores.tolist() == [0.0] * 3


def test_heads_that_were_not_asked_for_give_nothing() -> None:
    policy = Policy(tiny_model())
    out = policy(BATCH, values=True, scores=True)
    assert out.values is None and out.scores is None


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("adapter", [None, LORA])
def test_a_saved_policy_reloads_to_the_same_outputs_bit_for_bit(
        tmp_path: Path, architecture: str, tied: bool, precision: str, adapter: Adapter | None) -> None:
    """Heads were lost or wrong with LoRA: OpenRLHF#1342, OpenRLHF#873, trl#1379."""
    start = base(tmp_path / "base", architecture=architecture, tie_word_embeddings=tied)
    policy = load_policy(start, precision, value_head=True, score_head=True, adapter=adapter)
    before = outputs(policy)
    perturb(policy)
    wanted = outputs(policy)
    assert policy.has_adapter is (adapter is not None)
    assert not any(torch.equal(a, b) for a, b in zip(before, wanted, strict=True)), "the perturbation reaches every output"
    save_policy(policy, tiny_tokenizer(), tmp_path / "saved")
    again = load_policy(tmp_path / "saved", precision, value_head=True, score_head=True)
    assert same(outputs(again), wanted)
    assert again.has_adapter is policy.has_adapter and again.dtype == policy.dtype
    headless = load_policy(tmp_path / "saved", precision)
    assert same(outputs(headless), wanted[:2])
    assert {name for name, value in again.named_parameters() if value.requires_grad} == \
        {name for name, value in policy.named_parameters() if value.requires_grad}, "what may be trained stays so"


def test_the_adapter_off_is_the_base_model_bit_for_bit(tmp_path: Path) -> None:
    """trl#1311, trl#701: a reference that equals the policy trains nothing."""
    start = base(tmp_path / "base")
    wanted = load_policy(start, "fp32").evaluate_logprobs(BATCH)
    policy = load_policy(start, "fp32", adapter=LORA)
    assert torch.equal(policy.evaluate_logprobs(BATCH), wanted), "a fresh adapter changes nothing"
    perturb(policy)
    with policy.reference():
        assert torch.equal(policy.evaluate_logprobs(BATCH), wanted)
    assert float((policy.evaluate_logprobs(BATCH) - wanted).abs().max()) > 0.01
    save_policy(policy, tiny_tokenizer(), tmp_path / "saved")
    with (again := load_policy(tmp_path / "saved", "fp32")).reference():
        assert torch.equal(again.evaluate_logprobs(BATCH), wanted)


def test_an_adapter_that_was_saved_is_trained_on_in_place_of_a_new_one(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = perturb(load_policy(base(tmp_path / "base"), "fp32", adapter=LORA))
    save_policy(policy, tiny_tokenizer(), tmp_path / "saved")
    assert capsys.readouterr().err == ""
    onward = load_policy(tmp_path / "saved", "fp32", adapter=Adapter(rank=7))
    assert torch.equal(onward.evaluate_logprobs(BATCH), policy.evaluate_logprobs(BATCH))
    assert {value.shape[0] for name, value in onward.named_parameters() if "lora_A" in name} == {3}
    assert "comes with an adapter, which is trained on" in capsys.readouterr().err


def test_a_fresh_adapter_does_not_depend_on_the_random_state_and_leaves_it_alone() -> None:
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        policy = Policy(tiny_model())
        state = torch.random.get_rng_state()
        add_adapter(policy, LORA)
        assert torch.equal(torch.random.get_rng_state(), state)
        made.append([value for name, value in policy.named_parameters() if "lora_A" in name])
    assert made[0] and same(made[0], made[1])


def test_only_the_adapter_and_the_heads_are_trained() -> None:
    policy = Policy(tiny_model(), value_head=True)
    add_adapter(policy, LORA)
    trained = {name for name, value in policy.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name or name.startswith("value_head") for name in trained)
    assert {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"} == {
        name.split(".lora_")[0].rsplit(".", 1)[1] for name in trained if "lora_" in name}


@pytest.mark.parametrize(("targets", "reason"), [(("nothing",), "nothing"), (("lm_head",), "output embedding")])
def test_targets_the_forward_would_leave_out_are_refused(targets: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        add_adapter(Policy(tiny_model(tie_word_embeddings=False)), Adapter(rank=2, targets=targets))


@pytest.mark.parametrize("adapter", [None, LORA])
def test_an_artifact_says_nothing_of_the_machine_and_is_the_same_when_made_twice(
        tmp_path: Path, no_network: list[str], adapter: Adapter | None) -> None:
    """D10: a hash that depends on a path makes two artifacts of one. D12: peft asks the hub about the base model."""
    hashes = []
    for place in ("here", "there"):
        policy = perturb(load_policy(base(tmp_path / place / "base"), "fp32", value_head=True, adapter=adapter))
        save_policy(policy, tiny_tokenizer(), tmp_path / place / "saved")
        hashes.append(tree_hashes(tmp_path / place / "saved"))
    assert hashes[0] == hashes[1]
    assert no_network == []
    text = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "here" / "saved").rglob("*.json"))
    assert str(tmp_path) not in text
    assert not list(tmp_path.rglob("README.md"))


def test_the_base_weights_stand_beside_the_adapter_unchanged(tmp_path: Path) -> None:
    start = base(tmp_path / "base")
    save_policy(perturb(load_policy(start, "fp32", adapter=LORA)), tiny_tokenizer(), tmp_path / "saved")
    with safe_open(start / "model.safetensors", "pt") as old, safe_open(tmp_path / "saved" / "model.safetensors", "pt") as new:
        assert set(old.keys()) == set(new.keys())
        assert all(torch.equal(old.get_tensor(name), new.get_tensor(name)) for name in old.keys())  # noqa: SIM118


def test_damaged_heads_and_adapters_are_named(tmp_path: Path) -> None:
    policy = load_policy(base(tmp_path / "base"), "fp32", value_head=True, adapter=LORA)
    save_policy(policy, tiny_tokenizer(), tmp_path / "saved")
    heads = (tmp_path / "saved" / HEADS).read_bytes()
    (tmp_path / "saved" / HEADS).write_bytes(heads[: len(heads) // 2])
    with pytest.raises(ModelError, match=rf"{HEADS} cannot be read"):
        load_policy(tmp_path / "saved", "fp32", value_head=True)
    (tmp_path / "saved" / "adapter" / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match="not an adapter that can be read"):
        load_policy(tmp_path / "saved", "fp32")


def test_the_tokenizer_comes_back_with_its_template(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(base(tmp_path / "base"))
    assert tokenizer.chat_template == tiny_tokenizer().chat_template
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 257
    assert json.loads((tmp_path / "base" / "config.json").read_text())["model_type"] == "llama"
