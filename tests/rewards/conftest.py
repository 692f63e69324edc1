"""Preferences and samples from plain strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.records import Message, Messages, Preference, Prompt, Sample, record_id


def said(text: str) -> Messages:
    return (Message.of("assistant", text),)


def asked(text: str) -> Messages:
    return (Message.of("user", text),)


@pytest.fixture
def preference() -> Callable[..., Preference]:
    def build(prompt: str, chosen: str, rejected: str, **rest: Any) -> Preference:
        return Preference(**{"id": record_id(prompt, chosen, rejected), "prompt": asked(prompt), "chosen": said(chosen),
                             "rejected": said(rejected), **rest})
    return build


@pytest.fixture(scope="session")
def template() -> ChatTemplate:
    return ChatTemplate.of(tiny_tokenizer())


@pytest.fixture
def sample(template: ChatTemplate) -> Callable[..., Sample]:
    def build(prompt: str, response: str, name: str = "s", ids: tuple[int, ...] | None = None, **rest: Any) -> Sample:
        """`ids` are those that were sampled, where they are not those of the text."""
        prompt_ids = template.render_prompt(asked(prompt))
        if ids is None:
            ids = template.render_response(asked(prompt), said(response)).ids[len(prompt_ids):]
        return Sample(**{"id": name, "prompt": Prompt(id=prompt, messages=asked(prompt)), "prompt_ids": prompt_ids,
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
