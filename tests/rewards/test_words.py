"""What critiques say, predicted beside the scores: off unless asked for, the words alone, and the trunk alone learns of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from interruption import InterruptedOnce
from reward_terms import asked, critique, pair, thumb

import tutelage
from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ConfigError, DataError
from tutelage.feedback.kinds import new_judgment
from tutelage.models.load import load_policy, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Critique, Prompt, Sample, Term
from tutelage.rewards.config import Annotators, RewardModel
from tutelage.rewards.joint import Joint
from tutelage.rewards.judges import Judges
from tutelage.rewards.terms import book_of
from tutelage.rewards.train import train_reward
from tutelage.store import Store
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.training.pairs import group_judged
from tutelage.training.responses import render_critique

EXACT = Annotators(reliability=0, thresholds=0, loading=0, offset=0)
TERMS: list[Term] = [pair("p", "good", "bad"), critique("p", "bad", "Say why."), thumb("q", "yes", True),
                     critique("q", "yes", "Too short to be of use.", weight=3.0)]


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=3e-3), **changes})
    return build


def task_of(judge: Callable[..., Policy], template: ChatTemplate, terms: Sequence[Term],
            coefficient: float) -> tuple[Joint, Policy]:
    policy, book = judge(), book_of(terms, (), EXACT)
    policy.add_module("judges", Judges(book, EXACT))
    return Joint(group_judged(terms, template, 200)[0], book, EXACT, 0.0, True, critique_lm=coefficient), policy


def step(task: Joint, policy: Policy, parts: Sequence[Sequence[int]]) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    masters = Masters(policy, Optimizer(betas=(0.0, 0.0), max_grad_norm=0.0), 1)
    metrics = update(masters, [task.collate(rows) for rows in parts], task)
    return metrics, {name: value["exp_avg"] for name, value in masters.state()["moments"].items()}


def test_the_words_cost_their_log_probability_after_prompt_and_response(judge: Callable[..., Policy],
                                                                        template: ChatTemplate) -> None:
    """By another way: each conversation alone, and transformers' own logits. Tokens count by their critique's weight."""
    task, policy = task_of(judge, template, TERMS, 0.5)
    total = count = 0.0
    for term in TERMS:
        if isinstance(term, Critique):
            row = render_critique(term, template)
            with torch.no_grad():
                alone = policy.evaluate_logprobs(TokenBatch.pack([row.ids], [row.response_mask]))
            assert len(alone) == len(term.text) + 1
            total, count = total - term.weight * float(alone.double().sum()), count + term.weight * len(alone)
    metrics, _ = step(task, policy, [[0, 1]])
    assert metrics["words"] == pytest.approx(total / count, rel=1e-5)
    assert metrics["loss"] == pytest.approx(metrics["judgments"] + 0.5 * metrics["words"], rel=1e-5)


def test_scores_are_those_without_the_words(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    (task, policy), (plain, other) = task_of(judge, template, TERMS, 0.0), task_of(judge, template, [TERMS[0], TERMS[2]], 0.0)
    (metrics, gradient), (wanted, alone) = step(task, policy, [[0, 1]]), step(plain, other, [[0, 1]])
    assert metrics["judgments"] == pytest.approx(wanted["judgments"], rel=1e-5) and metrics["correct"] == wanted["correct"]
    assert plain.scores_only and not task.scores_only
    torch.testing.assert_close(gradient["score_head.linear.weight"], alone["score_head.linear.weight"], atol=1e-6, rtol=1e-5)


def test_loss_and_gradient_do_not_depend_on_how_a_step_is_cut(judge: Callable[..., Policy], template: ChatTemplate) -> None:
    terms = [*TERMS, thumb("r", "no words", False)]
    (whole, gradient), (cut, again) = (step(*task_of(judge, template, terms, 0.7), parts)
                                       for parts in ([[0, 1, 2]], [[2], [1], [0]]))
    assert whole["loss"] == pytest.approx(cut["loss"], rel=1e-5)
    for name, value in gradient.items():
        torch.testing.assert_close(again[name], value, atol=2e-5, rtol=1e-4, msg=name)


def spoken(count: int) -> list[Term]:
    """A z is good, and critiques say so."""
    draw, terms = random.Random(0), []
    for i in range(count):
        good, bad = (f"{draw.choice('ab')}{letter}{draw.choice('ab')}" for letter in "zq")
        terms += [pair(f"q{i}", good, bad), critique(f"q{i}", bad, "It has a q.")]
    return terms


def test_critiques_are_learned_by_the_trunk_and_leave_the_language_head_alone(
        project: Project, config: Callable[..., RewardModel], tmp_path: Path) -> None:
    save_policy(Policy(tiny_model(tie_word_embeddings=False, initializer_range=0.3)), tiny_tokenizer(), tmp_path / "untied")
    settings = config(model=str(tmp_path / "untied"), critique_lm=1.0, epochs=6, batch_tokens=1024, optimizer=Optimizer(lr=1e-2))
    made = train_reward(project, settings, spoken(40))
    facts = made.manifest.facts
    assert facts["objective"] == "joint" and facts["judgments"]["words"]["train"] > 30 and facts["heldout_accuracy"] == 1.0
    rows = [json.loads(line) for path in project.runs.glob("reward-*/metrics.jsonl") for line in path.read_text().splitlines()]
    assert rows[-1]["words"] < 0.6 * rows[0]["words"] and "eval/words" in rows[-1]
    before, after = load_policy(tmp_path / "untied", "fp32"), load_policy(made.path, "fp32")
    assert torch.equal(before.model.lm_head.weight, after.model.lm_head.weight)
    assert not torch.equal(before.model.model.norm.weight, after.model.model.norm.weight)


def test_words_are_left_out_by_default_and_alone_are_no_reward_model(project: Project,
                                                                     config: Callable[..., RewardModel]) -> None:
    facts = train_reward(project, config(heldout_fraction=0.0), spoken(4)).manifest.facts
    assert facts["objective"] == "bradley_terry" and facts["left_out"] == {"words": 4}
    with pytest.raises(DataError, match="none that says how good a response is"):
        train_reward(project, config(critique_lm=1.0), [term for term in spoken(4) if isinstance(term, Critique)])
    with pytest.raises(ConfigError, match=r"critique_lm 1\.0 must be >= 0, and above 0 it wants the objective joint"):
        config(critique_lm=1.0, objective="bradley_terry")


def test_a_row_with_a_critique_and_a_revision_trains_by_both(project: Project, config: Callable[..., RewardModel],
                                                             tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": "c", "response": "q", "critique": "No z.", "revision": "z"},
            {"prompt": "d", "response": "q", "critique": "No z again."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    made = train_reward(project, config(data=str(path), heldout_fraction=0.0, critique_lm=1.0))
    assert {name: each["train"] for name, each in made.manifest.facts["judgments"].items()} == {"critique": 1, "words": 2}
    alone = train_reward(project, config(data=str(path), heldout_fraction=0.0, sources=("critique",), critique_lm=1.0))
    assert set(alone.manifest.facts["judgments"]) == {"critique"} and alone.manifest.facts["left_out"] == {"words": 2}


def test_it_goes_on_bit_for_bit_from_a_checkpoint(project: Project, tmp_path: Path, config: Callable[..., RewardModel],
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    terms, settings = spoken(8), config(epochs=2, batch_tokens=256, critique_lm=0.5)
    undisturbed = train_reward(Project.init(tmp_path / "other"), settings, terms)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(fitting, "update", InterruptedOnce(fitting.update, after=3))
    with pytest.raises(InterruptedError):
        train_reward(project, settings, terms)
    assert train_reward(project, settings, terms).manifest.files == undisturbed.manifest.files


def test_the_projects_own_critiques_train_where_that_is_asked(project: Project, tiny_directory: Path) -> None:
    question = Prompt(id="q", messages=asked("What?"))
    with Store.open(project.store_place) as store:
        store.add_person("ada", "human", "Ada")
        store.add_samples([Sample(id=text, prompt=question, prompt_ids=(), response_ids=(), logprobs=(), response_mask=(),
                                  text=text, ended=True) for text in ("good", "bad")])
        store.add_judgments([new_judgment("comparison", "ada", "human", question, ("good", "bad"),
                                          {"winner": "a", "strength": 1}),
                             new_judgment("critique", "ada", "human", question, ("bad",), {"text": "Be good."}),
                             new_judgment("critique", "ada", "human", question, ("good", "bad"), {"text": "Of both."})])
    settings: dict[str, Any] = {"model": str(tiny_directory), "heldout_fraction": 0.0, "precision": "fp32"}
    plain = tutelage.reward(project, name="plain", **settings).manifest.facts
    assert plain["objective"] == "bradley_terry"
    facts = tutelage.reward(project, name="words", critique_lm=0.1, **settings).manifest.facts
    assert {name: each["train"] for name, each in facts["judgments"].items()} == {"comparison": 1, "words": 1}
