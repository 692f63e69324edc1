"""Conversations with turns: what answers the policy, and the whole conversation as one sample the trainer can learn from.

    prompt ─► turn ─► environment ─► its words ─► turn ─► … ─► sample: ids of all that followed the prompt, and a mask

Only the policy's own tokens are under the mask. What the environment said, and the template's tags around it, is seen by the
policy and neither rewarded nor learned. A single turn is the case of one step (`SingleTurn`).
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tutelage.data.chat import ChatTemplate
from tutelage.errors import TemplateError
from tutelage.generation.engine import Engine, Response, decode
from tutelage.messages import Message, record_id
from tutelage.protocols import Environment, Score
from tutelage.records import Prompt, Sample, Sampling
from tutelage.seeds import stream_seed

_CALL = re.compile(r"\s*(\d{1,9})\s*([-+*])\s*(\d{1,9})\s*")
_DO = {"+": operator.add, "-": operator.sub, "*": operator.mul}


class SingleTurn:
    """One response, then its score."""

    def __init__(self, reward: Score) -> None:
        self.reward = reward

    def reset(self, prompt: Prompt) -> Prompt:
        return prompt

    def step(self, sample: Sample) -> tuple[Prompt | None, float]:
        return None, self.reward.score([sample]).total[0]


class Calculator:
    """Two turns: the policy writes a calculation, is told its result, and answers; `reward` judges the answer.

    A calculation is two whole numbers with +, - or * between them. Anything else is answered with "error".
    """

    def __init__(self, reward: Score) -> None:
        self.reward = reward
        self.called = False

    def reset(self, prompt: Prompt) -> Prompt:
        self.called = False
        return prompt

    def step(self, sample: Sample) -> tuple[Prompt | None, float]:
        if self.called:
            return None, self.reward.score([sample]).total[0]
        self.called = True
        found = _CALL.fullmatch(sample.text)
        result = str(_DO[found[2]](int(found[1]), int(found[3]))) if found else "error"
        return go_on(sample, Message.of("tool", result)), 0.0


def go_on(sample: Sample, *said: Message) -> Prompt:
    """The sample's conversation with its response, and what was said to that."""
    messages = (*sample.prompt.messages, *sample.response, *said)
    return Prompt(id=sample.prompt.id, messages=messages, kind=sample.prompt.kind, key_facts=sample.prompt.key_facts)


@dataclass(slots=True)
class _Episode:
    """A conversation on its way. `ids` follow the prompt's; `logprobs` are 0 where `mask` is False."""

    start: Prompt
    environment: Environment
    prompt: Prompt                     # as far as the conversation is
    prompt_ids: tuple[int, ...]
    place: int                         # among the samples of its prompt
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    earned: float = 0.0
    text: str = ""
    ended: bool = False
    over: bool = False

    def append(self, ids: Sequence[int], logprobs: Sequence[float], chosen: bool) -> None:
        self.ids += ids
        self.logprobs += logprobs
        self.mask += [chosen] * len(ids)


def play(engine: Engine, environment: Callable[[], Environment], prompts: Sequence[Prompt], sampling: Sampling,
         per_prompt: int = 1, most_turns: int = 8) -> tuple[list[Sample], list[float]]:
    """`per_prompt` conversations of each prompt, grouped by prompt, in order, and what each earned over its turns.

    All conversations that are still going take a turn together. `sampling.max_new_tokens` is of one turn; a turn that is cut
    there is closed for the policy, with an end of turn that is not under the mask. A sample's `text` is its last turn's.

    Args:
        environment: makes one; each conversation has its own.
    Raises:
        TemplateError: if the chat template cannot go on from a response it has rendered.
    """
    episodes = [_begin(engine.template, environment(), prompt, place) for prompt in prompts for place in range(per_prompt)]
    for turn in range(most_turns):
        going = [episode for episode in episodes if not episode.over]
        if not going:
            break
        responses = [Response(row, stream_seed(sampling.seed, "turn", turn, each.start.id, each.place))
                     for row, each in enumerate(going)]
        contexts = [(*each.prompt_ids, *each.ids) for each in going]
        decode(engine.policy, contexts, responses, sampling, engine.template.stop_ids, engine.slots)
        for episode, response in zip(going, responses, strict=True):
            _take_turn(engine, episode, response, sampling)
    return [_sample(engine, each, sampling) for each in episodes], [each.earned for each in episodes]


def _begin(template: ChatTemplate, environment: Environment, prompt: Prompt, place: int) -> _Episode:
    first = environment.reset(prompt)
    return _Episode(start=prompt, environment=environment, prompt=first, prompt_ids=template.render_prompt(first.messages),
                    place=place)


def _take_turn(engine: Engine, episode: _Episode, response: Response, sampling: Sampling) -> None:
    """Add what the policy said, ask the environment, and add what it said."""
    episode.append(response.ids, response.logprobs, True)
    episode.text, episode.ended = engine.template.decode_response(response.ids), response.ended
    said = Sample(id=record_id("turn", episode.start.id, episode.place, episode.ids), prompt=episode.prompt,
                  prompt_ids=(*episode.prompt_ids, *episode.ids[:-len(response.ids)]), response_ids=tuple(response.ids),
                  logprobs=tuple(response.logprobs), response_mask=(True,) * len(response.ids), text=episode.text,
                  ended=response.ended, policy=engine.name, sampling=sampling)
    following, earned = episode.environment.step(said)
    episode.earned += earned
    if following is None:
        episode.over = True
        return
    episode.prompt = following
    between = words_between(engine.template, following)
    if not response.ended:
        between = (engine.template.end_of_turn_id, *between)
    episode.append(between, [0.0] * len(between), False)


def words_between(template: ChatTemplate, prompt: Prompt) -> tuple[int, ...]:
    """Ids of all that stands after the last response in `prompt`, up to where the next one begins.

    The conversation before it is never made into ids again: the policy goes on from the ids it sampled (D6).

    Raises:
        TemplateError: if there is no response in it, or the template renders that otherwise once something follows.
    """
    opened = template.render_opened(prompt.messages)
    ends = [span.end for span in opened.spans if span.role == "assistant"]
    if not ends or opened.ids[ends[-1] - 1] != template.end_of_turn_id:
        raise TemplateError("an environment must go on from the policy's response, and the chat template must leave that as "
                            "it was: wanted a conversation whose last response ends with its end of turn.")
    return opened.ids[ends[-1]:]


def _sample(engine: Engine, episode: _Episode, sampling: Sampling) -> Sample:
    """The conversation as one sample. Turns that were used up may leave the environment's words last: these go."""
    last = max(place for place, chosen in enumerate(episode.mask) if chosen) + 1
    ids, logprobs, mask = episode.ids[:last], episode.logprobs[:last], episode.mask[:last]
    return Sample(id=record_id("episode", engine.name, episode.start.id, episode.place, ids, logprobs), prompt=episode.start,
                  prompt_ids=episode.prompt_ids, response_ids=tuple(ids), logprobs=tuple(logprobs), response_mask=tuple(mask),
                  text=episode.text, ended=episode.ended, policy=engine.name, sampling=sampling)
