"""The maths of learning from feedback: tensors in, tensors out. No model, no tokenizer, no configuration.

One function for each idea; papers and tests are listed in docs/papers.md.
"""

from tutelage.algorithms.advantages import gae, group_mean, leave_one_out, monte_carlo, per_token
from tutelage.algorithms.best_of import best_in_group, best_of_kl, expected_best, pair_weights
from tutelage.algorithms.classification_loss import sigmoid_cross_entropy, softmax_cross_entropy
from tutelage.algorithms.constraints import lagrangian_scores, next_log_multiplier
from tutelage.algorithms.entropy import next_ent_coef
from tutelage.algorithms.importance import truncated_weights
from tutelage.algorithms.judgment_loss import (
    comparison_nll,
    judgment_loss,
    ordinal_nll,
    ranking_nll,
    rising,
    score_nll,
    steps_of,
    strength_nll,
)
from tutelage.algorithms.kl import KL_ESTIMATORS, exact_kl, k1, k2, k3, next_kl_coef
from tutelage.algorithms.logprobs import log_softmax_gather, token_logprobs
from tutelage.algorithms.losses import LossSum
from tutelage.algorithms.marked_loss import marked_token_loss, token_rewards_of
from tutelage.algorithms.masked import keep, masked_count, masked_mean, masked_sum, masked_var, whiten
from tutelage.algorithms.policy_loss import (
    approx_kl,
    clip_fraction,
    clipped_policy_loss,
    clipped_value_loss,
    explained_variance,
    policy_gradient_loss,
)
from tutelage.algorithms.preference_loss import PAIR_LOSSES, kto_loss, log_odds, pair_loss
from tutelage.algorithms.returns import discounted_returns, last_token_index, token_rewards
from tutelage.algorithms.reward_loss import bradley_terry_loss
from tutelage.algorithms.sft_loss import negative_log_likelihood
from tutelage.algorithms.shapes import check_shapes

__all__ = [
    "KL_ESTIMATORS",
    "PAIR_LOSSES",
    "LossSum",
    "approx_kl",
    "best_in_group",
    "best_of_kl",
    "bradley_terry_loss",
    "check_shapes",
    "clip_fraction",
    "clipped_policy_loss",
    "clipped_value_loss",
    "comparison_nll",
    "discounted_returns",
    "exact_kl",
    "expected_best",
    "explained_variance",
    "gae",
    "group_mean",
    "judgment_loss",
    "k1",
    "k2",
    "k3",
    "keep",
    "kto_loss",
    "lagrangian_scores",
    "last_token_index",
    "leave_one_out",
    "log_odds",
    "log_softmax_gather",
    "marked_token_loss",
    "masked_count",
    "masked_mean",
    "masked_sum",
    "masked_var",
    "monte_carlo",
    "negative_log_likelihood",
    "next_ent_coef",
    "next_kl_coef",
    "next_log_multiplier",
    "ordinal_nll",
    "pair_loss",
    "pair_weights",
    "per_token",
    "policy_gradient_loss",
    "ranking_nll",
    "rising",
    "score_nll",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "steps_of",
    "strength_nll",
    "token_logprobs",
    "token_rewards",
    "token_rewards_of",
    "truncated_weights",
    "whiten",
]
