"""Our own generation engine: many responses in flight, each in a slot of a preallocated key/value cache (D9).

A prompt is computed once for all its samples. A finished response leaves at once, and waiting prompts take its place.
`decode` knows token ids only; text begins and ends in `Engine.generate`. It reads the trainer's own weights.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import torch

from tutelage.console import console
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, ModelError
from tutelage.generation.flight import Flight, Group
from tutelage.generation.lanes import deal, few, lanes_for, side_by_side
from tutelage.generation.requests import OnToken, Response, check, settings_of
from tutelage.generation.text import StopStrings, before_stop
from tutelage.messages import record_id
from tutelage.models.adapters import merged_copy
from tutelage.models.attention import Segments
from tutelage.models.decoder import Decoder, decoder_of
from tutelage.models.policy import Policy
from tutelage.models.slots import SlotCache
from tutelage.records import Prompt, Sample, Sampling
from tutelage.seeds import stream_seed

__all__ = ["Engine", "OnToken", "Response", "decode"]

P = ParamSpec("P")
R = TypeVar("R")

PACK_STEPS = 4      # responses shorter than this do not repay the laying out of weights


class Engine:
    """Draws responses from `policy`; `slots` of them are in flight at a time.

    A policy with an adapter decodes with it beside its weights, as it is trained. With `merge` it decodes with a copy of all
    weights that has the adapter added, made anew for each `generate`: faster, and a slightly other model. By how much, in nats
    of the first tokens, is then told, and stands in `deviation`.
    """

    def __init__(self, policy: Policy, template: ChatTemplate, *, slots: int = 64, name: str = "", merge: bool = False) -> None:
        self.policy, self.template, self.slots, self.name = policy, template, slots, name
        self.merge = merge and policy.has_adapter
        self.deviation: float | None = None

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling | Sequence[Sampling], per_prompt: int = 1,
                 on_done: Callable[[int], None] | None = None, on_token: OnToken | None = None) -> list[Sample]:
        """`per_prompt` samples for each prompt, grouped by prompt, in order.

        A sample's random numbers depend on the seed, its prompt's id and its place among the samples of that prompt,
        never on what else is being generated.

        Args:
            sampling: for all prompts, or one for each.
            on_done: called with 1 for each response that ended.
            on_token: called with (place in what is returned, token id, logprob) as each token is drawn, from the threads that
                draw, one call at a time; where it gives False that response ends there. What it raises ends all of them.
        """
        settings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
        if len(settings) != len(prompts):
            raise ConfigError(f"generate got {len(settings)} settings for {len(prompts)} prompts; wanted one each, or one.")
        ids = [self.template.render_prompt(prompt.messages) for prompt in prompts]
        responses = [self._response(i, prompt, settings[i], k) for i, prompt in enumerate(prompts) for k in range(per_prompt)]
        if responses:
            policy = self._merged(ids) if self.merge else self.policy
            decode(policy, ids, responses, settings[0], self.template.stop_ids, self.slots, on_done, on_token)
        return [self._sample(prompts[response.prompt], ids[response.prompt], response) for response in responses]

    def _response(self, index: int, prompt: Prompt, sampling: Sampling, place: int) -> Response:
        stops = StopStrings(self.template, sampling.stop_strings) if sampling.stop_strings else None
        return Response(index, stream_seed(sampling.seed, "response", prompt.id, place), sampling, stops)

    def _merged(self, ids: Sequence[Sequence[int]]) -> Policy:
        merged = merged_copy(self.policy)
        self.deviation = _first_token_deviation(self.policy, merged, ids[:16])
        console.print(f"generation: the adapter was merged into a copy of the weights; logprobs of first tokens differ by "
                      f"{self.deviation:.2g} nats at most")
        return merged

    def _sample(self, prompt: Prompt, prompt_ids: Sequence[int], response: Response) -> Sample:
        sampling = response.sampling
        assert sampling is not None
        text = self.template.decode_response(response.ids)
        return Sample(
            id=record_id("sample", self.name, prompt.id, list(prompt_ids), response.ids, response.seed,
                         response.logprobs), prompt=prompt,
            prompt_ids=tuple(prompt_ids), response_ids=tuple(response.ids), logprobs=tuple(response.logprobs),
            response_mask=(True,) * len(response.ids), text=before_stop(text, sampling.stop_strings),
            ended=response.ended, policy=self.name, sampling=sampling)


def decode(policy: Policy, prompts: Sequence[Sequence[int]], responses: Sequence[Response], sampling: Sampling,
           stop_ids: Sequence[int], slots: int, on_done: Callable[[int], None] | None = None,
           on_token: OnToken | None = None) -> None:
    """Fill `responses` (each names its prompt by index; neighbours of one prompt share its computation).

    Raises:
        ConfigError: if a setting is out of its range.
        ModelError: if the architecture cannot decode from slots, a prompt is empty or leaves no room for a response, or
            the logits are not finite.
    """
    text = policy.config.get_text_config()
    check(prompts, responses, sampling, slots, text.vocab_size, getattr(policy.config, "max_position_embeddings", None))
    if not policy.ragged:
        raise ModelError(f"{policy.config.model_type} does not take transformers' attention interface, so the engine cannot "
                         "decode with it. Use a Llama, Qwen, Gemma, Mistral, Phi, GPT-2, GPT-NeoX or OLMo model.")
    if not responses:
        return
    lanes = lanes_for(policy.device, len(responses), slots)
    room = min(slots // lanes, -(-len(responses) // lanes))      # slots of a lane
    longest = max(settings_of(each, sampling).max_new_tokens for each in responses)
    decoder = Decoder(policy) if longest < PACK_STEPS else decoder_of(policy, room)
    capacity = max(len(prompts[each.prompt]) + settings_of(each, sampling).max_new_tokens for each in responses)
    halt = threading.Event()
    done, told = _one_at_a_time(on_done), _one_at_a_time(on_token)

    flights = [Flight(decoder, prompts, sampling, frozenset(stop_ids), SlotCache(room, capacity), halt, done, told)
               for _ in range(lanes)]

    def fly(lane: tuple[Flight, list[Group]]) -> None:
        flight, groups = lane
        flight.fly(groups, few(lanes, room))

    side_by_side(fly, list(zip(flights, deal(responses, lanes, room), strict=True)), halt)
    first, *others = flights
    for other in others:
        first.take_over(other)
    first.fly()


def _one_at_a_time(call: Callable[P, R] | None) -> Callable[P, R] | None:
    """The same from any thread, so that who gives it needs no lock."""
    if call is None:
        return None
    lock = threading.Lock()

    def locked(*args: P.args, **kwargs: P.kwargs) -> R:
        with lock:
            return call(*args, **kwargs)
    return locked


@torch.no_grad()
def _first_token_deviation(policy: Policy, merged: Policy, prompts: Sequence[Sequence[int]]) -> float:
    """The largest difference in nats among tokens that either model gives a probability above 1 %."""
    rows = [torch.tensor(list(prompt), device=policy.device) for prompt in prompts]
    bounds = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
    positions = torch.cat([torch.arange(len(row), device=policy.device) for row in rows])
    exact, rounded = (each.next_logits(torch.cat(rows), positions, Segments(bounds), last=bounds[1:] - 1).log_softmax(-1)
                      for each in (policy, merged))
    likely = torch.maximum(exact, rounded) > -4.6
    return float((exact - rounded)[likely].abs().max())
