"""From one score a response to one reward a token, and from rewards to returns.

B sequences · T response.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms.shapes import check_shapes
from tutelage.errors import ShapeError


def last_token_index(response_mask: Tensor) -> Tensor:
    """(B,) index of the last True of each row.

    Raises:
        ShapeError: naming the rows that have none; a score would have no place to go.
    """
    check_shapes("B T", response_mask=response_mask)
    empty = (~response_mask.any(1)).nonzero()[:, 0].tolist()
    if empty:
        raise ShapeError(f"{len(empty)} of {len(response_mask)} rows of response_mask have no True (first: "
                         f"row {empty[0]}); wanted one token or more each. Drop empty responses first.")
    positions = torch.arange(response_mask.shape[1], device=response_mask.device)
    return torch.where(response_mask, positions, -1).amax(1)


def token_rewards(scores: Tensor, kl: Tensor, response_mask: Tensor, kl_coef: float,
                  token_scores: Tensor | None = None) -> Tensor:
    """Pay the score at the last token of the response, or each token its own, and the KL penalty at every token.

        r_t = [t is the last token] * score - kl_coef * kl_t        or        r_t = score_t - kl_coef * kl_t

    (Ziegler et al. 2019, arXiv:1909.08593, eq. 2, written per token as in Stiennon et al. 2020,
    arXiv:2009.01325.)

    Args:
        scores: (B,) in reward-model units, larger is better. Clip them before, so that the penalty stays
            whole.
        kl: (B, T) estimate of KL(policy || reference) per token, normally `k1`; no gradient.
        response_mask: (B, T) bool, True on tokens the policy chose.
        kl_coef: reward units per nat.
        token_scores: (B, T) what each token earns, whose sum over the mask is `scores`; None pays it all at the end.
    Returns:
        (B, T), zero outside the mask; detached.
    Raises:
        ShapeError: if shapes differ, or a row has no response token.
    """
    sizes = check_shapes("B T", kl=kl, response_mask=response_mask)
    check_shapes("B", sizes, scores=scores)
    rewards = torch.where(response_mask, -kl_coef * kl.detach(), 0.0)      # (B, T)
    if token_scores is not None:
        check_shapes("B T", sizes, token_scores=token_scores)
        return torch.where(response_mask, rewards + token_scores.detach().to(rewards.dtype), 0.0)
    last = last_token_index(response_mask)[:, None]                        # (B, 1)
    return rewards.scatter_add(1, last, scores.detach().to(rewards.dtype)[:, None])


def discounted_returns(rewards: Tensor, response_mask: Tensor, gamma: float = 1.0) -> Tensor:
    """The discounted sum of the rewards from each token on (Sutton & Barto 2018, eq. 3.9).

        G_t = r_t + gamma * G_{t+1},    0 after the last token

    Tokens outside the mask (padding, tool output) are stepped over: they neither earn nor decay.

    Args:
        rewards: (B, T) in reward units; read under the mask only.
        response_mask: (B, T) bool.
    Returns:
        (B, T), zero outside the mask.
    Raises:
        ShapeError: if the shapes differ.
    """
    check_shapes("B T", rewards=rewards, response_mask=response_mask)
    returns = torch.zeros_like(rewards)
    carry = rewards.new_zeros(rewards.shape[0])                            # (B,)
    for t in reversed(range(rewards.shape[1])):
        counts = response_mask[:, t]
        carry = torch.where(counts, rewards[:, t] + gamma * carry, carry)
        returns[:, t] = torch.where(counts, carry, 0.0)
    return returns
