"""How likely a model finds given texts: choices of a question, whose context is computed once for all of them.

L labels of a batch. A context and what follows are told apart as lm-evaluation-harness does, so that scores compare: both
are encoded together, and the continuation is what comes after as many tokens as the context alone has.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tutelage.batch import TokenBatch
from tutelage.errors import DataError
from tutelage.models.attention import Tiles
from tutelage.models.policy import Policy
from tutelage.runs.signals import stop_if_asked

TOKENS_PER_BATCH = 1024      # of a forward, shared contexts counted once; an item with more goes alone


@dataclass(frozen=True, slots=True)
class Choices:
    """A context and its continuations, as ids: one question and its choices."""

    context: tuple[int, ...]
    continuations: tuple[tuple[int, ...], ...]

    @property
    def num_tokens(self) -> int:
        return len(self.context) + sum(map(len, self.continuations))


def encode_choices(tokenizer: Any, context: str, continuations: Sequence[str]) -> Choices:
    """The ids of a context and of each continuation after it.

    Blanks at the context's end go with the continuation, where tokenizers want them. An empty context is the tokenizer's
    first token, else its end of text.

    Raises:
        DataError: if a continuation adds no token.
    """
    text = context.rstrip()
    blanks = context[len(text):]
    before = _ids(tokenizer, text)
    after = []
    for continuation in continuations:
        ids = _ids(tokenizer, text + blanks + continuation)[len(before):]
        if not ids:
            raise DataError(f"the choice {continuation[:80]!r} adds no token to its context; wanted text to score.")
        after.append(tuple(ids))
    if not before:
        first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        before = [first]
    return Choices(tuple(before), tuple(after))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.encode(text, add_special_tokens=False)) if text else []


def choice_logprobs(policy: Policy, items: Sequence[Choices]) -> list[list[float]]:
    """log p of each continuation after its context, nats, one list an item.

    The context is one segment that all continuations of the item attend to; only their tokens reach the head.

    Raises:
        DataError: if a context with its longest continuation has more positions than the model.
    """
    room = getattr(policy.config.get_text_config(), "max_position_embeddings", None)
    for number, item in enumerate(items):
        longest = len(item.context) + max(map(len, item.continuations))
        if room is not None and longest > room:
            raise DataError(f"item {number} needs {longest} positions, the model has {room}. Shorten it or show fewer examples.")
    found: list[list[float]] = []
    for start, end in _batches([item.num_tokens for item in items]):
        stop_if_asked()
        found += _forward(policy, items[start:end])
    return found


def _forward(policy: Policy, items: Sequence[Choices]) -> list[list[float]]:
    sequences = [(*item.context, *continuation) for item in items for continuation in item.continuations]
    prompts = [len(item.context) for item in items for _ in item.continuations]
    masks = [[False] * prompt + [True] * (len(ids) - prompt) for prompt, ids in zip(prompts, sequences, strict=True)]
    batch = TokenBatch.pack(sequences, masks, prompts if policy.shares_prompts else None).to(policy.device)
    logprobs = policy.evaluate_logprobs(batch, plan=Tiles(batch.cu_seqlens, batch.prefix)).double().cpu()     # (L,)
    sums = [float(each.sum()) for each in logprobs.split(batch.label_counts.tolist())]
    ends = torch.tensor([len(item.continuations) for item in items]).cumsum(0).tolist()
    return [sums[end - len(item.continuations):end] for item, end in zip(items, ends, strict=True)]


def _batches(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Neighbours whose sizes sum to at most TOKENS_PER_BATCH, as (start, end)."""
    start = total = 0
    for end, size in enumerate(sizes):
        if end > start and total + size > TOKENS_PER_BATCH:
            yield start, end
            start, total = end, 0
        total += size
    if sizes:
        yield start, len(sizes)
