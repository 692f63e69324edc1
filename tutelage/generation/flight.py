"""Continuous batching: the responses in flight, each in its slot; a finished one leaves at once and its place is given away.

S slots in use · V vocabulary
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tutelage.errors import ModelError
from tutelage.generation.requests import OnToken, Response, settings_of
from tutelage.generation.sampler import draw, prepare, uniforms
from tutelage.models.decoder import Decoder
from tutelage.models.slots import Decode, Prefill, SlotCache
from tutelage.records import Sampling

PREFILL_TOKENS = 2048      # prompt tokens in one forward

Group = list[tuple[int, Response]]      # responses of one prompt, each with its place in what was asked


class Flight:
    """Slot s holds `active[s]`; a finished one is replaced by the last, so slots stay dense."""

    def __init__(self, decoder: Decoder, prompts: Sequence[Sequence[int]], sampling: Sampling, stop_ids: frozenset[int],
                 cache: SlotCache, halt: threading.Event, on_done: Callable[[int], None] | None = None,
                 on_token: OnToken | None = None) -> None:
        self.decoder, self.prompts, self.sampling, self.stop_ids = decoder, prompts, sampling, stop_ids
        self.cache, self.halt, self.on_done, self.on_token = cache, halt, on_done, on_token
        self.device = decoder.policy.device
        self.active: Group = []
        self.lengths: list[int] = []           # tokens whose keys and values each slot holds

    def fly(self, groups: Sequence[Group] = (), down_to: int = 0) -> None:
        """Draw all of `groups`, none of which is larger than the cache, and what is in flight already; leave off where `halt` is
        set, or where none waits and at most `down_to` are in flight.
        """
        waiting = deque(groups)
        while (waiting or len(self.active) > down_to) and not self.halt.is_set():
            free = self.cache.slots - len(self.active)
            if waiting and (not self.active or free >= max(len(waiting[0]), self.cache.slots // 4)):
                self._admit(list(self._next(waiting, free)))
            else:
                self._advance()

    def take_over(self, other: Flight) -> None:
        """Go on with what `other` has in flight, for which there must be room."""
        for slot, length in enumerate(other.lengths):
            self.cache.take(other.cache, slot, len(self.active) + slot, length)
        self.active += other.active
        self.lengths += other.lengths
        other.active, other.lengths = [], []

    def _next(self, waiting: deque[Group], free: int) -> Iterator[Group]:
        """As many groups as there are slots for, and as one forward takes."""
        tokens = 0
        while waiting and len(waiting[0]) <= free and tokens < PREFILL_TOKENS:
            group = [each for each in waiting.popleft() if not self._is_cancelled(each[1])]
            if group:
                free -= len(group)
                tokens += len(self.prompts[group[0][1].prompt])
                yield group

    def _is_cancelled(self, response: Response) -> bool:
        if response.cancelled:
            self._finish(response)
        return response.cancelled

    def _admit(self, groups: list[Group]) -> None:
        """Compute each group's prompt once, give every response its slot, and draw their first tokens."""
        if not groups:
            return
        groups.sort(key=lambda group: len(self.prompts[group[0][1].prompt]))      # `Prefill` wants one length after the other
        rows = [self.prompts[group[0][1].prompt] for group in groups]
        first, starts = len(self.active), []
        for group, row in zip(groups, rows, strict=True):
            starts.append(len(self.active))
            self.active += group
            self.lengths += [len(row)] * len(group)
        ids = torch.tensor([token for row in rows for token in row], device=self.device)
        positions = torch.cat([torch.arange(len(row)) for row in rows]).to(self.device)
        ends = torch.tensor([len(row) for row in rows]).cumsum(0) - 1
        hidden = self.decoder.hidden(ids, positions, Prefill([len(row) for row in rows], self.cache, starts))[ends]
        for start, group, row in zip(starts, groups, rows, strict=True):
            if len(group) > 1:
                self.cache.copy(start, slice(start + 1, start + len(group)), len(row))
        sizes = torch.tensor([len(group) for group in groups], device=self.device)
        self._draw(hidden, first, torch.arange(len(groups), device=self.device).repeat_interleave(sizes))

    def _advance(self) -> None:
        """One more token for everything in flight."""
        lengths = torch.tensor(self.lengths, device=self.device)
        ids = torch.tensor([response.ids[-1] for _, response in self.active], device=self.device)
        hidden = self.decoder.hidden(ids, lengths, Decode(self.cache, lengths))
        self.lengths = [length + 1 for length in self.lengths]
        self._draw(hidden, 0)

    def _draw(self, hidden: Tensor, first: int, rows: Tensor | None = None) -> None:
        """Give `active[first:]` their next tokens; let those that are done leave.

        Args:
            hidden: last hidden states, one row for each of them, or (S,) `rows` says which.
        """
        drawing = self.active[first:]
        u = torch.from_numpy(uniforms(np.array([each.seed for _, each in drawing], dtype=np.uint64),
                                      np.array([len(each.ids) for _, each in drawing], dtype=np.uint64)))
        start = 0
        for logits in self.decoder.logits(hidden, rows):
            end = start + len(logits)
            self._draw_part(logits, drawing[start:end], u[start:end])
            start = end
        for slot in reversed(range(first, len(self.active))):
            if self.active[slot][1].reason:
                self._leave(slot)

    def _draw_part(self, logits: Tensor, drawing: Group, u: Tensor) -> None:
        """Rows whose settings are equal are drawn together."""
        alike: defaultdict[Sampling, list[int]] = defaultdict(list)
        for row, (_, response) in enumerate(drawing):
            alike[settings_of(response, self.sampling)].append(row)
        for settings, rows in alike.items():
            part = logits if len(alike) == 1 else logits[rows]
            responses = [drawing[row][1] for row in rows]
            self._restrain(part, responses, settings)
            tokens, logprobs = draw(part, u[rows].to(part.device), temperature=settings.temperature, top_k=settings.top_k,
                                    top_p=settings.top_p, min_p=settings.min_p)
            for row, token, logprob in zip(rows, tokens.tolist(), logprobs.tolist(), strict=True):
                self._give(*drawing[row], token, logprob, settings)

    def _restrain(self, logits: Tensor, responses: Sequence[Response], settings: Sampling) -> None:
        """Bias, repetition penalty, and no stop token before the least length; in place."""
        if settings.logit_bias or settings.repetition_penalty != 1.0:
            prepare(logits, [[*self.prompts[each.prompt], *each.ids] for each in responses], logit_bias=settings.logit_bias,
                    repetition_penalty=settings.repetition_penalty)
        young = [row for row, each in enumerate(responses) if len(each.ids) < settings.min_new_tokens]
        if young and self.stop_ids:
            logits[torch.tensor(young)[:, None], torch.tensor(sorted(self.stop_ids))] = float("-inf")

    def _give(self, place: int, response: Response, token: int, logprob: float, settings: Sampling) -> None:
        if not math.isfinite(logprob):
            raise ModelError(f"the policy's logits after token {len(response.ids)} of a response are not finite: its weights "
                             "are damaged, or training diverged.")
        response.take(token, logprob, settings, self.stop_ids)
        if self.on_token is not None and self.on_token(place, token, logprob) is False:
            response.cancelled = True
        if response.cancelled and not response.reason:
            response.reason = "cancelled"

    def _leave(self, slot: int) -> None:
        response, last = self.active[slot][1], len(self.active) - 1
        if slot != last:
            self.cache.copy(last, slot, self.lengths[last])
            self.active[slot], self.lengths[slot] = self.active[last], self.lengths[last]
        self.active.pop()
        self.lengths.pop()
        self._finish(response)

    def _finish(self, response: Response) -> None:
        response.reason = response.reason or "cancelled"
        if self.on_done is not None:
            self.on_done(1)
