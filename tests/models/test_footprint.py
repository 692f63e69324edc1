"""What a forward keeps is counted on short batches, and holds for long ones; slots are counted as they are made."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from tutelage.batch import TokenBatch
from tutelage.models.footprint import _kept, key_value_bytes, measure_activations, trained_parameters, weight_bytes
from tutelage.models.policy import Policy
from tutelage.models.slots import Prefill, SlotCache
from tutelage.models.tiny import tiny_model


def batch(lengths: list[int], shared: int = 0) -> TokenBatch:
    masks = [[False] * (length - 1) + [True] for length in lengths]
    return TokenBatch.pack([[1] * length for length in lengths], masks, [shared] * len(lengths) if shared else None)


@pytest.mark.parametrize("lengths", [[300], [100, 50, 30], [1, 2, 200]])
@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2", "phi3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_long_batch_keeps_follows_from_short_ones(architecture: str, dtype: torch.dtype, lengths: list[int]) -> None:
    policy = Policy(tiny_model(architecture).to(dtype))
    predicted = measure_activations(policy).of(batch(lengths))
    assert predicted == pytest.approx(_kept(policy, batch(lengths)), rel=0.02)


@pytest.mark.parametrize(("lengths", "shared"), [([100, 80, 120], 60), ([45, 45], 40), ([200, 21, 21, 21], 20)])
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_shared_prefixes_are_counted_with_their_copies_and_masks(architecture: str, lengths: list[int], shared: int) -> None:
    policy = Policy(tiny_model(architecture))
    predicted = measure_activations(policy).of(batch(lengths, shared))
    assert predicted == pytest.approx(_kept(policy, batch(lengths, shared)), rel=0.02)


def test_capped_attention_holds_its_pairs_and_so_it_grows_with_their_square() -> None:
    policy = Policy(tiny_model("gemma2", attn_logit_softcapping=5.0))
    activations = measure_activations(policy)
    assert activations.per_pair > 0 == measure_activations(Policy(tiny_model("llama"))).per_pair
    assert activations.of(batch([400])) == pytest.approx(_kept(policy, batch([400])), rel=0.05)


def test_frozen_layers_and_weights_are_seen() -> None:
    whole, half = (Policy(tiny_model(layers=4)) for _ in range(2))
    for block in (half.model.model.embed_tokens, *half.model.model.layers[:2]):
        block.requires_grad_(False)
    ratio = measure_activations(half).per_token / measure_activations(whole).per_token
    assert 0.4 < ratio < 0.6
    assert trained_parameters(half) == sum(each.numel() for each in half.parameters() if each.requires_grad)
    assert weight_bytes(half, trained_only=True) == 4 * trained_parameters(half) < weight_bytes(half) == weight_bytes(whole)


def test_measuring_draws_nothing_and_leaves_no_gradient() -> None:
    policy = Policy(tiny_model(), value_head=True, score_head=True)
    before, state = [each.clone() for each in policy.parameters()], torch.get_rng_state()
    measure_activations(policy)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(each.grad is None and torch.equal(each, old) for each, old in zip(policy.parameters(), before, strict=True))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3_text"])
def test_a_slot_is_as_large_as_the_cache_makes_it(architecture: str) -> None:
    policy = Policy(tiny_model(architecture))
    cache = SlotCache(3, 20)
    policy.next_logits(torch.ones(5, dtype=torch.long), torch.arange(5), Prefill([5], cache, [0]))
    held = sum(each.nbytes for each in (*cache.keys.values(), *cache.values.values()))
    assert key_value_bytes(policy) * 3 * 32 == held, "20 positions are rounded up"


def test_measuring_keeps_no_hold_on_the_model() -> None:
    """A graph that stayed would keep the weights, and the next stage of the process would need the memory of two."""
    policy = Policy(tiny_model())
    weight = weakref.ref(policy.model.get_input_embeddings().weight)
    measure_activations(policy)
    del policy
    gc.collect()
    assert weight() is None
