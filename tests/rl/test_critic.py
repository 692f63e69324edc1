"""A critic of its own: what it reads, what it learns, and that it alone learns while it warms up."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from rl_formulas import Plain

from tutelage.batch import TokenBatch
from tutelage.models.load import load_policy, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.rewards.model import SCALE_FILE as REWARD_SCALE_FILE
from tutelage.rl.critic import SCALE_FILE, Critic, load_critic
from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer, _fields
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters

PLAIN = Optimizer(lr=1e-3, head_lr=1e-3, betas=(0.0, 0.0), eps=1e-5, warmup_fraction=0.0, schedule="constant", max_grad_norm=0.0)


@pytest.fixture
def separate(policy: Callable[..., Policy], reference: Callable[..., Policy]) -> Callable[..., PolicyTrainer]:
    """PPO whose critic is another model than its policy."""
    def build(**changes: Any) -> PolicyTrainer:
        a = replace(PRESETS["ppo"], **changes)
        actor, own = policy(value_head=False), policy(value_head=True)
        with torch.no_grad():
            for value in own.model.parameters():
                value.add_(0.02)
        critic = Critic(Masters(own, PLAIN, 100), a.value_clip)
        return PolicyTrainer(actor, reference(), Masters(actor, PLAIN, 100), a, critic=critic)
    return build


def test_values_are_those_of_the_critic(separate: Any, draw: Any, scores: Any) -> None:
    fast = separate()
    samples = draw(fast.policy)
    rollout = fast._rollout(samples, scores(samples), fast._pack(samples))
    plain = Plain(fast.critic.masters.lanes.policies[0])
    for row, sample in enumerate(samples):
        wanted = plain.read(sample)[1].detach()
        assert torch.allclose(rollout.values[row, :len(wanted)], wanted, atol=1e-5)
        assert not bool(rollout.values[row, len(wanted):].any())


def test_it_learns_its_squared_error_and_the_policy_none_of_it(separate: Any, trainer: Any, draw: Any, scores: Any,
                                                               gradient: Any) -> None:
    fast = separate(value_clip=None)
    samples = draw(fast.policy)
    rollout = fast._rollout(samples, scores(samples), fast._pack(samples))
    _, returns = fast.credit(rollout, fast.kl_coef)
    plain = Plain(fast.critic.masters.lanes.policies[0])
    errors = torch.cat([plain.read(sample)[1] - returns[row, :len(sample.response_ids)] for row, sample in enumerate(samples)])
    (errors.square().mean() / 2).backward()
    told = fast.step(samples, scores(samples))
    got = {name: value["exp_avg"] for name, value in fast.critic.masters.state()["moments"].items()}
    wanted = plain.gradients()
    scale = max(float(value.abs().max()) for value in wanted.values())
    for name, value in got.items():
        assert torch.allclose(value, wanted[name], rtol=0, atol=1e-4 * scale), name
    assert told["train/value_loss"] == pytest.approx(float(errors.detach().square().mean()) / 2, rel=1e-4)
    assert told["train/value_squared_error"] == pytest.approx(float(errors.detach().square().mean()), rel=1e-4)
    assert {"train/critic_grad_norm", "train/critic_lr", "train/policy_loss"} <= set(told)
    again = separate(value_clip=None, vf_coef=9.0)      # the weight of a critic on the trunk says nothing here
    again.step(samples, scores(samples))
    for name, value in gradient(again).items():
        assert torch.equal(value, gradient(fast)[name]), name


def test_its_error_is_clipped_around_the_values_of_the_rollout(separate: Any, draw: Any, scores: Any) -> None:
    fast = separate(value_clip=0.01)
    samples = draw(fast.policy)
    packs = fast._pack(samples)
    rollout = fast._rollout(samples, scores(samples), packs)
    _, returns = fast.credit(rollout, fast.kl_coef)
    critic = fast.critic.masters.lanes.policies[0]
    with torch.no_grad():
        for value in critic.parameters():
            value.add_(0.05)
    batches = [_fields(pack, {"values": rollout.values, "returns": returns}, 0.0, 0.0) for pack in packs]
    found = sum(float(term.loss.sum) for batch in batches for term in fast.critic.objective.terms(critic, batch))
    mask = rollout.response_mask
    now = torch.zeros_like(rollout.values)
    for row, sample in enumerate(samples):
        now[row, :len(sample.response_ids)] = Plain(critic).read(sample)[1].detach()
    near = rollout.values + (now - rollout.values).clamp(-0.01, 0.01)
    free, held = ((each - returns).square()[mask] / 2 for each in (now, near))
    assert found == pytest.approx(float(torch.maximum(free, held).sum()), rel=1e-4)
    assert bool((held > free).any()) and bool((free > held).any())


def test_while_it_warms_up_the_policy_stays_as_it_is_to_the_bit(separate: Any, draw: Any, scores: Any) -> None:
    fast = separate(critic_warmup=3, epochs=2)
    before = [value.clone() for value in fast.policy.parameters()]
    samples = draw(fast.policy)
    told = [fast.step(samples, scores(samples)) for _ in range(3)]
    assert all(torch.equal(one, other) for one, other in zip(before, fast.policy.parameters(), strict=True))
    assert fast.masters.steps_done == 0 and fast.critic.masters.steps_done == 6
    assert told[-1]["train/value_squared_error"] < told[0]["train/value_squared_error"] and "train/policy_loss" not in told[0]
    fast.step(samples, scores(samples))      # the first update of the policy is checked for ratios of 1, as ever
    assert fast.masters.steps_done == 2
    assert not all(torch.equal(one, other) for one, other in zip(before, fast.policy.parameters(), strict=True))


def test_its_state_is_in_the_trainers(separate: Any, draw: Any, scores: Any) -> None:
    whole, half, again = (separate(epochs=2) for _ in range(3))
    for fast, count in ((whole, 4), (half, 2)):
        for seed in range(count):
            fast.step(samples := draw(fast.policy, seed=seed), scores(samples))
    again.load_state(half.state())
    for seed in (2, 3):
        again.step(samples := draw(again.policy, seed=seed), scores(samples))
    critics = [fast.critic.masters.lanes.policies[0] for fast in (whole, again)]
    for one, other in zip(*(critic.parameters() for critic in critics), strict=True):
        assert torch.equal(one, other)


def test_one_from_a_reward_model_begins_with_its_standardised_score(tmp_path: Path) -> None:
    model = Policy(tiny_model(noise=0.1), score_head=True)
    torch.nn.init.normal_(model.score_head.linear.weight, generator=torch.Generator().manual_seed(0))
    model.score_head.linear.bias.data.fill_(0.3)
    save_policy(model, tiny_tokenizer(), tmp_path)
    assert SCALE_FILE == REWARD_SCALE_FILE
    (tmp_path / SCALE_FILE).write_text(json.dumps({"mean": 0.7, "std": 2.5}))
    batch = TokenBatch.pack([[5, 6, 7, 8]], [[False, True, True, False]])
    with torch.no_grad():
        scores = load_policy(tmp_path, "fp32", score_head=True)(TokenBatch.pack([[5, 6]], [[False, True]]), scores=True).scores
        values = load_critic(tmp_path, "fp32")(batch, values=True).values
    # the value before a token is read where the token before it stands: after 5, 6 it is the score of 5, 6
    assert float(values[1]) == pytest.approx((float(scores[0]) - 0.7) / 2.5, abs=1e-5)


def test_one_from_any_other_model_begins_at_zero(tiny_directory: Path) -> None:
    with torch.no_grad():
        values = load_critic(tiny_directory, "fp32")(TokenBatch.pack([[5, 6, 7]], [[False, True, True]]), values=True).values
    assert values.tolist() == [0.0, 0.0]
