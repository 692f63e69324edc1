"""How many floating-point operations the products of a forward, and of its backward, need.

    forward of a weight            2 x its numbers x tokens         (Kaplan et al. 2020, arXiv:2001.08361, section 2.1)
    backward                       as much for the gradient of its input, where something below is trained,
                                   and as much for its own, where it is trained: 6 in all for a trained weight
    attention, a layer             4 x heads x head size x pairs of tokens that see each other, and 8 in the backward
                                   (Chowdhery et al. 2022, arXiv:2204.02311, appendix B, which counts all pairs of a sequence;
                                   here only those that causal attention needs)

What is needed counts, not what is done: products that are made twice to save memory count once, and norms, softmax and the
optimizer not at all. So a share of the ceiling says how far a step is from its products alone at full speed. What is trained
is looked at block by block, so the lowest adapter of all has a few products too many; windows of attention are taken for whole.

N tokens of a batch · L labels of it · n tokens of a segment, m tokens of its prefix
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from tutelage.batch import TokenBatch

if TYPE_CHECKING:
    from tutelage.models.policy import Policy


def training_flops(policy: Policy, batch: TokenBatch, *, head: bool = True) -> float:
    """Of forward and backward of `batch`. `head`: whether logprobs over the vocabulary are made of its labels."""
    width, pairs = _attention_width(policy), visible_pairs(batch)
    reached = any(m.weight.requires_grad for m in policy.modules() if isinstance(m, nn.Embedding))
    total = 0.0
    for block in policy.blocks():
        weights = list(block.parameters())
        reached = reached or any(weight.requires_grad for weight in weights)
        total += batch.num_tokens * sum(_used(policy, each) * _operations(each, reached) for each in weights if each.ndim >= 2)
        total += (12 if reached else 4) * width * pairs
    output = policy.model.get_output_embeddings()
    if head and output is not None:
        total += int(batch.response_mask.sum()) * output.weight.numel() * _operations(output.weight, reached)
    return total


def visible_pairs(batch: TokenBatch) -> int:
    """Pairs of tokens of which the later one sees the earlier, itself included: n (n + 1) / 2 + n m, over all segments."""
    lengths = batch.cu_seqlens.diff().tolist()
    return sum(n * (n + 1) // 2 + (n * lengths[prefix] if prefix >= 0 else 0)
               for n, prefix in zip(lengths, batch.prefix.tolist(), strict=True))


def _operations(weight: Tensor, reached: bool) -> int:
    """For each of its numbers and each token: forward, gradient of its input, its own."""
    return 2 + (2 if reached else 0) + (2 if weight.requires_grad else 0)


def _used(policy: Policy, weight: Tensor) -> float:
    """Numbers of a matrix that one token is multiplied with; of stacked experts those it is sent to."""
    if weight.ndim == 2:
        return weight.numel()
    return weight.numel() * getattr(policy.config.get_text_config(), "num_experts_per_tok", weight.shape[0]) / weight.shape[0]


def _attention_width(policy: Policy) -> int:
    """Heads x head size."""
    config = policy.config.get_text_config()
    heads = config.num_attention_heads
    return heads * (getattr(config, "head_dim", None) or config.hidden_size // heads)
