"""Rows changed before they are learned from; everything is off by default.

An `Augmentation` changes messages before they are rendered, or tokens after. Every random choice is drawn from a stream of
its own that the seed, the stage, the step and the row's name give: so a resumed run draws the same, and what a row becomes
does not depend on the rows beside it. Held-out rows are never changed.

Another one is a class with one of the two methods, and a line in `Varied.of` or where its messages are rendered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tutelage.data.chat import Rendered
from tutelage.messages import Messages, Text
from tutelage.models.noise import embedding_noise
from tutelage.models.policy import Policy
from tutelage.seeds import stream_seed
from tutelage.training.loop import MicroBatch
from tutelage.tuning.config import SFT, Pretrain

BEFORE = -1      # the step of a rehearsal


class Augmentation(Protocol):
    """Both methods draw from `choice` alone, by `choice.random()`, which is the same in every release of Python."""

    def messages(self, messages: Messages, choice: random.Random) -> Messages:
        """The conversation that is rendered instead; the responses must stay what they are."""
        return messages

    def tokens(self, row: Rendered, choice: random.Random) -> Rendered:
        """The row that is learned instead: of the same length, with the same labels."""
        return row


@dataclass(frozen=True)
class Paraphrase(Augmentation):
    """One of `templates`, or none, around the first thing the user says: the same request in other words."""

    templates: tuple[str, ...]

    def messages(self, messages: Messages, choice: random.Random) -> Messages:
        drawn = int(choice.random() * (len(self.templates) + 1))
        place = next((at for at, message in enumerate(messages) if message.role == "user"), None)
        if drawn == len(self.templates) or place is None:
            return messages
        before, _, after = self.templates[drawn].partition("{prompt}")
        said = messages[place]
        content = (*([Text(before)] if before else []), *said.content, *([Text(after)] if after else []))
        return (*messages[:place], replace(said, content=content), *messages[place + 1:])


class TokenDropout(Augmentation):
    """Each token that is no label is replaced, with probability `share`, by a random one of `vocabulary`; a token that is not
    in it, as control tokens are, stays.
    """

    def __init__(self, share: float, vocabulary: Sequence[int]) -> None:
        self.share, self.vocabulary, self._known = share, vocabulary, frozenset(vocabulary)

    def tokens(self, row: Rendered, choice: random.Random) -> Rendered:
        ids = list(row.ids)
        for at, label in enumerate(row.response_mask):
            drawn, other = choice.random(), choice.random()
            if not label and drawn < self.share and ids[at] in self._known:
                ids[at] = self.vocabulary[int(other * len(self.vocabulary))]
        return replace(row, ids=tuple(ids))


def stream(seed: int, *path: str | int) -> random.Random:
    return random.Random(stream_seed(seed, *path))


@dataclass(frozen=True, kw_only=True)
class Varied:
    """What a task does to its rows at each step."""

    seed: int = 0
    stage: str = ""
    noise: float = 0.0                        # NEFTune's alpha
    changes: tuple[Augmentation, ...] = ()

    @classmethod
    def of(cls, config: SFT | Pretrain, tokenizer: Any) -> Varied:
        """What the configuration asks for."""
        stage = "sft" if isinstance(config, SFT) else "pretrain"
        share = config.augmentation.token_dropout if isinstance(config, SFT) else 0.0
        return cls(seed=config.seed, stage=stage, noise=config.neftune_alpha,
                   changes=(TokenDropout(share, _text_ids(tokenizer)),) if share else ())

    @property
    def by_row(self) -> bool:
        """Whether rows that begin alike are no longer alike, so that nothing of them can be computed once."""
        return self.noise > 0 or bool(self.changes)

    def row(self, row: Rendered, name: str, step: int) -> Rendered:
        for change in self.changes:
            row = change.tokens(row, stream(self.seed, self.stage, type(change).__name__, step, name))
        return row

    def embeddings(self, policy: Policy, batch: MicroBatch, step: int) -> AbstractContextManager[None]:
        if self.noise == 0:
            return nullcontext()
        seeds = [stream_seed(self.seed, self.stage, "neftune", step, name) for name in batch.rows]
        return embedding_noise(policy, batch.tokens, self.noise, seeds)


def _text_ids(tokenizer: Any) -> list[int]:
    """All ids but those of added tokens: these have a meaning."""
    return [token for token in range(len(tokenizer)) if token not in tokenizer.added_tokens_decoder]
