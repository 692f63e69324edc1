"""The one forward: sequences laid end to end give what transformers gives for each alone, and so do shared prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tutelage.batch import TokenBatch
from tutelage.errors import ModelError
from tutelage.models import attention
from tutelage.models.policy import TESTED, Policy
from tutelage.models.tiny import tiny_model

LENGTHS = (13, 7, 1, 20, 9)      # 20 is beyond every window below; 1 has no label
NATS = 5e-6                      # fp32 rounding, over two layers

# What makes an architecture's own features bite at these sizes: windows shorter than a sequence, caps near the scores.
FEATURES: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.5},
    "cohere2": {"logit_scale": 0.5, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "exaone4": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "gemma2": {"sliding_window": 5, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5,
               "layer_types": ["sliding_attention", "full_attention"]},
    "gemma3_text": {"sliding_window": 5, "final_logit_softcapping": 1.5, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt2": {"scale_attn_by_inverse_layer_idx": True},
    "granite": {"logits_scaling": 3.0, "attention_multiplier": 0.7, "residual_multiplier": 0.5},
    "mistral": {"sliding_window": 5},
    "mixtral": {"sliding_window": 5},
    "olmo3": {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "phi3": {"sliding_window": 5},
    "qwen2": {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]},
    "qwen3": {"use_sliding_window": True, "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"]},
    "starcoder2": {"sliding_window": 5},
}


def model(architecture: str) -> Any:
    return tiny_model(architecture, noise=0.2, **FEATURES.get(architecture, {}))


def rows(lengths: tuple[int, ...] = LENGTHS, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 256, (length,), generator=generator).tolist() for length in lengths]


def pack(sequences: list[list[int]], prompt_lengths: list[int] | None = None) -> TokenBatch:
    lengths = prompt_lengths or [0] * len(sequences)
    masks = [[False] * length + [True] * (len(ids) - length) for ids, length in zip(sequences, lengths, strict=True)]
    return TokenBatch.pack(sequences, masks, prompt_lengths)


def own_logprobs(theirs: Any, ids: list[int]) -> Tensor:
    """transformers' own forward of one sequence, eager attention, log-softmax in plain torch: (n - 1,)."""
    theirs.set_attn_implementation("eager")
    logits = theirs(torch.tensor([ids]), use_cache=False).logits[0].float()
    return logits[:-1].log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None]).squeeze(1)


def random_heads(policy: Policy) -> Policy:
    generator = torch.Generator().manual_seed(5)
    for name, value in policy.named_parameters():
        if "_head." in name:
            value.data = torch.randn(value.shape, generator=generator)
    return policy


@pytest.mark.parametrize("architecture", sorted(TESTED))
def test_packed_equals_each_sequence_alone_equals_transformers(architecture: str) -> None:
    """Contamination and wrong positions raise no error elsewhere: trl#805, trl#1230, functionary#265."""
    policy, theirs, sequences = Policy(model(architecture)), model(architecture), rows()
    assert policy.ragged
    packed = policy.evaluate_logprobs(pack(sequences))
    alone = torch.cat([policy.evaluate_logprobs(pack([ids])) for ids in sequences])
    own = torch.cat([own_logprobs(theirs, ids) for ids in sequences]).detach()
    assert packed.shape == (sum(LENGTHS) - len(LENGTHS),), "each token but a sequence's first is predicted"
    torch.testing.assert_close(packed, own, atol=NATS, rtol=0)
    torch.testing.assert_close(packed, alone, atol=NATS, rtol=0)


@pytest.mark.parametrize("architecture", sorted(set(FEATURES) - {"gpt2"}))
def test_each_feature_changes_the_numbers(architecture: str) -> None:
    """Else the test above would pass without it."""
    plain = {"logit_scale": 1.0, "sliding_window": 500, "attn_logit_softcapping": None, "final_logit_softcapping": None,
             "logits_scaling": 1.0, "attention_multiplier": 1.0, "residual_multiplier": 1.0}
    ids = rows()[3]
    featured = own_logprobs(model(architecture), ids).detach()
    for feature in set(FEATURES[architecture]) & set(plain):
        without = tiny_model(architecture, noise=0.2, **{**FEATURES[architecture], feature: plain[feature]})
        assert float((own_logprobs(without, ids).detach() - featured).abs().max()) > 1e-3, feature


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "phi"])
def test_gradients_of_a_packed_loss_equal_those_of_plain_torch(architecture: str) -> None:
    policy, theirs, sequences = Policy(model(architecture)), model(architecture), rows()
    weights = torch.linspace(-1, 1, sum(LENGTHS) - len(LENGTHS))
    (policy(pack(sequences)).logprobs * weights).sum().backward()
    own = torch.cat([own_logprobs(theirs, ids) for ids in sequences])
    (own * weights).sum().backward()
    for (name, ours), wanted in zip(policy.model.named_parameters(), theirs.parameters(), strict=True):
        if wanted.grad is not None:
            torch.testing.assert_close(ours.grad, wanted.grad, atol=2e-5 * float(wanted.grad.abs().max()), rtol=1e-4, msg=name)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mistral", "gpt2", "cohere"])
def test_a_shared_prompt_changes_neither_outputs_nor_gradients(architecture: str) -> None:
    """Three responses to a prompt longer than the window, one alone, two to another: the prompt is computed once."""
    first, second, third = rows((11, 3, 6))
    responses = rows((4, 9, 1, 5, 2, 7), seed=1)
    sequences = [prompt + response for prompt, response in
                 zip([first, first, first, third, second, second], responses, strict=True)]
    prompt_lengths = [11, 11, 11, 6, 3, 3]
    masks = [[False] * n + [True] * (len(ids) - n) for ids, n in zip(sequences, prompt_lengths, strict=True)]
    shared, unshared = TokenBatch.pack(sequences, masks, prompt_lengths), TokenBatch.pack(sequences, masks)
    assert shared.num_tokens == sum(map(len, sequences)) - 2 * 11 - 3
    results = []
    for batch in (shared, unshared):
        policy = random_heads(Policy(model(architecture), value_head=True, score_head=True))
        out = policy(batch, entropy=True, values=True, scores=True, temperature=0.7)
        parts = [out.logprobs, out.entropy, out.values, out.scores]
        assert all(part is not None for part in parts)
        sum(((i + 1) * part * torch.linspace(-1, 1, len(part))).sum() for i, part in enumerate(parts)).backward()
        results.append((parts, {name: value.grad for name, value in policy.named_parameters()}))
    for got, wanted in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)
    for name, wanted in results[1][1].items():
        if wanted is not None:
            torch.testing.assert_close(results[0][1][name], wanted, atol=2e-5 * float(wanted.abs().max()), rtol=1e-4, msg=name)


@pytest.mark.parametrize("tile", [1, 12, 40, 10_000])
@pytest.mark.parametrize("architecture", ["llama", "gemma2", "mistral", "gpt2", "granite"])
def test_tiles_of_short_segments_give_the_same(architecture: str, tile: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Families of a shared prompt beside lone sequences, in tiles that hold one segment, a few, or all."""
    monkeypatch.setattr(attention, "TILE", tile)
    prompts, policy = rows((11, 3, 6)), Policy(model(architecture))
    asked = [prompts[at] for at in (0, 0, 0, 2, 1, 1)]
    sequences = [prompt + response for prompt, response in zip(asked, rows((4, 9, 1, 5, 2, 7), seed=1), strict=True)]
    for batch in (pack(sequences, [len(prompt) for prompt in asked]), pack(rows())):
        tiled = policy.evaluate_logprobs(batch, plan=attention.Tiles(batch.cu_seqlens, batch.prefix))
        torch.testing.assert_close(tiled, policy.evaluate_logprobs(batch), atol=2e-5, rtol=1e-5)


def test_what_each_tile_holds() -> None:
    # a prefix of 5 with two that go on from it, one alone, a prefix of 4 with one: families of 9, 6 and 7 tokens
    bounds, prefix = [0, 5, 7, 9, 15, 19, 22], [-1, 0, 0, -1, -1, 4]
    assert attention._tiles(bounds, prefix) == [(0, 6)]
    for tile, wanted in ((1, [(0, 3), (3, 4), (4, 6)]), (13, [(0, 3), (3, 6)]), (15, [(0, 4), (4, 6)])):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attention, "TILE", tile)
            assert attention._tiles(bounds, prefix) == wanted


def test_entropy_and_temperature_are_those_of_the_whole_distribution() -> None:
    """By plain torch: entropy = - sum p log p of the logits divided by the temperature (trl#4159)."""
    policy, theirs, ids = Policy(model("gemma2")), model("gemma2"), rows()[0]
    out = policy(pack([ids]), entropy=True, temperature=0.7)
    theirs.set_attn_implementation("eager")
    logprobs = (theirs(torch.tensor([ids]), use_cache=False).logits[0, :-1] / 0.7).log_softmax(-1)
    torch.testing.assert_close(out.entropy, -(logprobs.exp() * logprobs).sum(-1), atol=NATS, rtol=0)
    torch.testing.assert_close(out.logprobs, logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0], atol=NATS, rtol=0)


@pytest.mark.parametrize("architecture", ["llama", "mistral"])
def test_a_heads_value_is_of_the_state_before_a_label_and_a_score_of_the_last_token(architecture: str) -> None:
    """Six tokens are one more than the window: only the last of them sees less than all."""
    policy, theirs, sequences = Policy(model(architecture), value_head=True, score_head=True), model(architecture), rows((6, 8))
    random_heads(policy)
    out = policy(pack(sequences), logprobs=False, values=True, scores=True)
    assert out.logprobs is None and out.entropy is None
    hidden = [theirs.base_model(torch.tensor([ids])).last_hidden_state[0] for ids in sequences]
    torch.testing.assert_close(out.values, torch.cat([policy.value_head(each[:-1]) for each in hidden]), atol=NATS, rtol=1e-5)
    torch.testing.assert_close(out.scores, torch.cat([policy.score_head(each[-1:]) for each in hidden]), atol=NATS, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2"])
def test_other_tokens_in_a_sequence_leave_the_others_as_they_are_to_the_bit(architecture: str) -> None:
    """trl#805, trl#1230: in a packed batch a sequence must not see its neighbours."""
    policy, sequences = Policy(model(architecture)), rows()
    before = policy.evaluate_logprobs(pack(sequences))
    changed = [[(token + 1) % 256 for token in ids] if index == 1 else ids for index, ids in enumerate(sequences)]
    after = policy.evaluate_logprobs(pack(changed))
    same = pack(sequences).sequence_of_label != 1
    assert torch.equal(before[same], after[same])
    assert not torch.equal(before[~same], after[~same])


def test_the_first_token_is_never_a_label_and_the_first_label_is_predicted_by_the_prompt() -> None:
    policy, ids = Policy(model("llama")), rows()[0]
    everything = policy.evaluate_logprobs(TokenBatch.pack([ids], [[True] * 13]))
    assert len(everything) == 12
    response = policy.evaluate_logprobs(TokenBatch.pack([ids], [[False] * 9 + [True] * 4]))
    torch.testing.assert_close(response, everything[8:], atol=NATS, rtol=0)


def test_an_architecture_without_the_interface_is_padded_with_the_same_loss_and_gradient() -> None:
    policy, theirs, sequences = Policy(model("bloom")), model("bloom"), rows()
    assert not policy.ragged
    policy.try_architecture()
    assert not policy.ragged
    logprobs = policy(pack(sequences)).logprobs
    own = torch.cat([own_logprobs(theirs, ids) for ids in sequences])
    torch.testing.assert_close(logprobs, own, atol=NATS, rtol=0)
    logprobs.sum().backward()
    own.sum().backward()
    for (name, ours), wanted in zip(policy.model.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, wanted.grad, atol=2e-5 * float(wanted.grad.abs().max()), rtol=1e-4, msg=name)


def test_a_padded_architecture_refuses_shared_prompts() -> None:
    policy, ids = Policy(model("bloom")), rows()[0]
    with pytest.raises(ModelError, match="bloom cannot share prompts"):
        policy.evaluate_logprobs(pack([[*ids, 1], [*ids, 2]], [13, 13]))


def test_recurrent_layers_are_never_packed() -> None:
    """A convolution over tokens laid end to end would mix sequences without an error."""
    lfm2 = tiny_model("lfm2", noise=0.2, layer_types=["conv", "full_attention"])
    policy, sequences = Policy(lfm2), rows()
    assert not policy.ragged
    alone = torch.cat([policy.evaluate_logprobs(pack([ids])) for ids in sequences])
    torch.testing.assert_close(policy.evaluate_logprobs(pack(sequences)), alone, atol=NATS, rtol=0)


def test_an_unknown_architecture_whose_ragged_forward_differs_is_padded() -> None:
    """gpt-oss passes attention sinks, which no plan of ours knows: packed it would be wrong by tenths of a nat."""
    policy, theirs, ids = Policy(tiny_model("gpt_oss", noise=0.2)), tiny_model("gpt_oss", noise=0.2), rows()[0]
    assert policy.ragged
    assert float((policy.evaluate_logprobs(pack([ids])) - own_logprobs(theirs, ids).detach()).abs().max()) > 0.01
    policy.try_architecture()
    assert not policy.ragged
    torch.testing.assert_close(policy.evaluate_logprobs(pack([ids])), own_logprobs(theirs, ids).detach(), atol=NATS, rtol=0)


def test_an_unknown_architecture_that_is_right_stays_ragged() -> None:
    policy = Policy(tiny_model("seed_oss", noise=0.2))
    policy.try_architecture()
    assert policy.ragged and policy.config.model_type not in TESTED


def test_an_architecture_whose_logits_are_not_a_product_is_refused() -> None:
    """BERT's head has a layer of its own before the output embedding: its logprobs would be wrong in silence."""
    with pytest.raises(ModelError, match="the architecture bert cannot be used"):
        Policy(tiny_model("bert", noise=0.2, is_decoder=True)).try_architecture()


def test_the_pad_token_learns_as_an_input_too() -> None:
    """transformers gives the pad no gradient as an input; where pad is eos, the end of an earlier turn is such an input."""
    policy = Policy(tiny_model("llama", tie_word_embeddings=False))
    pad = policy.config.pad_token_id
    logprobs = policy(pack([[1, 2, pad, 3, 4]])).logprobs
    assert logprobs is not None
    logprobs.sum().backward()
    gradient = policy.model.get_input_embeddings().weight.grad
    assert gradient[pad].abs().sum() > 0
