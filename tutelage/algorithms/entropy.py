"""How much the policy is paid for staying undecided, steered towards a target."""

from __future__ import annotations

import math

MOST = 1.0      # nats of error that one step answers to


def next_ent_coef(ent_coef: float, entropy: float, target: float, rate: float) -> float:
    """The adaptive temperature of soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, eq. 18), by its logarithm.

        log coef + rate * clip(target - entropy, -1, 1)

    Args:
        ent_coef: the bonus a nat of entropy just used, > 0: what is 0 stays 0.
        entropy: just seen, nats a token; less than `target` raises the coefficient.
        rate: steps of gradient descent on the logarithm of the coefficient.
    Raises:
        ValueError: if the coefficient or the rate is not positive.
    """
    if ent_coef <= 0 or rate <= 0:
        raise ValueError(f"next_ent_coef got coefficient {ent_coef} and rate {rate}; wanted both above 0.")
    error = min(max(target - entropy, -MOST), MOST)
    return ent_coef * math.exp(rate * error)
