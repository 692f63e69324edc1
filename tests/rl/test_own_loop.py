"""A loop of one's own: texts or ids in, the same update as the stage's out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import tutelage
from tutelage.errors import ConfigError, DataError, RewardError
from tutelage.messages import Message
from tutelage.models.load import load_policy
from tutelage.rl.own_loop import OwnLoop, as_prompt
from tutelage.training.config import Optimizer

ASKED = ["a?", "b?", "a?", "b?"]


@pytest.fixture
def loop(tiny_directory: Path) -> Callable[..., OwnLoop]:
    def build(**settings: Any) -> OwnLoop:
        optimizer = Optimizer(lr=1e-2, warmup_fraction=0.0, schedule="constant")
        return tutelage.policy_trainer(str(tiny_directory), **{"precision": "fp32", "optimizer": optimizer, "max_new_tokens": 5,
                                                               "settings": {"kl_coef": 0.0}, **settings})
    return build


def weights(loop: OwnLoop) -> torch.Tensor:
    return torch.cat([value.flatten() for value in loop.trainer.policy.parameters()]).clone()


@pytest.mark.parametrize("algorithm", ["ppo", "rloo"])
def test_texts_ids_and_samples_of_its_own_make_the_same_update(loop: Callable[..., OwnLoop], algorithm: str) -> None:
    ends = []
    for form in ("samples", "ids", "texts"):
        each = loop(algorithm=algorithm)
        drawn = each.generate(["a?", "b?"], per_prompt=2)
        if form == "texts":      # what a text is sampled as is not known, so these are rendered for both
            drawn = each.samples([sample.prompt for sample in drawn], ["no", "yes", "well", "so"])
        given = {"samples": drawn, "ids": [sample.response_ids for sample in drawn], "texts": ["no", "yes", "well", "so"]}[form]
        before = weights(each)
        told = each.step([sample.prompt for sample in drawn], given, [1.0, -1.0, 0.5, 0.0])
        assert told["objective/score"] == 0.125 and not torch.equal(before, weights(each))
        ends.append(weights(each))
    assert torch.equal(ends[0], ends[1])      # token in, token out
    assert not torch.equal(ends[0], ends[2])


def test_responses_of_a_prompt_may_come_in_any_order(loop: Callable[..., OwnLoop]) -> None:
    one, other = loop(algorithm="rloo"), loop(algorithm="rloo")
    one.step(ASKED, ["x", "yy", "z", "w"], [1.0, 2.0, 3.0, 4.0])
    other.step(["a?", "a?", "b?", "b?"], ["x", "z", "yy", "w"], [1.0, 3.0, 2.0, 4.0])
    assert torch.equal(weights(one), weights(other))


def test_what_is_rewarded_becomes_likelier(loop: Callable[..., OwnLoop]) -> None:
    each = loop(algorithm="rloo")

    def likelihood() -> float:
        return sum(each.samples(["a?"], ["yes"])[0].logprobs)
    before = likelihood()
    for _ in range(5):
        each.step(["a?", "a?"], ["yes", "no"], [1.0, 0.0])
    assert likelihood() > before + 0.5


def test_a_text_is_rendered_to_its_end_of_turn_and_measured(loop: Callable[..., OwnLoop]) -> None:
    each = loop()
    said, = each.samples([(Message.of("user", "a?"),)], ["yes"])
    assert said.ended and said.text == "yes" and said.response_ids[-1] == each.template.end_of_turn_id
    assert len(said.logprobs) == len(said.response_ids) and max(said.logprobs) < 0.0
    cut, = each.samples(["a?"], [said.response_ids[:-1]])
    assert not cut.ended and cut.text == "yes" and cut.logprobs == pytest.approx(said.logprobs[:-1], abs=1e-5)


def test_it_goes_on_from_its_state_and_what_it_saves_is_a_model(loop: Callable[..., OwnLoop], tmp_path: Path) -> None:
    one, other = loop(), loop()
    for each in (one, other):
        each.step(ASKED, ["x", "yy", "z", "w"], [1.0, 2.0, 3.0, 4.0])
    again = loop()
    again.load_state(one.state())
    samples = [each.generate(["a?"], per_prompt=2) for each in (other, again)]
    assert [sample.response_ids for sample in samples[0]] == [sample.response_ids for sample in samples[1]]
    for each in (other, again):
        each.step(["a?", "a?"], samples[0], [0.0, 1.0])
    assert torch.equal(weights(other), weights(again))
    other.save(tmp_path / "model")
    saved = load_policy(tmp_path / "model", "fp32", value_head=True)
    own = dict(other.trainer.policy.named_parameters())
    assert all(torch.equal(value, own[name]) for name, value in saved.named_parameters())


@pytest.mark.parametrize(("prompts", "responses", "scores", "error", "said"), [
    (["a"], ["x", "y"], [1.0], DataError, "1 prompts and 2 responses"), ([], [], [], DataError, "at least one"),
    (["a"], [()], [1.0], DataError, "response 0 has no token"), (["a"], ["x"], [], RewardError, "0 scores for 1 samples"),
    (["a"], ["x"], [float("nan")], RewardError, "one finite number each")])
def test_what_does_not_fit_is_refused(loop: Callable[..., OwnLoop], prompts: Any, responses: Any, scores: Any, error: Any,
                                      said: str) -> None:
    with pytest.raises(error, match=said):
        loop().step(prompts, responses, scores)


def test_an_algorithm_that_is_none_is_refused(loop: Callable[..., OwnLoop]) -> None:
    with pytest.raises(ConfigError, match="no algorithm 'pro'"):
        loop(algorithm="pro")
    assert as_prompt("a?") == as_prompt((Message.of("user", "a?"),))
