"""Credit: how much better than expected was this token, or this response?

B sequences · T response · G samples per prompt. Nothing here carries gradient: an advantage is a weight, not
a path.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms.returns import discounted_returns
from tutelage.algorithms.shapes import check_shapes
from tutelage.errors import ShapeError


@torch.no_grad()
def gae(rewards: Tensor, values: Tensor, response_mask: Tensor, gamma: float = 1.0,
        gae_lambda: float = 0.95) -> tuple[Tensor, Tensor]:
    """Generalized advantage estimation (Schulman et al. 2016, arXiv:1506.02438, eq. 16).

        delta_t = r_t + gamma * V_{t+1} - V_t,    A_t = delta_t + gamma * lambda * A_{t+1}

    The response ends the episode, so V after its last token is 0. Tokens outside the mask (padding, tool
    output) are stepped over: they neither earn nor decay.

    Args:
        rewards: (B, T) per-token reward, in reward-model units; see `token_rewards`.
        values: (B, T) critic's V(s_t) when sampled; carries no gradient.
        response_mask: (B, T) bool, True on tokens the policy chose.
        gamma, gae_lambda: discount, and the mixture of one-step (0) and Monte Carlo (1) estimates.
    Returns:
        advantages, returns: (B, T) each, zero outside the mask. Returns are advantages + values, before any
            whitening.
    Raises:
        ShapeError: if the three shapes differ.
    """
    check_shapes("B T", rewards=rewards, values=values, response_mask=response_mask)
    advantages = torch.zeros_like(rewards)
    carry = next_value = rewards.new_zeros(rewards.shape[0])               # (B,)
    for t in reversed(range(rewards.shape[1])):
        counts = response_mask[:, t]
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        carry = torch.where(counts, delta + gamma * gae_lambda * carry, carry)
        next_value = torch.where(counts, values[:, t], next_value)
        advantages[:, t] = torch.where(counts, carry, 0.0)
    return advantages, torch.where(response_mask, advantages + values, 0.0)


@torch.no_grad()
def monte_carlo(rewards: Tensor, response_mask: Tensor, values: Tensor | None = None,
                gamma: float = 1.0) -> tuple[Tensor, Tensor]:
    """Return minus baseline: REINFORCE (Williams 1992), and A2C's advantage over full episodes.

        A_t = G_t - V_t,    A_t = G_t without values

    Args:
        rewards, response_mask: (B, T); see `token_rewards`.
        values: (B, T) baseline, or None for none.
    Returns:
        advantages, returns: (B, T) each, zero outside the mask.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("B T", rewards=rewards, response_mask=response_mask, values=values)
    returns = discounted_returns(rewards, response_mask, gamma)
    if values is None:
        return returns.clone(), returns
    return torch.where(response_mask, returns - values, 0.0), returns


@torch.no_grad()
def group_mean(scores: Tensor, groups: Tensor | int, divide_by_std: bool = False,
               eps: float = 1e-4) -> Tensor:
    """Score minus the mean score of its prompt's samples: GRPO (Shao et al. 2024, arXiv:2402.03300).

        A_i = r_i - mean(r),    A_i = (r_i - mean(r)) / (std(r) + eps) if `divide_by_std`

    Dividing is the paper's GRPO; not dividing is Dr. GRPO (Liu et al. 2025, arXiv:2503.20783), which showed
    that the division favours prompts that are nearly all right or nearly all wrong. std is the unbiased one.

    Args:
        scores: (B,) one per response, in reward units.
        groups: (B,) id of each response's prompt, in any order; or G when each G neighbours share a prompt.
    Returns:
        (B,); 0 throughout a group of equal scores, and for a group of one.
    Raises:
        ShapeError: if the shapes differ, or G does not divide B.
    """
    index, sizes = group_index(scores, groups)
    means = _group_sum(scores, index, sizes) / sizes                                # (groups,)
    advantages = scores - means[index]
    if divide_by_std:
        var = _group_sum(advantages.square(), index, sizes) / (sizes - 1).clamp(min=1)
        advantages = advantages / (var.sqrt()[index] + eps)
    return advantages


@torch.no_grad()
def leave_one_out(scores: Tensor, groups: Tensor | int) -> Tensor:
    """Score minus the mean of the *other* samples of its prompt: RLOO (Kool et al. 2019).

        A_i = r_i - 1/(G-1) sum_{j != i} r_j  =  G/(G-1) (r_i - mean(r))

    Unlike the group mean, the baseline does not depend on r_i, so the policy gradient stays unbiased
    (Ahmadian et al. 2024, arXiv:2402.14740).

    Args and returns as for `group_mean`; a group of one has no others and gets 0.
    """
    index, sizes = group_index(scores, groups)
    others = (sizes - 1).clamp(min=1)
    centred = scores - (_group_sum(scores, index, sizes) / sizes)[index]
    return centred * (sizes / others)[index]


def per_token(advantages: Tensor, response_mask: Tensor) -> Tensor:
    """Give every token of a response the response's advantage: (B,) to (B, T), zero outside the mask."""
    sizes = check_shapes("B T", response_mask=response_mask)
    check_shapes("B", sizes, advantages=advantages)
    return torch.where(response_mask, advantages[:, None], 0.0)


def group_index(scores: Tensor, groups: Tensor | int) -> tuple[Tensor, Tensor]:
    """(B,) the group of each score, counted from 0; (groups,) how many each has, in the scores' dtype."""
    sizes = check_shapes("B", scores=scores)
    if isinstance(groups, int):
        if groups < 1 or len(scores) % groups:
            raise ShapeError(f"scores has B = {len(scores)}; wanted a multiple of G = {groups} samples per "
                             "prompt. Pass group ids (B,) where groups differ in size.")
        groups = torch.arange(len(scores), device=scores.device) // groups
    check_shapes("B", sizes, groups=groups)
    _, index, counts = groups.unique(return_inverse=True, return_counts=True)
    return index, counts.to(scores.dtype)


def _group_sum(values: Tensor, index: Tensor, sizes: Tensor) -> Tensor:
    return values.new_zeros(len(sizes)).index_add(0, index, values)
