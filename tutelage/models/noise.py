"""Noise on the embeddings of a forward (NEFTune, Jain et al. 2023, arXiv:2310.05914).

N tokens of all segments · L tokens of one segment · D hidden size
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tutelage.batch import TokenBatch
from tutelage.errors import ConfigError
from tutelage.models.policy import Policy


@contextmanager
def embedding_noise(policy: Policy, batch: TokenBatch, alpha: float, seeds: Sequence[int]) -> Iterator[None]:
    """Inside it, a forward of `batch` adds alpha / sqrt(L D) times uniform noise from [-1, 1) to the embeddings of each segment.

    L is the segment's own length, where implementations that pad take the longest of the batch; so the noise of a row
    depends on its seed alone, never on what it shares a batch with. `seeds` has one a segment.

    Raises:
        ConfigError: if the model is one whose rows are padded.
    """
    if not policy.ragged:
        raise ConfigError(f"neftune_alpha {alpha}: {policy.config.model_type} models are padded here, and noise is made for rows "
                          "laid end to end. Set it to 0.")
    assert len(seeds) == batch.cu_seqlens.shape[0] - 1, "one seed a segment"
    noise = _noise(batch, policy.config.get_text_config().hidden_size, alpha, seeds)

    def add(module: nn.Module, inputs: Any, embedded: Tensor) -> Tensor:
        return embedded + noise.to(embedded)

    hook = policy.model.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def _noise(batch: TokenBatch, size: int, alpha: float, seeds: Sequence[int]) -> Tensor:
    """(N, D) fp32."""
    pieces = []
    for length, seed in zip(batch.cu_seqlens.diff().tolist(), seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        pieces.append((2 * torch.rand(length, size, generator=generator) - 1) * (alpha / (length * size) ** 0.5))
    return torch.cat(pieces)
