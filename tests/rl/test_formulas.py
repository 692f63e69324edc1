"""The presets are their papers' formulas: one slow loop a paper, over plain transformers, one sequence at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from rl_formulas import Plain, assert_same
from torch import Tensor

from tutelage.records import Sample
from tutelage.rl.config import Algorithm
from tutelage.rl.credit import Credit, informative
from tutelage.rl.presets import PRESETS
from tutelage.rl.surrogate import averaging
from tutelage.rl.trainer import PolicyTrainer

LIMIT = 6      # max_new_tokens, as `draw` samples
Build = Callable[..., PolicyTrainer]


def ppo_loss(model: Plain, old_model: Plain, reference: Plain, samples: Sequence[Sample], scores: Sequence[float],
             a: Algorithm) -> Tensor:
    """Schulman et al. 2017 (arXiv:1707.06347, eq. 7 and 9) with the rewards of Ziegler et al. 2019 (arXiv:1909.08593, eq. 2)
    and the advantages of Schulman et al. 2016 (arXiv:1506.02438, eq. 16), whitened over the rollout.
    """
    advantages, returns, old = [], [], []
    for sample, score in zip(samples, scores, strict=True):
        with torch.no_grad():
            (logp, values), (ref, _) = old_model.read(sample), reference.read(sample)
        last = len(logp) - 1
        rewards = [-a.kl_coef * float(logp[t] - ref[t]) + (score if t == last else 0.0) for t in range(last + 1)]
        row = [0.0] * (last + 1)
        for t in range(last, -1, -1):
            ahead = float(values[t + 1]) if t < last else 0.0            # the response ends the episode
            row[t] = rewards[t] + a.gamma * ahead - float(values[t])
            row[t] += a.gamma * a.gae_lambda * row[t + 1] if t < last else 0.0
        advantages.append(row)
        returns.append([adv + float(value) for adv, value in zip(row, values, strict=True)])
        old.append((logp, values))
    every = [value for row in advantages for value in row]
    mean = sum(every) / len(every)
    std = math.sqrt(sum((value - mean) ** 2 for value in every) / (len(every) - 1))
    policy = value_loss = torch.zeros(())
    for sample, row, target, (old_logp, old_values) in zip(samples, advantages, returns, old, strict=True):
        logp, values = model.read(sample)
        for t in range(len(row)):
            advantage = (row[t] - mean) / std
            ratio = torch.exp(logp[t] - old_logp[t])
            policy = policy - torch.minimum(ratio * advantage, ratio.clamp(1 - a.clip_range, 1 + a.clip_range) * advantage)
            move = values[t] - old_values[t]
            near = old_values[t] + (move if a.value_clip is None else move.clamp(-a.value_clip, a.value_clip))
            value_loss = value_loss + 0.5 * torch.maximum((values[t] - target[t]) ** 2, (near - target[t]) ** 2)
    return (policy + a.vf_coef * value_loss) / len(every)


def rloo_loss(model: Plain, reference: Plain, samples: Sequence[Sample], scores: Sequence[float], a: Algorithm) -> Tensor:
    """Ahmadian et al. 2024 (arXiv:2402.14740, section 3 and appendix): R(y) = r - beta log(pi / ref) of the whole response, the
    mean of the other samples of its prompt as the baseline, and the gradient of log pi(y). Divided by the number of tokens
    instead of responses, which scales the step and turns nothing.
    """
    rewards = []
    for sample, score in zip(samples, scores, strict=True):
        with torch.no_grad():
            rewards.append(score - a.kl_coef * float((model.read(sample)[0] - reference.read(sample)[0]).sum()))
    loss = torch.zeros(())
    for i, sample in enumerate(samples):
        others = [rewards[j] for j, other in enumerate(samples) if j != i and other.prompt.id == sample.prompt.id]
        loss = loss - (rewards[i] - sum(others) / len(others)) * model.read(sample)[0].sum()
    return loss / sum(len(sample.response_ids) for sample in samples)


@pytest.mark.parametrize("changes", [{}, {"kl_coef": 0.5, "gamma": 0.9, "gae_lambda": 0.5}, {"value_clip": None}], ids=str)
def test_ppo_is_its_paper_in_the_first_update(trainer: Callable[..., PolicyTrainer], draw: Any, scores: Any, gradient: Any,
                                              changes: dict[str, Any]) -> None:
    a = replace(PRESETS["ppo"], vf_coef=0.5, **changes)
    fast = trainer(a, micro_tokens=80)
    samples = draw(fast.policy)
    model, reference = Plain(fast.policy), Plain(fast.reference)
    ppo_loss(model, model, reference, samples, scores(samples), a).backward()
    fast.step(samples, scores(samples))
    assert_same(gradient(fast), model.gradients())


def test_ppo_is_its_paper_in_the_second_epoch_where_clipping_matters(trainer: Callable[..., PolicyTrainer], draw: Any,
                                                                     scores: Any, gradient: Any) -> None:
    """Old logprobs, values and advantages are those of the rollout; ratio and value are clipped around them."""
    a = replace(PRESETS["ppo"], vf_coef=0.5, value_clip=0.02)
    once, twice = trainer(a, lr=3e-3), trainer(replace(a, epochs=2), lr=3e-3)
    samples = draw(once.policy)
    old, reference = Plain(once.policy), Plain(once.reference)
    once.step(samples, scores(samples))
    metrics = twice.step(samples, scores(samples))
    model = Plain(once.policy)                       # the weights after the first of the two epochs
    ppo_loss(model, old, reference, samples, scores(samples), a).backward()
    assert 0.05 < metrics["train/clip_fraction"] < 0.45         # mean of 0 and that of the second epoch
    assert_same(gradient(twice), model.gradients())
    unclipped = Plain(once.policy)
    ppo_loss(unclipped, old, reference, samples, scores(samples), replace(a, value_clip=None)).backward()
    head = "value_head.linear.weight"
    assert not torch.allclose(unclipped.gradients()[head], model.gradients()[head], rtol=0.01)      # the clip did something


def test_rloo_is_its_paper(trainer: Callable[..., PolicyTrainer], draw: Any, scores: Any, gradient: Any) -> None:
    a = replace(PRESETS["rloo"], kl_coef=0.3)
    fast = trainer(a, micro_tokens=80)
    samples = draw(fast.policy)
    model = Plain(fast.policy)
    model.value_head.requires_grad_(False)
    rloo_loss(model, Plain(fast.reference), samples, scores(samples), a).backward()
    fast.step(samples, scores(samples))
    assert_same(gradient(fast), model.gradients())


def test_ppo_with_ratio_one_is_the_policy_gradient(trainer: Callable[..., PolicyTrainer], draw: Any, scores: Any,
                                                   gradient: Any) -> None:
    """One epoch and one minibatch: the clipped surrogate has the gradient of A2C (Huang et al. 2022, arXiv:2205.09123)."""
    ppo = trainer(PRESETS["ppo"])
    a2c = trainer(replace(PRESETS["ppo"], clip_range=None))
    samples = draw(ppo.policy)
    for each in (ppo, a2c):
        each.step(samples, scores(samples))
    assert_same(gradient(ppo), gradient(a2c))


def test_the_gradient_does_not_depend_on_packs_or_shared_prompts(trainer: Callable[..., PolicyTrainer], draw: Any,
                                                                 scores: Any, gradient: Any) -> None:
    """transformers#34191, trl#6006: advantages are whitened and terms divided over the rollout, never a pack."""
    one, many = trainer(PRESETS["ppo"], micro_tokens=10_000), trainer(PRESETS["ppo"], micro_tokens=30)
    samples = draw(one.policy)
    assert len(one._pack(samples)) == 1 and len(many._pack(samples)) >= 8
    for each in (one, many):
        each.step(samples, scores(samples))
    assert_same(gradient(many), gradient(one))


def test_the_entropy_bonus_raises_entropy(trainer: Callable[..., PolicyTrainer], draw: Any, scores: Any, gradient: Any) -> None:
    """Its gradient is that of -ent_coef * mean entropy, beside the policy's."""
    with_bonus, without = (trainer(replace(PRESETS["rloo"], ent_coef=coef)) for coef in (0.7, 0.0))
    samples = draw(with_bonus.policy)
    model = Plain(with_bonus.policy)
    entropies = []
    for sample in samples:
        start, ids = len(sample.prompt_ids), torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
        logp = model.model(input_ids=ids).logits[0, start - 1:-1].log_softmax(-1)
        entropies.append(-(logp.exp() * logp).sum(-1))
    (-0.7 * torch.cat(entropies).mean()).backward()
    for each in (with_bonus, without):
        each.step(samples, scores(samples))
    one, other = gradient(with_bonus), gradient(without)
    assert_same({name: one[name] - other[name] for name in one}, model.gradients())


def group_advantages(samples: Sequence[Sample], scores: Sequence[float], divide: bool) -> list[float]:
    found = []
    for sample, score in zip(samples, scores, strict=True):
        group = torch.tensor([other for each, other in zip(samples, scores, strict=True) if each.prompt.id == sample.prompt.id])
        found.append((score - float(group.mean())) / ((float(group.std()) + 1e-4) if divide else 1.0))
    return found


def group_loss(name: str, a: Algorithm, model: Plain, old: Plain, reference: Plain, samples: Sequence[Sample],
               scores: Sequence[float]) -> Tensor:
    """arXiv:2402.03300 eq. 3 (grpo), 2503.20783 eq. 5 (dr_grpo), 2503.14476 eq. 8 (dapo), 2507.18071 eq. 5 (gspo)."""
    high = a.clip_higher or a.clip_range
    responses, num_tokens = [], 0
    groups = {sample.prompt.id: {score for each, score in zip(samples, scores, strict=True) if each.prompt.id == sample.prompt.id}
              for sample in samples}
    for sample, advantage in zip(samples, group_advantages(samples, scores, name != "dr_grpo"), strict=True):
        if name == "dapo" and len(groups[sample.prompt.id]) == 1:
            continue
        logp = model.read(sample)[0]
        with torch.no_grad():
            old_logp, ref = old.read(sample)[0], reference.read(sample)[0]
        if name == "gspo":
            s = ((logp - old_logp).sum() / len(logp)).exp()
            responses.append(torch.minimum(s * advantage, s.clamp(1 - a.clip_range, 1 + high) * advantage))
            continue
        tokens = []
        for t in range(len(logp)):
            ratio = (logp[t] - old_logp[t]).exp()
            gain = torch.minimum(ratio * advantage, ratio.clamp(1 - a.clip_range, 1 + high) * advantage)
            tokens.append(gain - a.kl_coef * ((ref[t] - logp[t]).exp() - (ref[t] - logp[t]) - 1))
        num_tokens += len(tokens)
        total = torch.stack(tokens).sum()
        responses.append(total / len(tokens) if name == "grpo" else total / LIMIT if name == "dr_grpo" else total)
    return -torch.stack(responses).sum() / (num_tokens if name == "dapo" else len(responses))


@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "dapo", "gspo"])
@pytest.mark.parametrize("micro_tokens", [30, 2048])
def test_a_group_preset_is_its_paper_in_both_updates(name: str, micro_tokens: int, trainer: Build, draw: Any, scores: Any,
                                                     gradient: Any) -> None:
    """In the second pass the ratios are not 1, so the clip and, for GSPO, the sequence's ratio matter."""
    a = replace(PRESETS[name], kl_coef=0.1 if name == "grpo" else 0.0)
    if name == "gspo":
        a = replace(a, clip_range=0.3, clip_higher=0.4)      # with the paper's, made for long responses, all are clipped here
    once, twice = (trainer(replace(a, epochs=epochs), lr=3e-3, micro_tokens=micro_tokens, max_new_tokens=LIMIT)
                   for epochs in (1, 2))
    samples = draw(once.policy)
    given = scores(samples)
    for row in range(3):
        given[row] = 0.25                    # the first prompt's samples score the same
    old, reference = Plain(once.policy), Plain(once.reference)
    old.value_head.requires_grad_(False)
    first = Plain(once.policy)
    group_loss(name, a, first, old, reference, samples, given).backward()
    once.step(samples, given)
    assert_same(gradient(once), first.gradients())
    second = Plain(once.policy)
    group_loss(name, a, second, old, reference, samples, given).backward()
    metrics = twice.step(samples, given)
    assert metrics["train/clip_fraction"] > 0.02
    assert_same(gradient(twice), second.gradients())


def test_a2c_is_ppo_at_one_pass_without_clipping_gradient_for_gradient(trainer: Build, draw: Any, scores: Any,
                                                                       gradient: Any) -> None:
    a2c = trainer(PRESETS["a2c"])
    ppo = trainer(replace(PRESETS["ppo"], gae_lambda=1.0, value_clip=None, vf_coef=0.5))
    samples = draw(a2c.policy)
    for each in (a2c, ppo):
        each.step(samples, scores(samples))
    assert_same(gradient(a2c), gradient(ppo))


@pytest.mark.parametrize("name", ["reinforce", "reinforce_mean", "reinforce_critic"])
def test_reinforce_is_williams_with_its_baseline(name: str, trainer: Build, draw: Any, scores: Any, gradient: Any) -> None:
    """In the second rollout, so that there is a mean of the first: each token's log pi times its return less the baseline."""
    a = replace(PRESETS[name], kl_coef=0.3, gamma=0.9, vf_coef=0.0)
    fast = trainer(a)
    samples = draw(fast.policy)
    fast.step(samples, scores(samples))
    model, reference = Plain(fast.policy), Plain(fast.reference)
    before = fast.credit.mean
    assert (before is not None) == (name == "reinforce_mean")
    loss, num_tokens = torch.zeros(()), 0
    for sample, score in zip(samples, scores(samples), strict=True):
        logp, values = model.read(sample)
        ref = reference.read(sample)[0].detach()
        rewards = [-0.3 * float(logp[t].detach() - ref[t]) + (score if t == len(logp) - 1 else 0.0) for t in range(len(logp))]
        for t in range(len(logp)):
            reward = sum(0.9 ** (later - t) * rewards[later] for later in range(t, len(logp)))
            baseline = {"reinforce": 0.0, "reinforce_mean": before, "reinforce_critic": float(values[t].detach())}[name]
            loss = loss - (reward - baseline) * logp[t]
        num_tokens += len(logp)
    (loss / num_tokens).backward()
    fast.step(samples, scores(samples))
    got = {key: value for key, value in gradient(fast).items() if "value_head" not in key}
    assert_same(got, model.gradients())


def test_the_running_mean_is_of_the_rollouts_before(trainer: Build, draw: Any) -> None:
    fast = trainer(replace(PRESETS["reinforce_mean"], kl_coef=0.0))
    samples = draw(fast.policy)
    for score, mean in ((1.0, 1.0), (2.0, 1.1), (2.0, 1.19)):
        fast.step(samples, [score] * len(samples))
        assert fast.credit.mean == pytest.approx(mean)
    again = trainer(fast.algorithm)
    again.load_state(fast.state())
    assert again.credit.mean == fast.credit.mean


def test_what_a_loss_is_averaged_by() -> None:
    lengths, kept = torch.tensor([2, 4]), torch.tensor([True, False])
    tables = {"tokens": ([1, 0], [1, 0]), "responses": ([0.5, 0], [0.5, 0]), "constant": ([0.125, 0], [0.5, 0])}
    for name, (share, count) in tables.items():
        found = averaging(name, lengths, kept, 8)
        assert [each.tolist() for each in found] == [share, count]


def test_prompts_without_a_difference_are_known_to_the_bit(trainer: Build, draw: Any) -> None:
    """0.1 three times has a mean that is not 0.1; a rounding is no difference."""
    fast = trainer(PRESETS["dapo"])
    samples = draw(fast.policy)
    scores = [0.1, 0.1, 0.1, 0.3, 0.3, 0.30001] + [0.2] * 6
    rollout = fast._rollout(samples, scores, fast._pack(samples))
    assert informative(rollout).tolist() == [False] * 3 + [True] * 3 + [False] * 6
    assert fast.step(samples, [0.1] * 12).get("train/policy_loss") is None          # nothing differs, so no update is made


def test_passes_stop_when_the_policy_has_moved_far_enough(trainer: Build, draw: Any, scores: Any) -> None:
    """Stable-Baselines3's target_kl: 1.5 times as far ends the rollout's passes."""
    seen = []
    for target in (None, 1e-4):
        fast = trainer(replace(PRESETS["ppo"], epochs=5, target_kl=target), lr=1e-2)
        samples = draw(fast.policy)
        fast.step(samples, scores(samples))
        seen.append(fast.masters.steps_done)
    assert seen == [5, 2]


@pytest.mark.parametrize("estimator", ["k2", "k3"])
def test_kl_in_the_loss_pulls_towards_the_reference(trainer: Build, draw: Any, estimator: Any) -> None:
    """With equal scores nothing else is left (GRPO's beta)."""
    fast = trainer(replace(PRESETS["grpo"], kl_coef=1.0, kl_estimator=estimator), lr=1e-3, betas=(0.9, 0.99))
    kl = []
    for seed in range(20):
        samples = draw(fast.policy, per_prompt=6, seed=seed)
        kl.append(fast.step(samples, [1.0] * len(samples))["objective/kl"])
    assert sum(kl[-4:]) < 0.85 * sum(kl[:4])


def test_credit_of_a_critic_needs_one_and_credit_without_returns_zero_returns(trainer: Build, draw: Any, scores: Any) -> None:
    for name, preset in PRESETS.items():
        fast = trainer(preset)
        samples = draw(fast.policy)
        rollout = fast._rollout(samples, scores(samples), fast._pack(samples))
        _, returns = Credit(preset)(rollout, preset.kl_coef)
        assert bool(returns.any()) == preset.has_critic == (fast.policy.value_head is not None), name
