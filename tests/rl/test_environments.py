"""Turns: one is the case of one, the tool's words are seen and not learned, and two are learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import TemplateError
from tutelage.generation.engine import Engine
from tutelage.messages import Message
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.records import Prompt, Sample, Sampling
from tutelage.rewards.callables import CallableReward
from tutelage.rl.environments import Calculator, SingleTurn, go_on, play, words_between
from tutelage.rl.presets import PRESETS

PLAIN = replace(PRESETS["reinforce"], kl_coef=0.0)


def asked(text: str) -> Prompt:
    return Prompt(id=text, messages=(Message.of("user", text),))


def evens(samples: Sequence[Sample]) -> list[float]:
    return [sum(token % 2 == 0 for token in sample.response_ids) / len(sample.response_ids) for sample in samples]


def said(text: str) -> Sample:
    return Sample(id="s", prompt=asked("q"), prompt_ids=(1,), response_ids=(2,), logprobs=(0.0,), response_mask=(True,),
                  text=text, ended=True)


@pytest.mark.parametrize(("text", "result"), [
    ("12+30", "42"), (" 7 * 8 ", "56"), ("3-5", "-2"), ("2**9", "error"), ("__import__('os')", "error"), ("", "error"),
    ("9999999999*2", "error")])
def test_the_calculator_calculates_and_runs_nothing(text: str, result: str) -> None:
    calculator = Calculator(CallableReward(lambda samples: [float(samples[0].text == "42")]))
    prompt = calculator.reset(asked("q"))
    following, reward = calculator.step(replace(said(text), prompt=prompt))
    assert following is not None and reward == 0.0
    assert [(each.role, each.text) for each in following.messages] == [("user", "q"), ("assistant", text), ("tool", result)]
    assert calculator.step(replace(said("42"), prompt=following)) == (None, 1.0)


def test_a_single_turn_is_the_case_of_one_step(template: ChatTemplate, prompts: list[Prompt]) -> None:
    """The ids, masks and logprobs are those of a sample with the same random numbers."""
    engine = Engine(Policy(tiny_model(initializer_range=0.3)), template)
    sampling = Sampling(max_new_tokens=6, temperature=0.0)
    reward = CallableReward(evens)
    samples, earned = play(engine, lambda: SingleTurn(reward), prompts, sampling, 2)
    plain = engine.generate(prompts, sampling, 2)
    for one, other in zip(samples, plain, strict=True):
        for name in ("response_ids", "prompt_ids", "response_mask", "text", "ended"):
            assert getattr(one, name) == getattr(other, name)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-6)
    assert earned == evens(plain)


def two_turns(template: ChatTemplate, per_prompt: int = 2, **changes: Any) -> tuple[Engine, list[Sample], list[float]]:
    engine = Engine(Policy(tiny_model(initializer_range=0.3)), template)
    prompts = [asked("1+2"), asked("30*4")]
    reward = CallableReward(evens)
    return engine, *play(engine, lambda: Calculator(reward), prompts, Sampling(max_new_tokens=5, seed=3, **changes), per_prompt)


def test_a_conversation_is_what_the_policy_sampled_and_what_the_template_writes_between(template: ChatTemplate) -> None:
    _, samples, earned = two_turns(template)
    again = two_turns(template)[1]
    tool = template.tokenizer("<|im_end|>\n<|im_start|>tool\nerror<|im_end|>\n<|im_start|>assistant\n").input_ids
    for sample, other in zip(samples, again, strict=True):
        assert sample == other
        inner = [token for token, chosen in zip(sample.response_ids, sample.response_mask, strict=True) if not chosen]
        assert inner in (tool, tool[1:])      # with an end of turn of its own where the turn was cut
        assert sum(sample.response_mask) <= 10 and sample.response_mask[-1] and sample.response_mask[0]
        outside = [logprob for logprob, chosen in zip(sample.logprobs, sample.response_mask, strict=True) if not chosen]
        assert set(outside) == {0.0}
    assert len({sample.response_ids for sample in samples}) == 4 and len(earned) == 4


def test_the_engines_logprobs_are_the_trainers_across_turns(template: ChatTemplate, trainer: Any) -> None:
    _, samples, _ = two_turns(template)
    fast = trainer(PLAIN)
    rollout = fast._rollout(samples, [0.0] * 4, fast._pack(samples))
    mask = rollout.response_mask
    assert mask.sum(1).tolist() == [sum(sample.response_mask) for sample in samples]
    assert torch.allclose(rollout.extras["engine_logprobs"][mask], rollout.old_logprobs[mask], atol=1e-4)


def gradient_by_hand(samples: Sequence[Sample], scores: Sequence[float], everything: bool) -> torch.Tensor:
    """Of the embeddings, from transformers' own forward: - the sum of score times logprob over tokens that count, over their
    number."""
    model = tiny_model(initializer_range=0.3)
    model.get_input_embeddings().padding_idx = None      # the end of turn is the pad token, and is learned like any other
    total, count = torch.zeros(()), 0
    for sample, score in zip(samples, scores, strict=True):
        ids = torch.tensor([*sample.prompt_ids, *sample.response_ids])
        logprobs = model(input_ids=ids[None]).logits[0].log_softmax(-1)
        for place, chosen in enumerate(sample.response_mask):
            if chosen or everything:
                at = len(sample.prompt_ids) + place
                total = total - score * logprobs[at - 1, ids[at]]
                count += 1
    (total / count).backward()
    weight = model.get_input_embeddings().weight
    assert weight.grad is not None
    return weight.grad


def test_the_tools_tokens_give_no_gradient(template: ChatTemplate, trainer: Any, gradient: Any) -> None:
    _, samples, _ = two_turns(template)
    scores = [1.0, -0.5, 2.0, 0.25]
    fast = trainer(PLAIN)
    fast.step(samples, scores)
    ours = next(value for name, value in gradient(fast).items() if "embed" in name)
    assert torch.allclose(ours, gradient_by_hand(samples, scores, everything=False), atol=1e-4)
    assert not torch.allclose(ours, gradient_by_hand(samples, scores, everything=True), atol=1e-1)


def test_an_environment_that_does_not_go_on_from_the_response_is_refused(template: ChatTemplate) -> None:
    with pytest.raises(TemplateError, match="must go on from the policy's response"):
        words_between(template, asked("q"))
    assert go_on(said("x"), Message.of("tool", "y")).messages[-1].text == "y"


@pytest.mark.slow
def test_two_turns_are_learned(template: ChatTemplate, trainer: Any) -> None:
    """Both turns earn: the answer's share of even ids, where the calculation's first token is even too. By chance a quarter."""
    class Both(Calculator):
        def step(self, sample: Sample) -> tuple[Prompt | None, float]:
            first = not self.called
            following, reward = super().step(sample)
            if first:
                self.even = sample.response_ids[0] % 2 == 0
            return following, reward * self.even

    fast = trainer(replace(PRESETS["rloo"], kl_coef=0.0), lr=1e-2, betas=(0.9, 0.95))
    engine, prompts, reward = Engine(fast.policy, template), [asked(f"{n}+{n}") for n in range(8)], CallableReward(evens)

    def drawn(seed: int) -> tuple[list[Sample], list[float]]:
        return play(engine, lambda: Both(reward), prompts, Sampling(max_new_tokens=3, seed=seed), 8)

    start = sum(drawn(10_000)[1]) / 64
    for step in range(40):
        fast.step(*drawn(step))
    end = sum(drawn(10_001)[1]) / 64
    assert start <= 0.4 and end >= 0.9
