"""From scores to advantages: the whole rollout at once, never a minibatch of it.

B sampled responses · T response tokens, padded on the right
"""

from __future__ import annotations

import torch
from torch import Tensor

from tutelage.algorithms import (
    KL_ESTIMATORS,
    best_in_group,
    gae,
    group_mean,
    leave_one_out,
    masked_sum,
    monte_carlo,
    pair_weights,
    per_token,
    token_rewards,
    whiten,
)
from tutelage.batch import Rollout
from tutelage.rl.config import Algorithm

TOKEN_SCORES = "token_scores"      # of a rollout's extras: (B, T) what each token earns, where a reward says so
MEMORY = 0.9      # share of the running mean that a new rollout leaves as it was


class Credit:
    """An algorithm's credit; its one state is the running mean of what responses earned."""

    def __init__(self, algorithm: Algorithm) -> None:
        self.algorithm = algorithm
        self.mean: float | None = None

    def __call__(self, rollout: Rollout, kl_coef: float) -> tuple[Tensor, Tensor]:
        """(B, T) advantages and returns, zero outside the mask."""
        a, mask = self.algorithm, rollout.response_mask
        kl = KL_ESTIMATORS[a.kl_estimator](rollout.old_logprobs, rollout.ref_logprobs)
        kl = kl if a.kl_in == "reward" else torch.zeros_like(kl)
        if a.in_groups:
            earned = self._among_group(rollout, masked_sum(kl, mask, dim=1), kl_coef)
            advantages, returns = per_token(earned, mask), torch.zeros_like(kl)
        else:
            rewards = token_rewards(rollout.scores, kl, mask, kl_coef, rollout.extras.get(TOKEN_SCORES))
            rewards = whiten(rewards, mask, shift_mean=False) if a.whiten_rewards else rewards
            advantages, returns = self._over_time(rewards, rollout.values, mask)
        return (whiten(advantages, mask) if a.whiten else advantages), returns

    def kept(self, rollout: Rollout, advantages: Tensor) -> Tensor:
        """(B,) bool, True on the responses that are learned from."""
        kept = advantages.ne(0).any(1) if self.algorithm.selects else torch.ones_like(rollout.scores, dtype=torch.bool)
        return kept & informative(rollout) if self.algorithm.drop_equal else kept

    def _among_group(self, rollout: Rollout, kl: Tensor, kl_coef: float) -> Tensor:
        """(B,) for each response, of whose tokens `kl` is the sum. A response is one action here, as of a bandit, so its score,
        which has in it what its tokens earn, pays its whole KL (arXiv:2402.14740, section 3); DPO's loss has it inside.
        """
        credit, groups, totals = self.algorithm.credit, rollout.group_ids, rollout.scores - kl_coef * kl
        if credit == "pair":
            away = masked_sum(rollout.old_logprobs - rollout.ref_logprobs, rollout.response_mask, dim=1)
            return pair_weights(away, rollout.scores, groups, kl_coef)
        if credit == "best":
            return best_in_group(totals, groups).to(totals.dtype)
        if credit == "leave_one_out":
            return leave_one_out(totals, groups)
        return group_mean(totals, groups, divide_by_std=credit == "group_std")

    def _over_time(self, rewards: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        a = self.algorithm
        if a.credit == "gae":
            return gae(rewards, values, mask, a.gamma, a.gae_lambda)
        if a.baseline == "critic":
            return monte_carlo(rewards, mask, values, a.gamma)
        advantages, returns = monte_carlo(rewards, mask, None, a.gamma)
        if a.baseline == "none":
            return advantages, torch.zeros_like(returns)
        # the mean of the rollouts before this one, for a mean with it in would depend on what it is taken from
        earned = float(masked_sum(rewards, mask, dim=1).mean())
        advantages = torch.where(mask, advantages - (earned if self.mean is None else self.mean), 0.0)
        self.mean = earned if self.mean is None else MEMORY * self.mean + (1 - MEMORY) * earned
        return advantages, torch.zeros_like(returns)


def informative(rollout: Rollout) -> Tensor:
    """(B,) bool, True where the samples of a response's prompt do not all score the same."""
    _, index = rollout.group_ids.unique(return_inverse=True)
    start = rollout.scores.new_zeros(int(index.max()) + 1)
    high = start.scatter_reduce(0, index, rollout.scores, "amax", include_self=False)
    low = start.scatter_reduce(0, index, rollout.scores, "amin", include_self=False)
    return (high > low)[index]
