"""RL finds a best answer that is known, and finds nothing where there is nothing to find.

The task: a response of six tokens of a vocabulary of 258; its reward is the share of tokens whose id is divisible by 3.
A random model starts near a third, the optimum is 1. Start and end are measured by fresh samples.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from tutelage.data.chat import ChatTemplate
from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rewards.callables import CallableReward
from tutelage.rl.config import RL
from tutelage.rl.presets import algorithm
from tutelage.rl.stage import Loop
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters

PROMPTS = [Prompt(id=letter, messages=(Message.of("user", letter),)) for letter in "abcdefgh"]


def thirds(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 3 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def shuffled(samples: Sequence[Sample]) -> list[float]:
    """The same scores, each given to some other sample."""
    scores = thirds(samples)
    random.Random(samples[0].sampling.seed).shuffle(scores)
    return scores


def train(name: str, seed: int, reward: Callable[[Sequence[Sample]], list[float]], steps: int, lr: float) -> tuple[float, float]:
    """Mean reward of fresh samples before and after."""
    settings = algorithm(name, {"kl_coef": 0.0, **({"epochs": 2} if name == "ppo" else {})})
    config = RL(steps=steps, prompts_per_step=8, per_prompt=8, max_new_tokens=6, missing_end_penalty=0.0, seed=seed)
    policy, reference = (Policy(tiny_model(seed=seed), value_head=settings.has_critic) for _ in range(2))
    masters = Masters(policy, Optimizer(lr=lr, warmup_fraction=0.0, schedule="constant"), steps * settings.epochs)
    engine = Engine(policy, ChatTemplate.of(tiny_tokenizer()))
    loop = Loop(config, PROMPTS, engine, CallableReward(reward), PolicyTrainer(policy, reference, masters, settings, seed=seed))

    def measured(at: int) -> float:
        scores = thirds(engine.generate(PROMPTS, Sampling(max_new_tokens=6, seed=10_000 + at), 16))
        return sum(scores) / len(scores)

    start = measured(0)
    for step in range(steps):
        loop.step(step)
    return start, measured(1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ppo_finds_the_known_optimum(seed: int) -> None:
    start, end = train("ppo", seed, thirds, steps=40, lr=5e-3)
    assert start <= 0.4 and end >= 0.95


def test_rloo_finds_the_known_optimum() -> None:
    start, end = train("rloo", 0, thirds, steps=40, lr=1e-2)
    assert start <= 0.4 and end >= 0.95


def test_ppo_finds_nothing_in_shuffled_rewards() -> None:
    """What a policy gains here would come from the trainer, not from the reward."""
    start, end = train("ppo", 0, shuffled, steps=40, lr=5e-3)
    assert abs(end - start) <= 0.1
