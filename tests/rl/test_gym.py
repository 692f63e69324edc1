"""Writing as a Gymnasium task: by Gymnasium's own checker, and token for token what the package's forward says."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, RewardError
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Sample, Scores
from tutelage.rl.gym import ID, TextGeneration

END = 257      # the tiny tokenizer's end of turn


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


@pytest.fixture
def make(template: ChatTemplate) -> Callable[..., Any]:
    def build(**changes: Any) -> Any:
        return gymnasium.make(ID, **{"model": Policy(tiny_model()), "template": template, "prompts": ["a", "bcd"],
                                     "reward": evens, "max_new_tokens": 4, **changes})
    return build


@pytest.mark.parametrize("changes", [
    {}, {"observation": "tokens"}, {"pay": "token"}, {"candidates": [1, 2, 3, END]}, {"render_mode": "ansi"}], ids=str)
def test_gymnasiums_checker_finds_nothing(make: Callable[..., Any], changes: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message=".*observation space m..imum value is -?infinity.*")
        check_env(make(**changes).unwrapped, skip_render_check=False)


def test_what_is_seen_is_the_last_hidden_state_of_all_that_was_said(make: Callable[..., Any]) -> None:
    env = make()
    seen, _ = env.reset(seed=0, options={"prompt": 1})
    states = [seen, *(env.step(token)[0] for token in (5, 9, 11))]
    world = env.unwrapped
    ids = [*world.sample.prompt_ids, 5, 9, 11]
    assert world.sample.response_ids == (5, 9, 11) and world.sample.prompt.id == "bcd"
    plain = tiny_model().model(input_ids=torch.tensor([ids])).last_hidden_state[0].detach().numpy()
    for place, state in enumerate(states):
        np.testing.assert_allclose(state, plain[len(ids) - 4 + place], atol=1e-5)


def test_an_episode_ends_with_a_stop_token_or_at_the_limit_and_is_paid_then(make: Callable[..., Any]) -> None:
    env = make(candidates=[2, 3, END])
    env.reset(seed=0)
    assert [env.step(0)[1:4] for _ in range(4)] == [(0.0, False, False)] * 3 + [(1.0, True, False)]
    env.reset()
    env.step(1)
    _, reward, terminated, truncated, info = env.step(2)
    assert (reward, terminated, truncated) == (0.0, True, False) and info["score"] == 0.0      # 3 and 257 are odd
    env.reset()
    assert env.step(2)[2] and env.unwrapped.sample.ended


def test_pay_by_token_sums_to_the_score(make: Callable[..., Any]) -> None:
    env = make(pay="token")
    env.reset(seed=0)
    rewards = [env.step(token)[1] for token in (2, 3, 5, 8)]
    assert rewards == pytest.approx([1.0, 0.5 - 1.0, 1 / 3 - 0.5, 0.5 - 1 / 3]) and sum(rewards) == pytest.approx(0.5)


def test_a_reward_of_each_token_is_paid_as_it_is(make: Callable[..., Any]) -> None:
    class Dense:
        def score(self, samples: Sequence[Sample]) -> Scores:
            rows = tuple(tuple(float(token) for token in sample.response_ids) for sample in samples)
            return Scores(total=tuple(map(sum, rows)), per_token=rows)

    env = make(pay="token", reward=Dense())
    env.reset(seed=0)
    assert [env.step(token)[1] for token in (2, 3, 5)] == [2.0, 3.0, 5.0]


def test_the_ids_so_far_are_seen_and_the_rest_is_filled_up(make: Callable[..., Any]) -> None:
    env = make(observation="tokens")
    env.reset(seed=0, options={"prompt": 0})
    seen, *_ = env.step(7)
    prompt = env.unwrapped.sample.prompt_ids
    assert seen.tolist() == [*prompt, 7, *[258] * (len(seen) - len(prompt) - 1)]


@pytest.mark.parametrize(("changes", "error", "message"), [
    ({"prompts": []}, ConfigError, "0 prompts"), ({"candidates": [258]}, ConfigError, r"below 258; got \[258\]"),
    ({"candidates": []}, ConfigError, "got none"), ({"max_new_tokens": 600}, ConfigError, "the model has 512"),
    ({"template": None}, ConfigError, "needs its template")])
def test_what_cannot_be_is_refused(make: Callable[..., Any], changes: dict[str, Any], error: type[Exception],
                                   message: str) -> None:
    with pytest.raises(error, match=message):
        make(**changes)


def test_a_reward_that_is_no_number_is_refused(make: Callable[..., Any]) -> None:
    env = make(reward=lambda samples: [float("nan")], max_new_tokens=1)
    env.reset(seed=0)
    with pytest.raises(RewardError, match="wanted one finite number"):
        env.step(1)


def test_a_directory_is_a_model(tiny_directory: Path, make: Callable[..., Any]) -> None:
    env = make(model=str(tiny_directory), template=None)
    assert env.reset(seed=0)[0].shape == (32,) and isinstance(env.unwrapped, TextGeneration)
