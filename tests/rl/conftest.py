"""Tiny policies with opinions, their samples, and trainers over them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.adapters import add_adapter
from tutelage.models.config import Adapter
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rl.config import Algorithm
from tutelage.rl.trainer import PolicyTrainer
from tutelage.training.config import Optimizer
from tutelage.training.optimizer import Masters

sys.path.insert(0, str(Path(__file__).parent))       # where `rl_formulas` is

SPREAD = {"initializer_range": 0.3}      # weights large enough for logprobs, values and KL to differ from token to token


@pytest.fixture(scope="session")
def template() -> ChatTemplate:
    return ChatTemplate.of(tiny_tokenizer())


@pytest.fixture
def prompts() -> list[Prompt]:
    return [Prompt(id=text, messages=(Message.of("user", text),)) for text in ("a", "bcd", "ef", "g")]


@pytest.fixture
def policy() -> Callable[..., Policy]:
    def build(dtype: torch.dtype = torch.float32, value_head: bool = True, adapter: bool = False) -> Policy:
        policy = Policy(tiny_model(**SPREAD).to(dtype), value_head=value_head)
        if value_head:
            torch.nn.init.normal_(policy.value_head.linear.weight, std=0.3, generator=torch.Generator().manual_seed(0))
        if adapter:
            add_adapter(policy, Adapter(rank=2))
            for name, value in policy.named_parameters():
                if "lora" in name:
                    torch.nn.init.normal_(value, std=0.3, generator=torch.Generator().manual_seed(len(name)))
        return policy
    return build


@pytest.fixture
def reference() -> Callable[..., Policy]:
    """Another model than the policy, so that KL is not 0."""
    def build(dtype: torch.dtype = torch.float32) -> Policy:
        model = tiny_model(**SPREAD)
        with torch.no_grad():
            for value in model.parameters():
                value += 0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(value.numel()))
        return Policy(model.to(dtype)).requires_grad_(False)
    return build


@pytest.fixture
def draw(template: ChatTemplate, prompts: list[Prompt]) -> Callable[..., list[Sample]]:
    """Samples of a policy; some are cut shorter, so that a batch is ragged."""
    def samples(policy: Policy, per_prompt: int = 3, tokens: int = 6, seed: int = 1) -> list[Sample]:
        drawn = Engine(policy, template).generate(prompts, Sampling(max_new_tokens=tokens, seed=seed), per_prompt)
        return [shorter(sample, len(sample.response_ids) - i % 3) for i, sample in enumerate(drawn)]
    return samples


def shorter(sample: Sample, length: int) -> Sample:
    length = max(1, length)
    return replace(sample, response_ids=sample.response_ids[:length], logprobs=sample.logprobs[:length],
                   response_mask=sample.response_mask[:length])


@pytest.fixture
def scores() -> Callable[[Sequence[Sample]], list[float]]:
    """One number a sample, different ones, from its ids."""
    def of(samples: Sequence[Sample]) -> list[float]:
        return [sum(sample.response_ids) % 17 / 8.0 - 1.0 for sample in samples]
    return of


@pytest.fixture
def trainer(policy: Callable[..., Policy], reference: Callable[..., Policy]) -> Callable[..., PolicyTrainer]:
    """With betas of 0, Adam's first moment is the gradient of the last update."""
    def build(algorithm: Algorithm, dtype: torch.dtype = torch.float32, adapter: bool = False, lr: float = 1e-3,
              betas: tuple[float, float] = (0.0, 0.0), **rest: Any) -> PolicyTrainer:
        trained = policy(dtype, value_head=algorithm.has_critic, adapter=adapter)
        config = Optimizer(lr=lr, head_lr=lr, betas=betas, eps=1e-5, warmup_fraction=0.0, schedule="constant",
                           max_grad_norm=0.0)
        return PolicyTrainer(trained, None if adapter else reference(dtype), Masters(trained, config, 100), algorithm, **rest)
    return build


@pytest.fixture
def gradient() -> Callable[[PolicyTrainer], dict[str, torch.Tensor]]:
    return lambda trainer: {name: value["exp_avg"].clone() for name, value in trainer.masters.state()["moments"].items()}
