"""Samples from plain strings, and a reward model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Prompt, Sample

sys.path.insert(0, str(Path(__file__).parent))       # where `reward_terms` is


@pytest.fixture
def sample(template: ChatTemplate) -> Callable[..., Sample]:
    def build(prompt: str, response: str, name: str = "s", ids: tuple[int, ...] | None = None, **rest: Any) -> Sample:
        """`ids` are those that were sampled, where they are not those of the text."""
        question = (Message.of("user", prompt),)
        prompt_ids = template.render_prompt(question)
        if ids is None:
            ids = template.render_response(question, (Message.of("assistant", response),)).ids[len(prompt_ids):]
        return Sample(**{"id": name, "prompt": Prompt(id=prompt, messages=question), "prompt_ids": prompt_ids,
                         "response_ids": ids, "logprobs": (0.0,) * len(ids), "response_mask": (True,) * len(ids),
                         "text": response, "ended": True, **rest})
    return build


@pytest.fixture
def judge() -> Callable[..., Policy]:
    def build(**overrides: Any) -> Policy:
        """A tiny reward model that has opinions: weights large enough for scores to differ."""
        policy = Policy(tiny_model(initializer_range=0.3, **overrides), score_head=True)
        torch.nn.init.normal_(policy.score_head.linear.weight, generator=torch.Generator().manual_seed(0))
        return policy
    return build
