"""A reward of single tokens on its way into an update: paid where it was earned, summed where a response is one action."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tutelage.batch import Rollout
from tutelage.errors import RewardError
from tutelage.project import Project
from tutelage.records import Sample, Scores
from tutelage.rl.baseline import Baseline
from tutelage.rl.config import RL, Algorithm
from tutelage.rl.constraint import Constraint
from tutelage.rl.credit import TOKEN_SCORES, Credit
from tutelage.rl.presets import PRESETS
from tutelage.rl.scored import paid
from tutelage.rl.stage import rl
from tutelage.rl.trainer import PolicyTrainer
from tutelage.scoring import Constraints
from tutelage.training.config import Optimizer

Build = Callable[..., PolicyTrainer]


def rollout(rows: Sequence[Sequence[float]], mask: Sequence[Sequence[bool]]) -> Rollout:
    values, kept = torch.zeros(len(rows), len(rows[0])), torch.tensor(mask)
    return Rollout(sequences=((1,),) * len(rows), prompt_lengths=(1,) * len(rows), response_mask=kept, old_logprobs=values,
                   ref_logprobs=values, values=values, scores=(torch.tensor(rows) * kept).sum(1),
                   group_ids=torch.zeros(len(rows), dtype=torch.long), extras={TOKEN_SCORES: torch.tensor(rows)})


def test_each_token_is_credited_with_what_comes_after_it() -> None:
    """By hand: rewards 1, 0, -2 have returns -1, -2, -2; of a response of two tokens 0, 3 have 3, 3."""
    rows = rollout([[1.0, 0.0, -2.0], [0.0, 3.0, 9.0]], [[True] * 3, [True, True, False]])
    plain = Algorithm(credit="returns", baseline="none", clip_range=None, whiten=False, kl_coef=0.0)
    advantages, _ = Credit(plain)(rows, 0.0)
    assert advantages.tolist() == [[-1.0, -2.0, -2.0], [3.0, 3.0, 0.0]]
    at_the_end, _ = Credit(plain)(replace(rows, extras={}), 0.0)
    assert at_the_end.tolist() == [[-1.0, -1.0, -1.0], [3.0, 3.0, 0.0]]


def test_with_lambda_zero_only_the_tokens_own_reward_counts() -> None:
    rows = rollout([[1.0, 0.0, -2.0]], [[True] * 3])
    one_step = Algorithm(gae_lambda=0.0, gamma=1.0, whiten=False, kl_coef=0.0)
    assert Credit(one_step)(rows, 0.0)[0].tolist() == [[1.0, 0.0, -2.0]]


@pytest.mark.parametrize("preset", ["rloo", "grpo", "gspo"])
def test_in_a_group_a_response_is_one_action_and_its_tokens_are_summed(trainer: Build, draw: Any, scores: Any, gradient: Any,
                                                                       preset: str) -> None:
    fast, other = trainer(PRESETS[preset]), trainer(PRESETS[preset])
    samples = draw(fast.policy)
    totals = scores(samples)
    rows = [[0.25] * (len(each.response_ids) - 1) + [total - 0.25 * (len(each.response_ids) - 1)]
            for each, total in zip(samples, totals, strict=True)]
    fast.step(samples, totals, rows)
    other.step(samples, totals)
    assert all(torch.equal(value, gradient(other)[name]) for name, value in gradient(fast).items())


def test_paid_at_the_end_it_is_the_score_of_the_response(trainer: Build, draw: Any, scores: Any, gradient: Any) -> None:
    fast, other = trainer(PRESETS["ppo"]), trainer(PRESETS["ppo"])
    samples = draw(fast.policy)
    totals = scores(samples)
    found = fast.step(samples, totals, [[0.0] * (len(each.response_ids) - 1) + [total]
                                        for each, total in zip(samples, totals, strict=True)])
    assert found == other.step(samples, totals)
    assert all(torch.equal(value, gradient(other)[name]) for name, value in gradient(fast).items())


def test_tokens_the_policy_did_not_choose_are_stepped_over(trainer: Build, draw: Any) -> None:
    fast = trainer(PRESETS["ppo"])
    samples = [replace(each, response_mask=(True, False, *[True] * (len(each.response_ids) - 2))) for each in draw(fast.policy)]
    rows = [[float(at) for at in range(len(each.response_ids))] for each in samples]
    seen: list[Rollout] = []
    credit = fast.credit
    fast.credit = lambda each, coef: (seen.append(each), credit(each, coef))[1]      # type: ignore[assignment, func-returns-value]
    fast.credit.kept = credit.kept                                                   # type: ignore[attr-defined]
    fast.step(samples, [sum(row) - 1 for row in rows], rows)
    dense = seen[0].extras[TOKEN_SCORES]
    for each, row in zip(samples, dense.tolist(), strict=True):
        assert row[:len(each.response_ids) - 1] == [0.0, *map(float, range(2, len(each.response_ids)))]


def test_rows_that_are_not_one_finite_number_a_token_are_refused(trainer: Build, draw: Any, scores: Any) -> None:
    fast = trainer(PRESETS["ppo"])
    samples = draw(fast.policy)
    rows = [[0.0] * len(each.response_ids) for each in samples]
    for wrong in (rows[1:], [rows[0][1:], *rows[1:]], [[float("nan"), *rows[0][1:]], *rows[1:]]):
        with pytest.raises(RewardError, match="wanted a row a sample and a number a response token"):
            fast.step(samples, scores(samples), wrong)
    assert fast.steps_done == 0


def test_what_shaping_changes_is_paid_with_the_last_token() -> None:
    """The scale of the reference samples is 2 and the multiplier 3, so that a unit counts an eighth."""
    baseline, constraint = Baseline(True), Constraint(Constraints(cost=("c",), limit=(0.0,), multiplier=3.0))
    baseline.mean, baseline.std = 1.0, 2.0
    unit = baseline.unit * constraint.unit
    assert unit == pytest.approx(1 / 8) and Baseline(False).unit == Constraint(Constraints()).unit == 1.0
    assert paid([[8.0, 16.0, 0.5], [4.0]], [1.0, 7.0], unit) == [pytest.approx([1.0, 2.0, -2.0]), [7.0]]
    assert paid(None, [1.0], unit) is None


def test_a_run_goes_the_same_way_when_all_is_paid_at_the_end(project: Project, tmp_path: Any, tiny_directory: Any,
                                                             instructions: Callable[..., str]) -> None:
    """And another way when it is not."""
    class Evens:
        def __init__(self, pays: str) -> None:
            self.pays = pays

        def score(self, samples: Sequence[Sample]) -> Scores:
            rows = [[float(token % 2 == 0) for token in each.response_ids] for each in samples]
            totals = tuple(map(sum, rows))
            ends = [[0.0] * (len(row) - 1) + [total] for row, total in zip(rows, totals, strict=True)]
            given = {"token": rows, "end": ends, "": None}[self.pays]
            return Scores(total=totals, per_token=None if given is None else tuple(map(tuple, given)))

    config = RL(policy=str(tiny_directory), prompts=instructions([("a?", "x"), ("b?", "x")]), precision="fp32", steps=2,
                prompts_per_step=2, per_prompt=3, max_new_tokens=5, optimizer=Optimizer(lr=1e-3, warmup_fraction=0.0))
    files = {pays: rl(Project.init(tmp_path / f"p{pays}"), config, Evens(pays), {}).manifest.files
             for pays in ("", "end", "token")}
    assert files[""] == files["end"] != files["token"]
