"""The presets are their papers' formulas: one slow loop a paper, over plain transformers, one sequence at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Sample
from tutelage.rl.config import Algorithm
from tutelage.rl.presets import PRESETS
from tutelage.rl.trainer import PolicyTrainer


class Plain(nn.Module):
    """A policy's weights in transformers' own model, fp32, unpacked, nothing shared."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.model = tiny_model()
        self.model.load_state_dict(policy.model.state_dict())
        self.value_head = nn.Linear(32, 1)
        if policy.value_head is not None:
            self.value_head.load_state_dict(policy.value_head.linear.state_dict())

    def read(self, sample: Sample) -> tuple[Tensor, Tensor]:
        """log pi(a_t | s_t) and V(s_t) of each response token, (T,) each."""
        start, ids = len(sample.prompt_ids), torch.tensor([[*sample.prompt_ids, *sample.response_ids]])
        out = self.model(input_ids=ids, output_hidden_states=True)
        logprobs = out.logits[0].log_softmax(-1)
        states = range(start - 1, ids.shape[1] - 1)
        return (torch.stack([logprobs[at, ids[0, at + 1]] for at in states]),
                torch.stack([self.value_head(out.hidden_states[-1][0, at])[0] for at in states]))

    def gradients(self) -> dict[str, Tensor]:
        named = {("value_head.linear." + name.split(".")[1] if name.startswith("value_head") else "model." + name[6:]): value
                 for name, value in self.named_parameters()}
        return {name: value.grad for name, value in named.items() if value.grad is not None}


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


def assert_same(got: dict[str, Tensor], wanted: dict[str, Tensor], at_least: float = 1e-3) -> None:
    assert set(got) == set(wanted)
    scale = max(float(value.abs().max()) for value in wanted.values())
    assert scale > at_least
    for name, value in wanted.items():
        assert torch.allclose(got[name], value, rtol=0, atol=1e-4 * scale), (name, float((got[name] - value).abs().max()), scale)


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
