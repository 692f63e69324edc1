"""Draw tokens, each request from its own stream of random numbers, whatever else is in the batch.

S sequences being decoded · V vocabulary
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BLOCK = 256
CANDIDATES = 512      # a nucleus is looked for among so many most likely tokens before all are sorted


def uniforms(seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """One number in [0, 1) for each (seed, step), both (S,) uint64: a counter hashed with SplitMix64.

    A function of its arguments alone (Steele et al. 2014, "Fast splittable pseudorandom number generators").
    """
    with np.errstate(over="ignore"):
        z = seeds + (steps + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def prepare(logits: Tensor, texts: Sequence[Sequence[int]], *, logit_bias: Sequence[tuple[int, float]] = (),
            repetition_penalty: float = 1.0) -> None:
    """What comes before the temperature, in place.

    Args:
        logits: (S, V) fp32.
        texts: for each row, the tokens of its prompt and of its response so far.
        logit_bias: (token id, what is added to its logit).
        repetition_penalty: divides the logits of tokens in `texts` that are above 0 and multiplies those below (Keskar et al.
            2019, "CTRL", arXiv:1909.05858, section 4.1; below 0 as transformers has it).
    """
    for token, bias in logit_bias:
        logits[:, token] += bias
    if repetition_penalty != 1.0:
        said = [(row, token) for row, text in enumerate(texts) for token in set(text)]
        rows, tokens = torch.tensor(said, device=logits.device).T
        found = logits[rows, tokens]
        logits[rows, tokens] = torch.where(found < 0, found * repetition_penalty, found / repetition_penalty)


def draw(logits: Tensor, u: Tensor, *, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0,
         min_p: float = 0.0) -> tuple[Tensor, Tensor]:
    """Draw one token a row by inverting the cumulative distribution.

    Args:
        logits: (S, V) fp32; overwritten.
        u: (S,) float64 in [0, 1).
        temperature: divides the logits; 0 takes the most likely token (its logprob is then given at temperature 1).
        top_k: keep this many most likely tokens, and any that tie with the last of them; 0 keeps all.
        top_p: keep the smallest set of most likely tokens that holds this much probability, and any that tie with the last of
            them; 1 keeps all.
        min_p: of those, keep what has at least this share of the largest probability; 0 keeps all.
    Returns:
        tokens (S,) int64 and their logprobs (S,) fp32 under the distribution that was sampled.
    """
    if temperature == 0:
        best = logits.max(-1)
        return best.indices, best.values - logits.logsumexp(-1)
    if temperature != 1.0:
        logits /= temperature
    if 0 < top_k < logits.shape[1]:
        logits.masked_fill_(logits < logits.topk(top_k, dim=-1).values[:, -1:], float("-inf"))
    if top_p < 1.0:
        logits.masked_fill_(logits < _last_of_nucleus(logits, top_p), float("-inf"))
    if min_p > 0.0:
        logits.masked_fill_(logits < logits.amax(-1, keepdim=True) + float(np.log(min_p)), float("-inf"))
    weights = logits.sub_(logits.amax(-1, keepdim=True)).exp_()          # (S, V), the largest is 1
    tokens, weight, total = _invert(weights, u)
    return tokens, (weight.log() - total.log()).float()


def _last_of_nucleus(logits: Tensor, top_p: float) -> Tensor:
    """(S, 1): the least logit of the smallest set that holds `top_p` of the probability.

    Sorting a vocabulary takes longer than all else of a step, so only rows whose nucleus is large are sorted.
    """
    whole = logits.logsumexp(-1, keepdim=True)
    best = logits.topk(min(CANDIDATES, logits.shape[1]), dim=-1).values
    last, inside = _cut(best, whole, top_p)
    wide = (~inside).nonzero().squeeze(1)
    if len(wide) and best.shape[1] < logits.shape[1]:
        last[wide], _ = _cut(logits[wide].sort(dim=-1, descending=True).values, whole[wide], top_p)
    return last


def _cut(ordered: Tensor, whole: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The last logit of the nucleus among `ordered`, (S, 1), and whether it surely ends there, (S,)."""
    probabilities = torch.exp(ordered - whole)
    before = probabilities.cumsum(-1) - probabilities                    # mass in front of each token
    count = (before < top_p).sum(-1, keepdim=True)
    return ordered.gather(1, count - 1), count.squeeze(1) < ordered.shape[1]


def _invert(weights: Tensor, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Token at which the running sum of `weights` passes `u` of the whole; its weight and the whole, in float64.

    Two levels, blocks and then tokens of one block, so that the long running sum is never taken over the vocabulary.
    """
    s, v = weights.shape
    if v % BLOCK:
        weights = torch.nn.functional.pad(weights, (0, BLOCK - v % BLOCK))
    blocks = weights.view(s, -1, BLOCK)
    running = blocks.sum(-1).double().cumsum(-1)                         # (S, V / BLOCK)
    total = running[:, -1]
    target = u.to(running) * total
    block = torch.searchsorted(running, target[:, None], right=True).clamp_(max=running.shape[1] - 1)
    offset = torch.where(block > 0, running.gather(1, (block - 1).clamp(min=0)), 0.0)
    inside = blocks.gather(1, block[:, :, None].expand(-1, -1, BLOCK)).squeeze(1).double()     # (S, BLOCK)
    column = torch.searchsorted(inside.cumsum(-1), target[:, None] - offset, right=True)
    # rounding may point past the last token that has any weight; that token is then meant
    last = BLOCK - 1 - (inside > 0).flip(-1).int().argmax(-1, keepdim=True)
    column = torch.minimum(column, last)
    return (block * BLOCK + column).squeeze(1), inside.gather(1, column).squeeze(1), total
