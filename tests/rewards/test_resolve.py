"""Rewards by name, alone and several at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import ArtifactError, ConfigError, ModelError, RewardError
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.protocols import ChecksPrompts, Score
from tutelage.records import Sample
from tutelage.rewards.classifiers import ClassifierReward
from tutelage.rewards.http import EndpointReward
from tutelage.rewards.resolve import resolve_reward, resolve_rewards
from tutelage.rewards.rules import RuleReward
from tutelage.rewards.weighted import WeightedReward
from tutelage.scoring import Scoring

Say = Callable[..., Sample]


def length(samples: Sequence[Sample]) -> list[float]:
    return [float(len(sample.text)) for sample in samples]


def shaky(samples: Sequence[Sample]) -> list[float | None]:
    return [None if sample.text == "b" else 1.0 for sample in samples]


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    directory = tmp_path / "sentiment"
    model = tiny_model("bert", classes=2, num_key_value_heads=None)
    model.config.id2label, model.config.label2id = {0: "bad", 1: "good"}, {"bad": 0, "good": 1}
    model.save_pretrained(directory)
    tiny_tokenizer().save_pretrained(directory)
    return directory


def test_each_name_is_what_it_says_and_the_manifest_says_it_too(project: Project, tmp_path: Path, classifier: Path) -> None:
    (tmp_path / "own.py").write_text("def score(samples):\n    return [1.0] * len(samples)\n")
    found = resolve_reward(project, f"{classifier}[good](as=probability)")
    assert isinstance(found.score, ClassifierReward) and found.name == "sentiment[good]" and "reward sentiment" in found.sources
    found = resolve_reward(project, "rule:tags(think, answer)")
    assert isinstance(found.score, RuleReward) and isinstance(found.score, ChecksPrompts)
    assert found.name == "rule:tags(think, answer)"
    found = resolve_reward(project, "https://rewards.example/v1")
    assert isinstance(found.score, EndpointReward) and found.sources == {"reward https://rewards.example/v1": "remote"}
    found = resolve_reward(project, f"{tmp_path}/own.py:score")
    assert found.name == "own.py:score" and len(found.sources["reward own.py:score"]) == 64
    found = resolve_reward(project, length)
    assert isinstance(found.score, Score) and found.name == "length"


@pytest.mark.parametrize(("name", "error", "said"), [
    ("rule:none", ConfigError, "There are: exact, answer, regex, json, tags, tests"), ("helpful", ArtifactError, "helpful"),
    ("rm:helpful", ArtifactError, "helpful"), ("else:what", RewardError, "Others are rule:NAME"),
    ("nothing[good]", ModelError, "no model 'nothing'"), ("http://", ConfigError, "is no address"),
    ("own.py:score", RewardError, "no file 'own.py'"), ("x[y", ConfigError, "cannot be read")])
def test_what_names_nothing_is_refused_with_what_there_is(project: Project, name: str, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        resolve_reward(project, name)


def test_several_are_a_weighted_sum_whose_parts_are_told(project: Project, sample: Say) -> None:
    found = resolve_rewards(project, [length, "rule:regex('^a')", length], [0.5, 2.0, -1.0], ["rule:regex('z')"])
    assert isinstance(found.score, WeightedReward) and found.name == "length + rule:regex('^a') + length 2"
    scores = found.score.score([sample("p", "abc"), sample("p", "zz")])
    assert scores.total == (0.5 * 3 + 2.0 - 3, 0.5 * 2 + 0.0 - 2)
    assert scores.parts == {"length": (3.0, 2.0), "rule:regex('^a')": (1.0, 0.0), "length 2": (3.0, 2.0)}
    assert scores.costs == {"rule:regex('z')": (0.0, 1.0)}
    assert isinstance(resolve_rewards(project, ["rule:json"]).score, RuleReward)      # one is itself


def test_a_sample_that_one_part_skips_is_skipped(project: Project, sample: Say) -> None:
    found = resolve_rewards(project, [length, shaky], scoring=Scoring(on_error="skip"))
    scores = found.score.score([sample("p", "a"), sample("p", "b")])
    assert set(scores.skipped) == {1} and "shaky() returned nothing" in scores.skipped[1]
    assert scores.total[0] == 2.0 and scores.total[1] != scores.total[1]


def test_what_a_rule_needs_of_prompts_is_looked_for_in_all_parts(project: Project, sample: Say) -> None:
    found = resolve_rewards(project, [length, "rule:exact"])
    with pytest.raises(RewardError, match="which 1 of 1 prompts do not have"):
        found.score.check([sample("p", "x").prompt])      # type: ignore[attr-defined]


@pytest.mark.parametrize(("rewards", "weights", "said"), [
    ([], [], "no reward is named"), ([""], [], "no reward is named"), (["rule:json"], [1.0, 2.0], "2 weights for 1 rewards")])
def test_sums_that_are_none_are_refused(project: Project, rewards: list[str], weights: list[float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        resolve_rewards(project, rewards, weights)
