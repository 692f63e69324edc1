"""The DPO family and reward models look at held-out judgments between steps, too."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from interruption import InterruptedOnce

from tutelage.data.fingerprints import prompt_key
from tutelage.errors import DataError
from tutelage.project import Artifact, Project
from tutelage.records import Preference
from tutelage.rewards.config import RewardModel
from tutelage.rewards.train import train_reward
from tutelage.runs.metrics import read_metrics
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.heldout import kept_out
from tutelage.tuning.config import Preferences
from tutelage.tuning.preference import preference as preference_stage

WORDS = ("river", "lamp", "baker", "winter", "train", "song", "stone", "letter")


@pytest.fixture
def terms(preference: Callable[..., Preference]) -> list[Preference]:
    return [preference(f"what of the {word}, number {n * n}?", word[::-1], word[:2] * 3) for n, word in enumerate(WORDS)]


@pytest.fixture
def ask(tiny_directory: Path) -> Callable[..., Preferences]:
    def build(**changes: Any) -> Preferences:
        return Preferences(**{"model": str(tiny_directory), "precision": "fp32", "epochs": 3, "batch_tokens": 250,
                              "max_length": 200, "heldout_fraction": 0.4, "optimizer": Optimizer(lr=1e-2), **changes})
    return build


def metrics(project: Project) -> list[dict[str, float]]:
    run, = project.runs.iterdir()
    return read_metrics(run / "metrics.jsonl")


@pytest.mark.parametrize("loss", ["dpo", "simpo", "kto"])
def test_looking_changes_no_weight(project: Project, tmp_path: Path, ask: Any, terms: list[Preference], loss: Any) -> None:
    watched = preference_stage(project, ask(loss=loss, evaluate_every=1), terms)
    chosen = kept_out([prompt_key(term) for term in terms], 0.4, 0)
    assert 2 <= len(chosen) < len(terms)
    rest = [term for place, term in enumerate(terms) if place not in chosen]
    alone = preference_stage(Project.init(tmp_path / "alone"), ask(loss=loss, heldout_fraction=0.0), rest)
    assert watched.manifest.files["model.safetensors"] == alone.manifest.files["model.safetensors"]
    assert all("eval/loss" in line for line in metrics(project))
    left = {path.name for path in next(project.runs.iterdir()).iterdir()}
    assert left == {"config.toml", "metrics.jsonl", "run.json", "speed.jsonl"}


def test_the_reference_of_what_is_kept_out_is_the_policy_before_the_first_step(project: Project, ask: Any,
                                                                              terms: list[Preference]) -> None:
    """A policy that has hardly moved is at its reference: every gap is 0 and every pair costs log 2."""
    made = preference_stage(project, ask(optimizer=Optimizer(lr=1e-9), epochs=1), terms)
    last = metrics(project)[-1]
    assert made.manifest.facts["heldout_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert last["eval/margin"] == pytest.approx(0.0, abs=1e-5) and last["eval/chosen_logprob"] < -10


def test_pairs_stop_early_and_resume_to_the_same_best(project: Project, tmp_path: Path, ask: Any, terms: list[Preference],
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    config = ask(epochs=30, evaluate_every=1, patience=2, optimizer=Optimizer(lr=3e-2))
    undisturbed = preference_stage(Project.init(tmp_path / "other"), config, terms)
    facts = undisturbed.manifest.facts
    assert facts["steps"] == facts["best_step"] + 2 and facts["heldout_loss"] < math.log(2)
    with monkeypatch.context() as patch:
        patch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
        patch.setattr(fitting, "update", InterruptedOnce(fitting.update, facts["best_step"] + 1))
        with pytest.raises(InterruptedError):
            preference_stage(project, config, terms)
    made = preference_stage(project, config, terms)
    assert made.manifest.files == undisturbed.manifest.files and made.manifest.facts == facts


def test_kept_out_thumbs_of_one_kind_are_refused_with_what_to_do(project: Project, ask: Any, terms: list[Preference]) -> None:
    with pytest.raises(DataError, match=r"what is kept out cannot be looked at: kto needs .* raise heldout_fraction"):
        preference_stage(project, ask(loss="kto", heldout_fraction=0.01), terms)


def reward(project: Project, directory: Path, terms: list[Preference], **changes: Any) -> Artifact:
    return train_reward(project, RewardModel(**{
        "model": str(directory), "precision": "fp32", "epochs": 6, "batch_tokens": 250, "max_length": 200,
        "heldout_fraction": 0.4, "optimizer": Optimizer(lr=1e-2), **changes}), terms)


def test_a_reward_model_is_watched_and_restored(project: Project, tmp_path: Path, tiny_directory: Path,
                                                terms: list[Preference]) -> None:
    plain = reward(Project.init(tmp_path / "plain"), tiny_directory, terms)
    every = reward(Project.init(tmp_path / "every"), tiny_directory, terms, evaluate_every=1)
    assert plain.manifest.files == every.manifest.files
    made = reward(project, tiny_directory, terms, evaluate_every=1, patience=2, epochs=30, optimizer=Optimizer(lr=5e-2))
    seen = [line["eval/loss"] for line in metrics(project)]
    assert made.manifest.facts["heldout_loss"] == min(seen) and made.manifest.facts["best_step"] == seen.index(min(seen)) + 1
    assert made.manifest.facts["best_step"] < made.manifest.facts["steps"] == len(seen)
