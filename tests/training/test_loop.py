"""One step is one step, however its rows were split (D5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch

from tutelage.algorithms import LossSum, negative_log_likelihood
from tutelage.batch import TokenBatch
from tutelage.errors import TrainingError
from tutelage.models.policy import Policy
from tutelage.training.config import Optimizer
from tutelage.training.loop import MicroBatch, Term, update
from tutelage.training.optimizer import Masters

ROWS = [[1, 2, 3, 4, 5, 6, 7, 8], [9, 8, 7], [5, 5, 5, 5, 5, 5], [11, 12, 13, 14], [3, 1, 4, 1, 5], [2, 7]]


class TwoTerms:
    """Likelihood counted in tokens, entropy counted in sequences: two terms, two counts."""

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"nll": float(batch.tokens.response_mask.sum()), "entropy": float(batch.tokens.num_sequences)}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        out = policy(batch.tokens, entropy=True)
        return [Term("nll", negative_log_likelihood(out.logprobs)),
                Term("entropy", LossSum(out.entropy.sum(), torch.tensor(float(batch.tokens.num_sequences))), 0.1)]


class PoisonedRow(TwoTerms):
    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        nll, entropy = super().terms(policy, batch)
        return [Term("nll", LossSum(nll.loss.sum * (float("nan") if "row3" in batch.rows else 1.0), nll.loss.count)), entropy]


def micro(rows: Sequence[int]) -> MicroBatch:
    masks = [[False, *[True] * (len(ROWS[row]) - 1)] for row in rows]
    return MicroBatch(tokens=TokenBatch.pack([ROWS[row] for row in rows], masks), rows=tuple(f"row{row}" for row in rows))


def gradient(policy: Policy, config: Optimizer,
             split: Sequence[Sequence[int]]) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    """With betas of 0 Adam's first moment is the gradient."""
    masters = Masters(policy, config, 1)
    metrics = update(masters, [micro(rows) for rows in split], TwoTerms())
    return {name: moments["exp_avg"] for name, moments in masters.state()["moments"].items()}, metrics


SPLITS = [[[0], [1], [2], [3], [4], [5]], [[0, 1, 2, 3], [4, 5]], [[0, 1, 2, 3, 4], [5]], [[5, 3], [1], [4, 0, 2]]]


@pytest.mark.parametrize("split", SPLITS, ids=str)
def test_the_gradient_does_not_depend_on_the_split(plain: Callable[..., Optimizer], tiny_policy: Callable[..., Policy],
                                                   split: list[list[int]]) -> None:
    """transformers#34191, #35203, trl#2604; ms-swift#10084: also where the last micro-batch is a ragged one."""
    config = plain(betas=(0.0, 0.0))
    whole, metrics = gradient(tiny_policy(), config, [[0, 1, 2, 3, 4, 5]])
    parts, part_metrics = gradient(tiny_policy(), config, split)
    for name, value in whole.items():
        assert torch.allclose(value, parts[name], rtol=0, atol=1e-6), name
    assert max(float(value.abs().max()) for value in whole.values()) > 0.01      # 1e-6 is small beside it
    for name in ("loss", "nll", "entropy", "grad_norm", "tokens"):
        assert part_metrics[name] == pytest.approx(metrics[name], rel=1e-5), name


def test_a_mean_of_means_would_be_another_gradient(plain: Callable[..., Optimizer], tiny_policy: Callable[..., Policy]) -> None:
    """The test above can fail: averaging the micro-batches' own means is off by a thousand times its tolerance."""
    config = plain(betas=(0.0, 0.0))
    whole, _ = gradient(tiny_policy(), config, [[0, 1, 2, 3, 4, 5]])
    means = [gradient(tiny_policy(), config, [rows])[0] for rows in ([0, 1, 2, 3], [4, 5])]
    off = max(float(((means[0][name] + means[1][name]) / 2 - value).abs().max()) for name, value in whole.items())
    assert off > 1e-3


def test_the_loss_is_the_sum_of_terms_each_divided_by_its_own_count(plain: Callable[..., Optimizer],
                                                                    tiny_policy: Callable[..., Policy]) -> None:
    policy = tiny_policy()
    with torch.no_grad():
        out = policy(micro(range(6)).tokens, entropy=True)
    metrics = update(Masters(policy, plain(), 1), [micro([0, 1, 2]), micro([3, 4, 5])], TwoTerms())
    nll, entropy = float(-out.logprobs.mean()), float(out.entropy.sum()) / 6
    assert metrics["nll"] == pytest.approx(nll, rel=1e-5) and metrics["entropy"] == pytest.approx(entropy, rel=1e-5)
    assert metrics["loss"] == pytest.approx(nll + 0.1 * entropy, rel=1e-5)
    assert metrics["tokens"] == sum(map(len, ROWS)) and metrics["lr"] == 1e-2


def test_a_count_below_one_divides_too(plain: Callable[..., Optimizer], tiny_policy: Callable[..., Policy]) -> None:
    """Pairs of weight 0.1 are a whole step of little pairs, not a tenth of a step."""
    class Light(TwoTerms):
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def counts(self, batch: MicroBatch) -> Mapping[str, float]:
            return {"nll": self.weight}

        def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
            nll = negative_log_likelihood(policy(batch.tokens).logprobs)
            return [Term("nll", LossSum(self.weight * nll.sum, nll.count))]

    light, plain_weight = (update(Masters(tiny_policy(), plain(), 1), [micro([0])], Light(weight))
                           for weight in (0.1, 1.0))
    assert light["loss"] == pytest.approx(plain_weight["loss"], rel=1e-5)


def test_a_loss_that_is_not_finite_names_its_rows_and_changes_nothing(plain: Callable[..., Optimizer],
                                                                      tiny_policy: Callable[..., Policy]) -> None:
    """trl#6668, #3927: NaN trained on silently. What the micro-batches before it left is forgotten too."""
    policy, wanted = tiny_policy(), tiny_policy()
    masters, fresh = Masters(policy, plain(), 2), Masters(wanted, plain(), 2)
    with pytest.raises(TrainingError, match=r"the loss is nan in rows row2, row3; no weight was changed"):
        update(masters, [micro([0, 1]), micro([2, 3]), micro([4, 5])], PoisonedRow())
    assert masters.steps_done == 0
    assert all(torch.equal(one, other) for one, other in zip(policy.parameters(), wanted.parameters(), strict=True))
    update(masters, [micro([4, 5])], TwoTerms())
    update(fresh, [micro([4, 5])], TwoTerms())
    assert all(torch.equal(one, other) for one, other in zip(policy.parameters(), wanted.parameters(), strict=True))


def test_counts_are_summed_over_ranks_before_the_first_backward(plain: Callable[..., Optimizer],
                                                                tiny_policy: Callable[..., Policy]) -> None:
    """Two ranks with the same rows: each takes half of its gradient, so that their sum is the one of all rows."""
    class Two:
        rank, size = 0, 2

        def sum(self, values: Sequence[float]) -> list[float]:
            return [2 * value for value in values]

    policy, alone = tiny_policy(), tiny_policy()
    config = plain(betas=(0.0, 0.0))
    half = update(Masters(policy, config, 1), [micro([0, 1])], TwoTerms(), Two())
    whole = update(Masters(alone, config, 1), [micro([0, 1])], TwoTerms())
    assert half["grad_norm"] == pytest.approx(whole["grad_norm"] / 2, rel=1e-5)
