"""What is asked of the engine and what comes of it, one response at a time; token ids only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tutelage.errors import ConfigError, ModelError
from tutelage.records import Sampling

OnToken = Callable[[int, int, float], bool | None]
"""Called with a response's place, a token of it and the token's logprob, as each is drawn; False cancels the response."""

Reason = Literal["", "stop", "string", "length", "cancelled"]


@dataclass(slots=True)
class Response:
    """A response being drawn, then drawn: ids end with the stop token where `reason` is "stop"."""

    prompt: int                                   # index of its prompt
    seed: int
    sampling: Sampling | None = None              # settings of its own; None takes those of the call
    has_stopped: Callable[[Sequence[int]], bool] | None = None      # whether its text, of these ids, holds a stop string
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    reason: Reason = ""                           # why it ended; "" while it has not
    cancelled: bool = False                       # may be set at any time, by any thread: no further token is drawn

    @property
    def ended(self) -> bool:
        """Whether it came to its own end: a stop token or a stop string."""
        return self.reason in ("stop", "string")

    def take(self, token: int, logprob: float, settings: Sampling, stop_ids: frozenset[int]) -> None:
        """One more token; says in `reason` if it is the last."""
        self.ids.append(token)
        self.logprobs.append(logprob)
        if token in stop_ids:
            self.reason = "stop"
        elif self.has_stopped is not None and len(self.ids) >= settings.min_new_tokens and self.has_stopped(self.ids):
            self.reason = "string"
        elif len(self.ids) >= settings.max_new_tokens:
            self.reason = "length"


def settings_of(response: Response, sampling: Sampling) -> Sampling:
    return sampling if response.sampling is None else response.sampling


def check(prompts: Sequence[Sequence[int]], responses: Sequence[Response], sampling: Sampling, slots: int, vocabulary: int,
          positions: int | None) -> None:
    """Refuse what cannot be drawn before anything is.

    Raises:
        ConfigError: if a setting is out of its range.
        ModelError: if a prompt is empty, or leaves no room for its response among the model's `positions`.
    """
    if slots < 1:
        raise ConfigError(f"slots {slots} must be 1 or more.")
    for settings in {sampling, *(each.sampling for each in responses if each.sampling is not None)}:
        check_settings(settings, vocabulary)
    empty = [index for index, prompt in enumerate(prompts) if len(prompt) == 0]
    if empty:
        raise ModelError(f"{len(empty)} of {len(prompts)} prompts hold no token (first: number {empty[0]}); a response needs one "
                         "before it.")
    longest = max((len(prompts[each.prompt]) + settings_of(each, sampling).max_new_tokens for each in responses), default=0)
    if positions is not None and longest > positions:
        raise ModelError(f"prompt and response need {longest} positions, the model has {positions}. Shorten the prompts or "
                         "lower max_new_tokens.")


def check_settings(settings: Sampling, vocabulary: int) -> None:
    """
    Raises:
        ConfigError: if a setting is out of its range.
    """
    s = settings
    trouble = [
        (s.max_new_tokens < 1, f"max_new_tokens {s.max_new_tokens} must be 1 or more"),
        (not 0 <= s.min_new_tokens <= s.max_new_tokens, f"min_new_tokens {s.min_new_tokens} must be 0 to max_new_tokens"),
        (not (math.isfinite(s.temperature) and s.temperature >= 0), f"temperature {s.temperature} must be a number from 0 up"),
        (s.top_k < 0, f"top_k {s.top_k} must not be negative"),
        (not 0 < s.top_p <= 1, f"top_p {s.top_p} must be above 0 and at most 1"),
        (not 0 <= s.min_p <= 1, f"min_p {s.min_p} must be from 0 to 1"),
        (not (math.isfinite(s.repetition_penalty) and s.repetition_penalty > 0),
         f"repetition_penalty {s.repetition_penalty} must be a number above 0"),
        (any(not text for text in s.stop_strings), "stop_strings hold an empty string, which every text holds"),
        (any(not (0 <= token < vocabulary and math.isfinite(bias)) for token, bias in s.logit_bias),
         f"logit_bias must name tokens from 0 to {vocabulary - 1} and add numbers to them; to rule one out, add -1e9")]
    for wrong, what in trouble:
        if wrong:
            raise ConfigError(f"{what}.")
