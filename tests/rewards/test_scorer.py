"""A reward model at work: what was sampled is what is scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.errors import ArtifactError, RewardError
from tutelage.models.policy import Policy
from tutelage.protocols import Score
from tutelage.records import Sample
from tutelage.rewards.model import RewardScorer, score_sequences

Say = Callable[..., Sample]


def test_the_ids_that_were_sampled_are_scored(sample: Say, template: ChatTemplate, judge: Callable[..., Policy]) -> None:
    """trl#5224, verl#6921: ids made again from text are other ids. A byte that is no UTF-8 alone decodes to U+FFFD."""
    scorer = RewardScorer(judge(), template)
    assert isinstance(scorer, Score)
    end = template.end_of_turn_id
    sampled = sample("p", "�", ids=(200, end))
    again = sample("p", "�")
    assert sampled.response_ids != again.response_ids
    one, other = scorer.score([sampled, again]).total
    assert abs(one - other) > 1e-3
    prompt = sampled.prompt_ids
    assert scorer.score([sampled]).total[0] == pytest.approx(
        raw(scorer.policy, (*prompt, 200, end), len(prompt)), abs=1e-5)


def raw(policy: Policy, ids: tuple[int, ...], prompt_length: int) -> float:
    return float(score_sequences(policy, [ids], [prompt_length])[0])


def test_samples_of_another_tokenizer_are_rendered_from_their_text(sample: Say, template: ChatTemplate,
                                                                   judge: Callable[..., Policy]) -> None:
    scorer = RewardScorer(judge(), template)
    here = sample("p", "yes")
    foreign = sample("p", "yes", ids=(1, 2), prompt_ids=(5, 6))
    assert scorer.score([here]).total == pytest.approx(scorer.score([foreign]).total, abs=1e-5)


def test_scores_are_standardised(sample: Say, template: ChatTemplate, judge: Callable[..., Policy]) -> None:
    policy = judge()
    samples = [sample("p", text) for text in ("a", "bb", "ccc")]
    plain = torch.tensor(RewardScorer(policy, template).score(samples).total)
    scaled = torch.tensor(RewardScorer(policy, template, mean=2.0, std=0.5).score(samples).total)
    assert torch.allclose(scaled, (plain - 2.0) / 0.5, atol=1e-5)


def test_a_score_that_is_no_number_names_its_sample(sample: Say, template: ChatTemplate, judge: Callable[..., Policy]) -> None:
    policy = judge()
    torch.nn.init.constant_(policy.score_head.linear.bias, float("nan"))
    with pytest.raises(RewardError, match=r"no finite score for 2 of 2 samples \(first: s1\)"):
        RewardScorer(policy, template).score([sample("p", "a", "s1"), sample("p", "b", "s2")])


def test_a_model_without_a_scale_is_no_reward_model(tiny_directory: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a reward model"):
        RewardScorer.load(tiny_directory, "fp32")
