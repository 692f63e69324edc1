"""Dropout of adapters while they are trained; the trunk's own stays off always, so that train equals serve (D8)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def adapter_dropout(policy: nn.Module, seed: int) -> Iterator[None]:
    """Inside it, LoRA's dropout is on. What is dropped depends on `seed` alone, so a resumed step drops the same."""
    modules = [module for name, module in policy.named_modules() if "lora_dropout" in name and isinstance(module, nn.Dropout)]
    if not modules:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in modules:
            module.train()
        try:
            yield
        finally:
            for module in modules:
                module.eval()
