"""What decoding runs in the place of the policy's own forward gives the same numbers, and sees the weights as they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.models import decoder as module
from tutelage.models.adapters import add_adapter
from tutelage.models.attention import Segments
from tutelage.models.config import Adapter
from tutelage.models.decoder import PART, PLAIN, Decoder, PlainDecoder, decoder_of, is_plain, packed_bytes
from tutelage.models.policy import Policy
from tutelage.models.slots import Decode, Prefill, SlotCache
from tutelage.models.tiny import tiny_model

WINDOWED: dict[str, Any] = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
FEATURES: dict[str, dict[str, Any]] = {
    "llama": {}, "mistral": {"sliding_window": 4}, "qwen2": {"use_sliding_window": True, **WINDOWED},
    "qwen3": {"use_sliding_window": True, **WINDOWED}}
LENGTHS = (3, 9, 9, 5)


def policy_of(architecture: str) -> Policy:
    return Policy(tiny_model(architecture, noise=0.2, **FEATURES.get(architecture, {})))


def prompts_and_one_more(decoder: Decoder) -> tuple[Tensor, Tensor]:
    """Hidden states of four prompts in slots, and of one token more for each."""
    ids = torch.arange(sum(LENGTHS)) * 7 % 97
    positions = torch.cat([torch.arange(n) for n in LENGTHS])
    cache = SlotCache(4, 12)
    first = decoder.hidden(ids, positions, Prefill(LENGTHS, cache, [2, 0, 1, 3]))
    lengths = torch.tensor([9, 9, 3, 5])
    return first, decoder.hidden(torch.tensor([5, 6, 7, 8]), lengths, Decode(cache, lengths))


@pytest.mark.parametrize("architecture", sorted(PLAIN))
def test_the_plain_decoder_equals_the_policys_own_forward(architecture: str) -> None:
    policy = policy_of(architecture)
    assert isinstance(decoder_of(policy, 4), PlainDecoder)
    for ours, own in zip(prompts_and_one_more(PlainDecoder(policy, 4)), prompts_and_one_more(Decoder(policy)), strict=True):
        torch.testing.assert_close(ours, own, atol=2e-6, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "gpt2"])
def test_slots_give_what_sequences_laid_end_to_end_give(architecture: str) -> None:
    policy = policy_of(architecture)
    first, more = prompts_and_one_more(Decoder(policy))
    ids = torch.arange(sum(LENGTHS)) * 7 % 97
    rows, start = [], 0
    for n, token in zip(LENGTHS, (7, 5, 6, 8), strict=True):
        rows.append(torch.cat((ids[start : start + n], torch.tensor([token]))))
        start += n
    bounds = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    whole = policy.hidden(torch.cat(rows), torch.cat([torch.arange(len(row)) for row in rows]), Segments(bounds))
    ends = bounds[1:] - 1
    torch.testing.assert_close(more, whole[ends][[1, 2, 0, 3]], atol=5e-6, rtol=0)
    keep = torch.ones(len(whole), dtype=torch.bool).index_fill(0, ends, False)
    torch.testing.assert_close(first, whole[keep], atol=5e-6, rtol=0)


@pytest.mark.parametrize("processor", ["this one", "without bf16"])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_bf16_gives_the_forward_up_to_its_rounding(architecture: str, processor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Laid out or not: torch refuses to lay weights out on a processor with AVX2 alone."""
    if processor == "without bf16":
        monkeypatch.setattr(module, "_multiplies_bf16", lambda: False)
    policy = policy_of(architecture).to(torch.bfloat16)
    exact = prompts_and_one_more(Decoder(policy_of(architecture)))
    for ours, own, wanted in zip(prompts_and_one_more(PlainDecoder(policy, 4)), prompts_and_one_more(Decoder(policy)), exact,
                                 strict=True):
        assert ours.dtype == torch.bfloat16
        assert float((ours - wanted).abs().mean()) < 1.2 * float((own - wanted).abs().mean()), "no further from fp32 than it"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_decoder_reads_the_weights_as_they_are_when_it_is_made(dtype: torch.dtype) -> None:
    policy = policy_of("llama").to(dtype)
    before = prompts_and_one_more(decoder_of(policy, 4))[1]
    for parameter in policy.blocks().parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    ours, own = prompts_and_one_more(decoder_of(policy, 4))[1], prompts_and_one_more(Decoder(policy))[1]
    assert float((ours - before).abs().max()) > 10 * float((ours - own).abs().max())


def test_other_architectures_and_adapters_keep_their_own_forward() -> None:
    assert not any(is_plain(policy_of(each)) for each in ("gemma2", "gpt2", "cohere", "granite", "phi3", "olmo2", "smollm3"))
    policy = policy_of("llama")
    add_adapter(policy, Adapter(rank=2))
    assert type(decoder_of(policy, 4)) is Decoder
    assert packed_bytes(policy) == 0


def test_bytes_laid_out_are_those_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("llama")
    monkeypatch.setattr(module, "_multiplies_bf16", lambda: True)
    assert packed_bytes(policy) == 0, "fp32 products take weights as they lie"
    policy.to(torch.bfloat16)
    assert packed_bytes(policy) == sum(each.nbytes for each in policy.model.parameters())
    monkeypatch.setattr(module, "_multiplies_bf16", lambda: False)
    assert packed_bytes(policy) == 0


def test_logits_come_in_parts_of_the_rows_that_are_named() -> None:
    policy = policy_of("gemma2")
    hidden = torch.randn(5, policy.config.hidden_size, generator=torch.Generator().manual_seed(0))
    rows = torch.tensor([4, 0, 0, 2] * 6)
    parts = list(Decoder(policy).logits(hidden, rows))
    assert [len(part) for part in parts] == [PART, 24 - PART]
    torch.testing.assert_close(torch.cat(parts), policy.finished(policy.head(hidden)).detach()[rows], atol=1e-6, rtol=0)
    assert len(torch.cat(list(Decoder(policy).logits(hidden)))) == 5
