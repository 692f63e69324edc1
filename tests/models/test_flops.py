"""The formula against what PyTorch counts of the products that are made."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tutelage.batch import TokenBatch
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.flops import training_flops, visible_pairs
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.runs.meter import measuring

LABELS = 11
BATCH = TokenBatch.pack([list(range(20)), list(range(7))], [[False] * 11 + [True] * 9, [False] * 5 + [True] * 2])
WIDTH, LAYERS = 32, 2
PAIRS = 20 * 21 // 2 + 7 * 8 // 2


def products(policy: Policy, head: bool = True) -> int:
    """Of the weights, forward and backward; attention stands apart in PyTorch's count, and is left out."""
    counter = FlopCounterMode(display=False)
    with counter:
        out = policy(BATCH, logprobs=head, scores=not head)
        (out.logprobs if head else out.scores).sum().backward()      # type: ignore[union-attr]
    counts: dict[Any, int] = counter.get_flop_counts()["Global"]
    made = sum(number for operation, number in counts.items() if str(operation) in ("aten.mm", "aten.addmm"))
    return made if head else made - 3 * 2 * WIDTH * BATCH.num_sequences      # without the score head itself


def formula(policy: Policy, attention: int, head: bool = True) -> float:
    """Ours, less `attention` products for each pair of tokens that see each other."""
    return training_flops(policy, BATCH, head=head) - attention * WIDTH * PAIRS


def frozen(policy: Policy) -> Policy:
    for module in (policy.model.get_input_embeddings(), policy.blocks()[0]):
        module.requires_grad_(False)
    return policy


def test_all_weights_trained() -> None:
    policy = Policy(tiny_model())
    assert formula(policy, 12 * LAYERS) == products(policy)
    numbers = sum(each.numel() for block in policy.blocks() for each in block.parameters() if each.ndim == 2)
    assert formula(policy, 12 * LAYERS) == 6 * (numbers * 27 + 258 * WIDTH * LABELS)


@pytest.mark.parametrize("architecture", ["gpt2", "qwen3", "gpt_neox"])
def test_other_architectures(architecture: str) -> None:
    policy = Policy(tiny_model(architecture))
    assert training_flops(policy, BATCH) - 12 * LAYERS * _width(policy) * PAIRS == products(policy)


def _width(policy: Policy) -> int:
    config = policy.config
    return config.num_attention_heads * (getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def test_frozen_layers_have_a_forward_only_and_the_head_above_them_gives_its_input_a_gradient() -> None:
    policy = frozen(Policy(tiny_model()))
    assert formula(policy, 12 + 4) == products(policy)


def test_a_loss_of_scores_alone_runs_no_head_over_the_vocabulary() -> None:
    policy = Policy(tiny_model(), score_head=True)
    with torch.no_grad():
        policy.score_head.linear.weight.fill_(1.0)      # type: ignore[union-attr]
    assert formula(policy, 12 * LAYERS, head=False) == products(policy, head=False)


def test_an_adapter_costs_a_forward_and_the_gradients_of_inputs_and_its_own() -> None:
    policy = Policy(tiny_model())
    add_adapter(policy, Adapter(rank=4))
    ours, made = formula(policy, 12 * LAYERS), products(policy)
    lowest = 2 * 27 * (3 * WIDTH * 4 + WIDTH * (WIDTH + 16 + 16))      # what reads the embeddings: nothing below is trained
    assert ours - lowest == made


def test_stacked_experts_count_as_many_as_a_token_is_sent_to() -> None:
    policy = Policy(tiny_model("mixtral", num_local_experts=8, num_experts_per_tok=2))
    one = sum(each.numel() for block in policy.blocks() for each in block.parameters() if each.ndim == 3) / 8
    flat = sum(each.numel() for block in policy.blocks() for each in block.parameters() if each.ndim == 2)
    assert formula(policy, 12 * LAYERS) == 6 * ((flat + 2 * one) * 27 + 258 * WIDTH * LABELS)


def test_a_shared_prompt_is_computed_once_and_seen_by_all() -> None:
    rows = [[*range(10), 50, 51], [*range(10), 60, 61, 62]]
    masks = [[False] * 10 + [True] * (len(row) - 10) for row in rows]
    shared = TokenBatch.pack(rows, masks, [10, 10])
    assert shared.num_tokens == 15 and visible_pairs(shared) == 55 + (2 * 10 + 3) + (3 * 10 + 6)


def test_a_forward_is_counted_where_somebody_measures_and_a_gradient_is_wanted() -> None:
    policy = Policy(tiny_model())
    with measuring() as meter:
        policy.evaluate_logprobs(BATCH)
        assert meter.lap().counts == {}
        policy(BATCH)
        assert meter.lap().counts == {"flops": training_flops(policy, BATCH)}
