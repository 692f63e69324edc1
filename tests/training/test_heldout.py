"""Looks at held-out rows between steps: they change no weight, end training in time, and give the best weights back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from interruption import InterruptedOnce

from tutelage.data.chat import ChatTemplate
from tutelage.data.loader import collate
from tutelage.errors import ConfigError, DataError
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.project import Artifact, Project
from tutelage.records import Instruction
from tutelage.runs.metrics import read_metrics
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.heldout import kept_out
from tutelage.tuning import sft as stage
from tutelage.tuning.config import SFT
from tutelage.tuning.sft import sft

WORDS = ("river", "lamp", "baker", "winter", "train", "song", "stone", "letter", "garden", "violin", "harbour", "mirror")
ROWS = [(f"what of the {word}, number {n * n}?", word[::-1]) for n, word in enumerate(WORDS)]
Ask = Callable[..., SFT]


@pytest.fixture
def ask(tiny_directory: Path, instructions: Callable[..., str]) -> Ask:
    def build(rows: Any = ROWS, **changes: Any) -> SFT:
        return SFT(**{"model": str(tiny_directory), "data": instructions(rows), "precision": "fp32", "epochs": 3,
                      "batch_tokens": 300, "max_length": 200, "heldout_fraction": 0.3, "optimizer": Optimizer(lr=1e-2),
                      **changes})
    return build


def overfitted(ask: Ask, **changes: Any) -> SFT:
    """What is kept out is not learned from the others, so its loss soon rises."""
    return ask(epochs=40, optimizer=Optimizer(lr=3e-2, schedule="constant", warmup_fraction=0.0),
               **{"evaluate_every": 2, "patience": 3, **changes})


def weights(made: Artifact) -> str:
    return made.manifest.files["model.safetensors"]


def looks(project: Project) -> list[tuple[int, float]]:
    run, = project.runs.iterdir()
    return [(int(line["step"]) + 1, line["eval/loss"]) for line in read_metrics(run / "metrics.jsonl") if "eval/loss" in line]


def test_looking_changes_no_weight(project: Project, tmp_path: Path, ask: Ask, instructions: Callable[..., str]) -> None:
    """Looked at after each step, after every second, at the ends of epochs, and not at all, in a run without these rows."""
    made = [sft(Project.init(tmp_path / name), ask(**changes)) for name, changes in
            (("every", {"evaluate_every": 1}), ("ends", {}), ("other", {"evaluate_every": 2}))]
    chosen = kept_out([prompt for prompt, _ in ROWS], 0.3, 0)
    assert 0 < len(chosen) < len(ROWS)
    alone = sft(project, ask([row for place, row in enumerate(ROWS) if place not in chosen], heldout_fraction=0.0))
    assert {weights(each) for each in made} == {weights(alone)}
    assert made[0].manifest.facts["heldout_rows"] == len(chosen) and "heldout_rows" not in alone.manifest.facts
    assert made[0].manifest.facts["heldout_loss"] == made[1].manifest.facts["heldout_loss"]


def test_looks_come_when_they_are_asked_for(project: Project, tmp_path: Path, ask: Ask) -> None:
    first = sft(project, ask(evaluate_every=4))
    steps = first.manifest.facts["steps"]
    assert steps % 4 and [step for step, _ in looks(project)] == [*range(4, steps, 4), steps]
    other = Project.init(tmp_path / "other")
    sft(other, ask())
    assert [step for step, _ in looks(other)] == [steps // 3, 2 * (steps // 3), steps]


def test_training_ends_when_nothing_better_is_found_and_the_best_weights_are_saved(project: Project, ask: Ask,
                                                                                   tiny_directory: Path) -> None:
    made = sft(project, overfitted(ask))
    facts, seen = made.manifest.facts, looks(project)
    best = min(seen, key=lambda each: each[1])
    assert (facts["best_step"], facts["heldout_loss"]) == best and best[0] > 2
    assert seen[-1][0] == best[0] + 3 * 2 == facts["steps"]      # three looks, two steps apart, after the best one
    template = ChatTemplate.load(made.path, load_tokenizer(made.path))
    apart = sorted(kept_out([prompt for prompt, _ in ROWS], 0.3, 0))
    records = [Instruction.from_json({"id": str(place), "messages": [
        {"role": role, "content": [{"type": "text", "text": text}]} for role, text in
        zip(("user", "assistant"), ROWS[place], strict=True)]}) for place in apart]
    batch = collate([template.render(record.messages) for record in records])
    assert float(-load_policy(made.path, "fp32").evaluate_logprobs(batch).mean()) == pytest.approx(best[1], abs=1e-5)


@pytest.mark.parametrize("dies", ["in step 7", "after a look without checkpoints", "before the artifact"])
def test_a_run_that_is_killed_ends_with_the_same_best_weights(project: Project, tmp_path: Path, ask: Ask, dies: str,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    config = overfitted(ask)
    undisturbed = sft(Project.init(tmp_path / "other"), config)
    with monkeypatch.context() as patch:
        patch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 1e9 if "without" in dies else 0.0)
        if dies == "before the artifact":
            patch.setattr(stage, "save_policy", InterruptedOnce(stage.save_policy, 0))
        else:
            patch.setattr(fitting, "update", InterruptedOnce(fitting.update, 6 if dies == "in step 7" else 9))
        with pytest.raises(InterruptedError):
            sft(project, config)
    assert project.artifacts() == []
    made = sft(project, config)
    assert made.manifest.files == undisturbed.manifest.files and made.manifest.facts == undisturbed.manifest.facts


def test_prompts_that_are_nearly_the_same_are_kept_out_together() -> None:
    long = "Tell me in a few plain words what people mean when they say that a piece of music is written in a minor key"
    prompts = [f"{long}{end}" for end in (".", "!", " .", "?")] + [prompt for prompt, _ in ROWS]
    sides = {frozenset(kept_out(prompts, 0.3, seed) & {0, 1, 2, 3}) for seed in range(12)}
    assert sides == {frozenset(), frozenset({0, 1, 2, 3})}
    with pytest.raises(DataError, match="nothing can be kept out of 4 rows"):
        kept_out(prompts[:4], 0.3, 0)


def test_settings_that_cannot_be_are_refused(ask: Ask) -> None:
    for changes in ({"heldout_fraction": 1.0}, {"evaluate_every": -1}, {"patience": -1}):
        with pytest.raises(ConfigError, match="must be in"):
            ask(**changes)
    with pytest.raises(ConfigError, match="heldout_fraction is 0"):
        replace(ask(), heldout_fraction=0.0, evaluate_every=5)

