"""Writing a response as a Gymnasium task, one token an action, for people who bring their own reinforcement learner.

    from tutelage.rl.gym import ID                            # registers tutelage/TextGeneration-v0
    env = gymnasium.make(ID, model="smollm2-135m-q4", prompts=["Name a colour."], reward=my_reward)

The language model is the world and stays as it is; what learns is the agent that chooses tokens. The package's own stages
train the language model itself, many responses at a time: use this for small agents, for methods that are not here, and for
comparing with them.

V vocabulary · D hidden size
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, RewardError
from tutelage.messages import Message, record_id
from tutelage.models.attention import AttentionPlan
from tutelage.models.load import load_policy, load_tokenizer, resolve
from tutelage.models.policy import Policy
from tutelage.models.slots import Decode, Prefill, SlotCache
from tutelage.protocols import Score
from tutelage.records import Prompt, Sample, Scores

try:
    import gymnasium
    from gymnasium import spaces
except ImportError as error:
    raise ImportError("tutelage.rl.gym needs gymnasium: pip install 'tutelage[gym]'") from error

ID = "tutelage/TextGeneration-v0"
Function = Callable[[Sequence[Sample]], Sequence[float]]


class TextGeneration(gymnasium.Env[np.ndarray, np.int64]):
    """An episode is one response: it begins with a prompt, and ends with a stop token or after `max_new_tokens`.

    Both are ends of the task (`terminated`, never `truncated`): a response that was cut is scored as it stands, so there is no
    value of what would have come after.

    Args:
        model: whose hidden states are seen and whose tokens are written: a name, a directory, or a loaded `Policy`.
        prompts: texts or `Prompt`s; an episode takes one at random, or number `options["prompt"]` of `reset`.
        reward: a `Score`, or a function of samples that gives one number each.
        template: of a loaded `Policy`; a name or directory brings its own.
        candidates: ids an action chooses from; None is the whole vocabulary, of V actions.
        observation: "hidden", (D,) the last hidden state, or "tokens", the ids so far, filled up on the right with V.
        pay: the score "end" of the response, or at each "token" what it added to the score of what stood before it (of a
            reward that is a sum over tokens, its own). Both sum to the same without discounting.
    Raises:
        ConfigError: if there is no prompt, a candidate is no token, or the prompts leave no room for a response.
    """

    metadata = {"render_modes": ["ansi"], "render_fps": 4}      # noqa: RUF012 Gymnasium's own declaration

    def __init__(self, model: Policy | str | Path, prompts: Sequence[Prompt | str], reward: Score | Function, *,
                 template: ChatTemplate | None = None, candidates: Sequence[int] | None = None,
                 observation: Literal["hidden", "tokens"] = "hidden", pay: Literal["end", "token"] = "end",
                 max_new_tokens: int = 32, render_mode: str | None = None) -> None:
        self.policy, self.template = _loaded(model, template)
        self.prompts = [each if isinstance(each, Prompt) else Prompt(id=each, messages=(Message.of("user", each),))
                        for each in prompts]
        self.reward, self.pay, self.max_new_tokens, self.render_mode = reward, pay, max_new_tokens, render_mode
        self._prompt_ids = [self.template.render_prompt(prompt.messages) for prompt in self.prompts]
        self._vocabulary = int(self.policy.config.get_text_config().vocab_size)
        self.candidates = list(range(self._vocabulary)) if candidates is None else list(candidates)
        self._check()
        self._width = max(map(len, self._prompt_ids)) + max_new_tokens
        self._sees_tokens = observation == "tokens"
        self.action_space: spaces.Space[Any] = spaces.Discrete(len(self.candidates))
        self.observation_space: spaces.Space[Any] = (
            spaces.Box(0, self._vocabulary, (self._width,), np.int64) if self._sees_tokens
            else spaces.Box(-np.inf, np.inf, (self.policy.config.get_text_config().hidden_size,), np.float32))
        self._place, self._score = 0, 0.0
        self._response: list[int] = []

    def _check(self) -> None:
        if not self.prompts or self.max_new_tokens < 1:
            raise ConfigError(f"TextGeneration: {len(self.prompts)} prompts and max_new_tokens {self.max_new_tokens}; wanted 1 "
                              "or more of each.")
        wrong = [token for token in self.candidates if not 0 <= token < self._vocabulary]
        if wrong or not self.candidates:
            raise ConfigError(f"TextGeneration: candidates must be 1 or more ids below {self._vocabulary}; got "
                              f"{wrong or 'none'}.")
        room = getattr(self.policy.config.get_text_config(), "max_position_embeddings", math.inf)
        if (longest := max(map(len, self._prompt_ids)) + self.max_new_tokens) > room:
            raise ConfigError(f"TextGeneration: prompt and response need {longest} positions, the model has {room}. Lower "
                              "max_new_tokens.")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        chosen = (options or {}).get("prompt")
        self._place = int(self.np_random.integers(len(self.prompts)) if chosen is None else chosen)
        self._response, self._score = [], 0.0      # nothing said yet is worth nothing
        ids = self._prompt_ids[self._place]
        self._cache = SlotCache(1, self._width)
        self._read(ids, range(len(ids)), Prefill([len(ids)], self._cache, [0]))
        return self._observe(), self._info()

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        token = self.candidates[int(action)]
        place = len(self._prompt_ids[self._place]) + len(self._response)
        self._response.append(token)
        self._read([token], [place], Decode(self._cache, torch.tensor([place], device=self.policy.device)))
        over = token in self.template.stop_ids or len(self._response) >= self.max_new_tokens
        reward = 0.0
        if over or self.pay == "token":
            score = self._scored()
            reward = score if self.pay == "end" else score - self._score
            self._score = score
        return self._observe(), reward, over, False, self._info(over)

    def render(self) -> str | None:      # type: ignore[override]
        """The prompt and the response as far as it is."""
        if self.render_mode != "ansi":
            return None
        return f"{self.prompts[self._place].messages[-1].text}\n{self.template.decode_response(self._response)}"

    def _read(self, ids: Sequence[int], positions: Sequence[int], plan: AttentionPlan) -> None:
        """Let the model read on: a prompt at the beginning of an episode, then a token at a time."""
        if not self._sees_tokens:
            device = self.policy.device
            hidden = self.policy.hidden(torch.tensor(ids, device=device), torch.tensor(positions, device=device), plan)
            self._hidden = hidden[-1].float().cpu().numpy()

    def _observe(self) -> np.ndarray:
        if not self._sees_tokens:
            return self._hidden
        ids = [*self._prompt_ids[self._place], *self._response]
        return np.array(ids + [self._vocabulary] * (self._width - len(ids)), dtype=np.int64)

    def _scored(self) -> float:
        """The score of the response as it stands."""
        given = self.reward.score([self.sample]) if isinstance(self.reward, Score) else \
            Scores(total=tuple(float(score) for score in self.reward([self.sample])))
        if len(given.total) != 1 or not math.isfinite(given.total[0]):
            raise RewardError(f"the reward gave {given.total} for one sample; wanted one finite number.")
        return given.total[0]

    @property
    def sample(self) -> Sample:
        """The response as a record. Its logprobs are 0: the agent chose, not the language model."""
        prompt, ids = self.prompts[self._place], tuple(self._response)
        return Sample(id=record_id("gym", prompt.id, list(ids)), prompt=prompt, prompt_ids=self._prompt_ids[self._place],
                      response_ids=ids, logprobs=(0.0,) * len(ids), response_mask=(True,) * len(ids),
                      text=self.template.decode_response(ids), ended=bool(ids) and ids[-1] in self.template.stop_ids)

    def _info(self, over: bool = False) -> dict[str, Any]:
        info: dict[str, Any] = {"prompt": self.prompts[self._place].id}
        return {**info, "text": self.template.decode_response(self._response), "score": self._score} if over else info


def _loaded(model: Policy | str | Path, template: ChatTemplate | None) -> tuple[Policy, ChatTemplate]:
    if isinstance(model, Policy):
        if template is None:
            raise ConfigError("TextGeneration: a loaded policy needs its template: ChatTemplate.of(tokenizer).")
        return model, template
    path = resolve(str(model)).path
    return load_policy(path, "fp32"), template or ChatTemplate.load(path, load_tokenizer(path))


if ID not in gymnasium.registry:
    gymnasium.register(ID, entry_point="tutelage.rl.gym:TextGeneration")
