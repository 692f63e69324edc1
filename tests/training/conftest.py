"""Small modules whose gradients a reader can work out, and tiny policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.training.config import Optimizer


@pytest.fixture
def plain() -> Callable[..., Optimizer]:
    """An optimizer without warm-up, schedule or clipping, so that Adam's first step is lr * g / (|g| + eps)."""
    def build(**changes: Any) -> Optimizer:
        return Optimizer(**{"lr": 1e-2, "warmup_fraction": 0.0, "schedule": "constant", "max_grad_norm": 0.0, **changes})
    return build


class Weights(nn.Module):
    """A matrix, a vector, an embedding and two heads."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.linspace(0.5, 1.0, 6).reshape(2, 3).to(dtype))
        self.vector = nn.Parameter(torch.linspace(-1.0, 1.0, 3).to(dtype))
        self.embedding = nn.Embedding.from_pretrained(torch.full((2, 3), 0.5, dtype=dtype), freeze=False)
        self.value_head = nn.Linear(3, 1)
        self.score_head = nn.Linear(3, 1)
        for head in (self.value_head, self.score_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def total(self, scale: float = 1.0) -> torch.Tensor:
        """Its gradient is `scale` in every element."""
        return scale * sum(value.float().sum() for value in self.parameters())


@pytest.fixture
def weights() -> type[Weights]:
    return Weights


@pytest.fixture
def tiny_policy() -> Callable[..., Policy]:
    def build(dtype: torch.dtype = torch.float32, **heads: bool) -> Policy:
        return Policy(tiny_model().to(dtype), **heads)
    return build
