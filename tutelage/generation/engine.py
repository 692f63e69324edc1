"""Our own generation engine: many responses in flight, each in a slot of a preallocated key/value cache (D9).

A prompt is computed once for all its samples. A finished response leaves at once, and waiting prompts take its place.
The engine knows token ids only; text begins and ends in `Engine.generate`. It reads the trainer's own weights.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, ModelError
from tutelage.generation.sampler import draw, uniforms
from tutelage.messages import record_id
from tutelage.models.attention import Decode, Segments, SlotCache
from tutelage.models.policy import Policy
from tutelage.records import Prompt, Sample, Sampling
from tutelage.seeds import stream_seed

PREFILL_TOKENS = 2048      # prompt tokens in one forward


@dataclass(slots=True)
class Response:
    """A response being drawn, then drawn: ids end with the stop token where `ended`."""

    prompt: int                                   # index of its prompt
    seed: int
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ended: bool = False


class Engine:
    """Draws responses from `policy`; `slots` of them are in flight at a time."""

    def __init__(self, policy: Policy, template: ChatTemplate, *, slots: int = 64, name: str = "") -> None:
        self.policy = policy
        self.template = template
        self.slots = slots
        self.name = name

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, per_prompt: int = 1,
                 on_done: Callable[[int], None] | None = None) -> list[Sample]:
        """`per_prompt` samples for each prompt, grouped by prompt, in order.

        A sample's random numbers depend on the seed, its prompt's id and its place among the samples of that prompt,
        never on what else is being generated.
        """
        ids = [self.template.render_prompt(prompt.messages) for prompt in prompts]
        responses = [Response(i, stream_seed(sampling.seed, "response", prompt.id, k))
                     for i, prompt in enumerate(prompts) for k in range(per_prompt)]
        decode(self.policy, ids, responses, sampling, self.template.stop_ids, self.slots, on_done)
        return [self._sample(prompts[response.prompt], ids[response.prompt], response, sampling) for response in responses]

    def _sample(self, prompt: Prompt, prompt_ids: Sequence[int], response: Response, sampling: Sampling) -> Sample:
        return Sample(
            id=record_id("sample", self.name, prompt.id, list(prompt_ids), response.ids, response.seed,
                         response.logprobs), prompt=prompt,
            prompt_ids=tuple(prompt_ids), response_ids=tuple(response.ids), logprobs=tuple(response.logprobs),
            response_mask=(True,) * len(response.ids), text=self.template.decode_response(response.ids),
            ended=response.ended, policy=self.name, sampling=sampling)


def decode(policy: Policy, prompts: Sequence[Sequence[int]], responses: Sequence[Response], sampling: Sampling,
           stop_ids: Sequence[int], slots: int, on_done: Callable[[int], None] | None = None) -> None:
    """Fill `responses` (each names its prompt by index; neighbours of one prompt share its computation).

    Raises:
        ConfigError: if a setting is out of its range.
        ModelError: if the architecture cannot decode from slots, a prompt is empty or leaves no room for a response, or
            the logits are not finite.
    """
    _check(sampling, slots, prompts)
    if not policy.ragged:
        raise ModelError(f"{policy.config.model_type} does not take transformers' attention interface, so the engine cannot "
                         "decode with it. Use a Llama, Qwen, Gemma, Mistral, Phi, GPT-2, GPT-NeoX or OLMo model.")
    longest = max((len(prompt) for prompt in prompts), default=0) + sampling.max_new_tokens
    room = getattr(policy.config, "max_position_embeddings", None)
    if room is not None and longest > room:
        raise ModelError(f"prompt and response need {longest} positions, the model has {room}. Shorten the prompts or "
                         "lower max_new_tokens.")
    flight = _Flight(policy, min(slots, max(len(responses), 1)), longest, sampling, frozenset(stop_ids), on_done)
    waiting = deque(_groups(responses, flight.cache.slots))
    while waiting or flight.active:
        free = flight.cache.slots - len(flight.active)
        if waiting and (not flight.active or free >= max(len(waiting[0]), flight.cache.slots // 4)):
            admitted: list[list[Response]] = []
            tokens = 0
            while waiting and len(waiting[0]) <= free and tokens < PREFILL_TOKENS:
                group = waiting.popleft()
                free -= len(group)
                tokens += len(prompts[group[0].prompt])
                admitted.append(group)
            flight.admit(admitted, prompts)
        else:
            flight.advance()


def _check(sampling: Sampling, slots: int, prompts: Sequence[Sequence[int]]) -> None:
    if sampling.max_new_tokens < 1 or slots < 1:
        raise ConfigError(f"max_new_tokens {sampling.max_new_tokens} and slots {slots} must be 1 or more.")
    if sampling.temperature < 0 or sampling.top_k < 0 or not 0 < sampling.top_p <= 1:
        raise ConfigError(f"temperature {sampling.temperature} and top_k {sampling.top_k} must not be negative, top_p "
                          f"{sampling.top_p} must be above 0 and at most 1.")
    empty = [index for index, prompt in enumerate(prompts) if len(prompt) == 0]
    if empty:
        raise ModelError(f"{len(empty)} of {len(prompts)} prompts hold no token (first: number {empty[0]}); a response needs one "
                         "before it.")


def _groups(responses: Sequence[Response], slots: int) -> list[list[Response]]:
    """Neighbours with one prompt, in pieces that fit into the slots."""
    groups: list[list[Response]] = []
    for response in responses:
        if groups and groups[-1][0].prompt == response.prompt and len(groups[-1]) < slots:
            groups[-1].append(response)
        else:
            groups.append([response])
    return groups


class _Flight:
    """The responses in flight: slot s holds `active[s]`; a finished one is replaced by the last, so slots stay dense."""

    def __init__(self, policy: Policy, slots: int, capacity: int, sampling: Sampling, stop_ids: frozenset[int],
                 on_done: Callable[[int], None] | None) -> None:
        self.policy, self.sampling, self.stop_ids, self.on_done = policy, sampling, stop_ids, on_done
        self.cache = SlotCache(slots, capacity)
        self.active: list[Response] = []
        self.lengths: list[int] = []           # tokens whose keys and values each slot holds

    def admit(self, groups: list[list[Response]], prompts: Sequence[Sequence[int]]) -> None:
        """Compute each group's prompt once, give every response its slot, and draw their first tokens."""
        rows = [prompts[group[0].prompt] for group in groups]
        lengths = torch.tensor([len(row) for row in rows])
        bounds = torch.cat((torch.zeros(1, dtype=torch.long), lengths.cumsum(0)))
        first = len(self.active)
        starts = [first + sum(len(group) for group in groups[:i]) for i in range(len(groups))]
        plan = Segments(bounds, store=self.cache, slots=starts)
        ids = torch.tensor([token for row in rows for token in row], device=self.policy.device)
        positions = torch.cat([torch.arange(len(row)) for row in rows]).to(self.policy.device)
        logits = self.policy.next_logits(ids, positions, plan, last=bounds[1:] - 1)          # (groups, V)
        for start, group, row in zip(starts, groups, rows, strict=True):
            for offset, response in enumerate(group):
                if offset:
                    self.cache.copy(start, start + offset, len(row))
                self.active.append(response)
                self.lengths.append(len(row))
        sizes = torch.tensor([len(group) for group in groups], device=logits.device)
        self._draw(logits.repeat_interleave(sizes, 0), first)

    def advance(self) -> None:
        """One more token for everything in flight."""
        lengths = torch.tensor(self.lengths, device=self.policy.device)
        ids = torch.tensor([response.ids[-1] for response in self.active], device=self.policy.device)
        logits = self.policy.next_logits(ids, lengths, Decode(self.cache, lengths))
        self.lengths = [length + 1 for length in self.lengths]
        self._draw(logits, 0)

    def _draw(self, logits: torch.Tensor, first: int) -> None:
        """Give `active[first:]` their next tokens from (S, V) logits; let those that are done leave."""
        drawing = self.active[first:]
        u = uniforms(np.array([response.seed for response in drawing], dtype=np.uint64),
                     np.array([len(response.ids) for response in drawing], dtype=np.uint64))
        tokens, logprobs = draw(logits, torch.from_numpy(u), temperature=self.sampling.temperature,
                                top_k=self.sampling.top_k, top_p=self.sampling.top_p)
        for response, token, logprob in zip(drawing, tokens.tolist(), logprobs.tolist(), strict=True):
            if not math.isfinite(logprob):
                raise ModelError(f"the policy's logits after token {len(response.ids)} of a response are not finite: its weights "
                                 "are damaged, or training diverged.")
            response.ids.append(token)
            response.logprobs.append(logprob)
            response.ended = token in self.stop_ids
        for slot in reversed(range(first, len(self.active))):
            response = self.active[slot]
            if response.ended or len(response.ids) >= self.sampling.max_new_tokens:
                self._leave(slot)

    def _leave(self, slot: int) -> None:
        last = len(self.active) - 1
        if slot != last:
            self.cache.copy(last, slot, self.lengths[last])
            self.active[slot], self.lengths[slot] = self.active[last], self.lengths[last]
        self.active.pop()
        self.lengths.pop()
        if self.on_done is not None:
            self.on_done(1)
