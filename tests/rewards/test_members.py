"""Several adapters on one trunk: each is the model that its seed makes alone, the trunk is held once, and resume keeps all."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce
from reward_terms import marked, pair, thumb
from safetensors.torch import load_file

from tutelage.errors import ConfigError
from tutelage.models.config import Adapter
from tutelage.models.load import HEADS
from tutelage.project import Project
from tutelage.records import Sample, Term
from tutelage.rewards.config import RewardModel
from tutelage.rewards.ensemble import Ensemble
from tutelage.rewards.lessons import JUDGES_FILE
from tutelage.rewards.members import MEMBERS_FILE, load_reward
from tutelage.rewards.model import RewardScorer
from tutelage.rewards.resolve import resolve_reward, reward_artifacts
from tutelage.rewards.train import train_reward
from tutelage.scoring import MEMBER, SPREAD
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer

Say = Callable[..., Sample]
TERMS: list[Term] = [pair(f"q{i}", f"z{letter}", f"q{letter}") for i, letter in enumerate("abcdefghij")]


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=1e-2),
                              "adapter": Adapter(rank=2), "batch_tokens": 64, "heldout_fraction": 0.2, **changes})
    return build


def test_each_member_is_the_model_of_its_seed_to_the_bit(project: Project, config: Callable[..., RewardModel],
                                                         sample: Say) -> None:
    made = train_reward(project, config(members=3, seed=5, regress_length=True), TERMS)
    samples = [sample("new", text) for text in ("za", "qb", "zzzz")]
    found = load_reward(made.path, "fp32")
    assert isinstance(found, Ensemble)
    scores = found.score(samples)
    for number in range(3):
        alone = train_reward(project, config(name=f"alone{number}", seed=5 + number, regress_length=True), TERMS)
        assert RewardScorer.load(alone.path, "fp32").score(samples).total == scores.parts[f"{MEMBER}{number + 1}"]
        if number == 0:
            for name in (HEADS, "adapter/adapter_model.safetensors", "model.safetensors"):
                assert made.manifest.files[name] == alone.manifest.files[name]
    assert len(set(zip(*(scores.parts[f"{MEMBER}{n}"] for n in (1, 2, 3)), strict=True))) == 3 and min(scores.parts[SPREAD]) > 0


def test_the_total_is_the_mean_less_k_times_the_spread_under_the_names_of_an_ensemble(
        project: Project, config: Callable[..., RewardModel], sample: Say) -> None:
    train_reward(project, config(members=2), TERMS)
    samples = [sample("new", "za"), sample("new", "qb")]
    plain, careful = (resolve_reward(project, name).score.score(samples) for name in ("reward", "rm:reward(k=0.5)"))
    assert set(plain.parts) == {SPREAD, f"{MEMBER}1", f"{MEMBER}2"} and plain.parts == careful.parts
    for at in range(2):
        one, other = plain.parts[f"{MEMBER}1"][at], plain.parts[f"{MEMBER}2"][at]
        assert plain.total[at] == pytest.approx((one + other) / 2)
        assert plain.parts[SPREAD][at] == pytest.approx(abs(one - other) / 2)
        assert careful.total[at] == pytest.approx(plain.total[at] - 0.5 * plain.parts[SPREAD][at])
    assert reward_artifacts(project, "reward(k=0.5)") == reward_artifacts(project, "reward")
    with pytest.raises(ConfigError, match="wanted a number of 0 or more"):
        resolve_reward(project, "reward(k=-1)")
    train_reward(project, config(name="single"), TERMS)
    with pytest.raises(ConfigError, match="has one member, so no spread"):
        resolve_reward(project, "single(k=1)")


def test_asking_one_member_leaves_the_others_as_they_are(project: Project, config: Callable[..., RewardModel],
                                                         sample: Say) -> None:
    made = train_reward(project, config(members=3), TERMS)
    found, samples = load_reward(made.path, "fp32"), [sample("new", "zab")]
    assert isinstance(found, Ensemble)
    first = found.score(samples)
    for member in reversed(found.members):
        member.score(samples)
    assert found.score(samples) == first == load_reward(made.path, "fp32").score(samples)


def test_memory_is_that_of_one_trunk(project: Project, config: Callable[..., RewardModel]) -> None:
    """All members read the same weights, and what is kept of each is its adapter and head, on the disk too."""
    made = train_reward(project, config(members=4), TERMS)
    found = load_reward(made.path, "fp32")
    assert isinstance(found, Ensemble)
    policies = {id(member.policy) for member in found.members if isinstance(member, RewardScorer)}
    trunk = sum(value.numel() for value in found.members[0].policy.parameters())
    own = [sum(value.numel() for value in member.weights.values()) for member in found.members]
    assert len(policies) == 1 and len(set(own)) == 1 and own[0] < trunk / 4
    saved = load_file(made.path / MEMBERS_FILE)
    assert sum(value.numel() for value in saved.values()) == 3 * own[0]
    assert {name.partition(".")[0] for name in saved} == {"2", "3", "4"}


@pytest.mark.parametrize("after", [3, 7])
def test_a_run_that_goes_on_gives_the_same_members(project: Project, tmp_path: Path, config: Callable[..., RewardModel],
                                                   monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Stopped in the first member, and in the second."""
    terms: list[Term] = [*TERMS, *(thumb(f"q{i}", "zz", True, f"p{i % 2}") for i in range(6)), marked("m", "zq", (0, 1, "good"))]
    settings = config(members=2)
    undisturbed = train_reward(Project.init(tmp_path / "other"), settings, terms)
    total = undisturbed.manifest.facts["steps"]
    assert 3 < total < 7 < 2 * total
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    update = InterruptedOnce(fitting.update, after=after)
    monkeypatch.setattr(fitting, "update", update)
    with pytest.raises(InterruptedError):
        train_reward(project, settings, terms)
    made = train_reward(project, settings, terms)
    assert update.calls == 2 * total and made.manifest.files == undisturbed.manifest.files
    assert made.manifest.facts == undisturbed.manifest.facts
    assert not list(project.runs.glob("**/checkpoints"))


def test_facts_are_of_the_mean_and_each_members_accuracy_stands_beside(project: Project,
                                                                       config: Callable[..., RewardModel]) -> None:
    terms: list[Term] = [*TERMS, *(thumb(f"q{i}", "zz", True, f"p{i % 2}") for i in range(6))]
    made = train_reward(project, config(members=2, epochs=4, objective="joint"), terms)
    facts = made.manifest.facts
    assert len(facts["members"]) == 2 and facts["heldout_accuracy"] == 1.0
    learned = json.loads((made.path / JUDGES_FILE).read_text(encoding="utf-8"))
    assert len(learned) == 2 and learned[0]["judges"] != learned[1]["judges"]


def test_members_want_adapters_and_a_trunk_without_one(project: Project, config: Callable[..., RewardModel]) -> None:
    with pytest.raises(ConfigError, match=r"2 members; wanted 1, or more with an adapter each on one trunk \(--adapter.rank 8\)"):
        config(members=2, adapter=Adapter())
    with pytest.raises(ConfigError, match="0 members"):
        config(members=0)
    adapted = train_reward(project, config(name="adapted"), TERMS)
    with pytest.raises(ConfigError, match="has an adapter of its own"):
        train_reward(project, config(model=str(adapted.path), members=2), TERMS)


def test_dropout_and_stopping_early_are_each_members_own(project: Project, config: Callable[..., RewardModel],
                                                         sample: Say) -> None:
    changes: dict[str, Any] = {"adapter": Adapter(rank=2, dropout=0.2), "epochs": 3, "evaluate_every": 1, "patience": 1,
                               "checkpointing": True}
    made = train_reward(project, config(members=2, **changes), TERMS)
    alone = train_reward(project, config(name="alone", seed=1, **changes), TERMS)
    samples = [sample("new", "za")]
    assert load_reward(made.path, "fp32").score(samples).parts[f"{MEMBER}2"] == RewardScorer.load(
        alone.path, "fp32").score(samples).total


def test_a_member_in_bf16_is_the_model_of_its_seed_too(project: Project, config: Callable[..., RewardModel], sample: Say) -> None:
    made = train_reward(project, config(members=2, precision="bf16"), TERMS)
    alone = train_reward(project, config(name="alone", seed=1, precision="bf16"), TERMS)
    one, other = load_file(made.path / MEMBERS_FILE), load_file(alone.path / HEADS)
    assert all(torch.equal(one[f"2.{name}"], value) for name, value in other.items())
    assert load_reward(made.path, "bf16").score([sample("new", "za")]).parts[f"{MEMBER}2"] == RewardScorer.load(
        alone.path, "bf16").score([sample("new", "za")]).total
