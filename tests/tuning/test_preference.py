"""The DPO family on a tiny model: held to transformers' own padded forward, and from a file to an artifact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from interruption import InterruptedOnce
from torch import Tensor

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.data.loader import Schedule
from tutelage.errors import ConfigError, DataError, PreflightError
from tutelage.messages import Message
from tutelage.models.config import Adapter
from tutelage.models.load import load_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model
from tutelage.project import Project
from tutelage.records import Preference, Thumb
from tutelage.runs.metrics import read_metrics
from tutelage.training import fit as fitting
from tutelage.training.config import Optimizer
from tutelage.training.lanes import Lanes
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.training.pairs import group_pairs
from tutelage.training.responses import render_to_end_of_turn
from tutelage.tuning import preference as module
from tutelage.tuning import reference
from tutelage.tuning.config import Preferences
from tutelage.tuning.pairs import PER_TOKEN, Pairs
from tutelage.tuning.preference import preference as preference_stage
from tutelage.tuning.singles import Singles

PAIRS = [("a?", "one", "three hundred"), ("a?", "one", "uno"), ("b?", "two", "deux"), ("c?", "a longer one", "three")]
Prefer = Callable[..., Preference]


@pytest.fixture
def terms(preference: Prefer) -> list[Preference]:
    """With a soft label, a draw and a pair that two people judged; the first prompt's better response stands twice."""
    more: list[dict[str, Any]] = [{}, {"label": 0.7}, {"weight": 2.0}, {"label": 0.5}]
    return [preference(*pair, **each) for pair, each in zip(PAIRS, more, strict=True)]


def policies() -> tuple[Policy, Policy]:
    """The policy that is trained and another one as its reference."""
    return Policy(tiny_model(noise=0.2)), Policy(tiny_model(noise=0.2, seed=1))


def own_sum(policy: Policy, row: Rendered) -> Tensor:
    """log pi(response) by transformers' own forward of one row, and plain torch."""
    policy.model.set_attn_implementation("eager")
    logits = policy.model(torch.tensor([row.ids]), use_cache=False).logits[0].log_softmax(-1)
    policy._choose(policy.ragged)
    picked = logits[:-1].gather(1, torch.tensor(row.ids[1:])[:, None]).squeeze(1)
    return picked[torch.tensor(row.response_mask[1:])].sum()


def oracle(config: Preferences, terms: Sequence[Preference], template: ChatTemplate, policy: Policy, other: Policy) -> Tensor:
    """The papers' formulas, pair by pair; each pair's share is its weight over all weights."""
    total, weights = torch.zeros(()), sum(term.weight for term in terms)
    nll, labels = torch.zeros(()), 0.0
    for term in terms:
        rows = [render_to_end_of_turn(template, term.prompt, each) for each in (term.chosen, term.rejected)]
        chosen, rejected = (own_sum(policy, row) for row in rows)
        ref_chosen, ref_rejected = (own_sum(other, row).detach() for row in rows)
        n, m = (sum(row.response_mask) for row in rows)
        gap = (chosen - ref_chosen) - (rejected - ref_rejected)
        beta, q = config.beta, term.label
        if config.loss == "dpo":
            share = q * (1 - config.smoothing) + (1 - q) * config.smoothing
            loss = -share * F.logsigmoid(beta * gap) - (1 - share) * F.logsigmoid(-beta * gap)
        elif config.loss == "robust":
            e = config.smoothing
            straight = -(1 - e) * F.logsigmoid(beta * gap) + e * F.logsigmoid(-beta * gap)
            crossed = -(1 - e) * F.logsigmoid(-beta * gap) + e * F.logsigmoid(beta * gap)
            loss = (q * straight + (1 - q) * crossed) / (1 - 2 * e)
        elif config.loss == "hinge":
            loss = q * torch.relu(1 - beta * gap) + (1 - q) * torch.relu(1 + beta * gap)
        elif config.loss == "ipo":
            gap = (chosen - ref_chosen) / n - (rejected - ref_rejected) / m
            loss = q * (gap - 1 / (2 * beta)) ** 2 + (1 - q) * (gap + 1 / (2 * beta)) ** 2
        elif config.loss == "simpo":
            gap = chosen / n - rejected / m
            loss = -q * F.logsigmoid(beta * gap - config.target) - (1 - q) * F.logsigmoid(-beta * gap - config.target)
        else:
            odds = [torch.log(p / (1 - p)) for p in ((chosen / n).exp(), (rejected / m).exp())]
            loss = -beta * (q * F.logsigmoid(odds[0] - odds[1]) + (1 - q) * F.logsigmoid(odds[1] - odds[0]))
        total = total + term.weight * loss / weights
        nll, labels = nll - term.weight * chosen, labels + term.weight * n
    return total + config.sft_weight * nll / labels


LOSSES = [Preferences(loss="dpo", beta=0.3), Preferences(loss="dpo", beta=0.3, smoothing=0.1, sft_coef=0.5),
          Preferences(loss="robust", smoothing=0.2), Preferences(loss="hinge", beta=0.05), Preferences(loss="ipo", beta=0.2),
          Preferences(loss="simpo", beta=2.0, target=0.5), Preferences(loss="orpo", beta=0.2)]


@pytest.mark.parametrize("config", LOSSES, ids=lambda config: config.loss)
@pytest.mark.parametrize("micro_tokens", [1, 60, 2048])
def test_loss_and_gradient_are_those_of_the_papers_however_the_step_is_cut(
        config: Preferences, micro_tokens: int, terms: list[Preference], template: ChatTemplate) -> None:
    """Shared prompts and responses, a ragged last micro-batch, soft labels and weights against one unpadded row at a time.
    The reference sums whole responses (trl#2175 and CORRECTNESS B, DPO), its BOS and end of turn as the policy's.
    """
    policy, other = policies()
    task = Pairs(*group_pairs(terms, template, config.max_length), config, share=True)
    schedule = Schedule(task.lengths, 0, 1, 4096, micro_tokens)
    _reference(task, other)
    policy.zero_grad()
    wanted = oracle(config, terms, template, policy, other)
    loss = float(wanted.detach())
    gradient = torch.autograd.grad(wanted, list(policy.parameters()))
    masters = Masters(policy, Optimizer(lr=1e-9, warmup_fraction=0.0, max_grad_norm=0.0), 1)
    seen = update(masters, task.batches(Lanes(policy), schedule.micro(0)), task)
    norm = math.sqrt(sum(float(each.double().square().sum()) for each in gradient))
    assert seen["loss"] == pytest.approx(loss, rel=1e-5)
    assert seen["grad_norm"] == pytest.approx(norm, rel=1e-4)


def _reference(task: Pairs | Singles, policy: Policy) -> None:
    task.remembered = [said for row in range(len(task.lengths)) for said in task.reference_of(policy, [row])]


@pytest.mark.parametrize("micro_tokens", [1, 90, 2048])
def test_kto_is_the_paper_with_one_baseline_a_step(micro_tokens: int, terms: list[Preference], template: ChatTemplate) -> None:
    """The baseline is a mean over the step's mismatched pairs (TRL takes one a micro-batch, so its loss depends on the cut)."""
    config = Preferences(loss="kto", beta=0.5, up_weight=1.5, down_weight=0.5)
    other, policy = policies()          # this way round the policy likes mismatched responses better, so the baseline is not 0
    task = Singles(terms, template, config)
    assert [(row.up, row.weight) for row in task.rows] == [(up, weight) for weight in (1.0, 1.0, 2.0) for up in (True, False)]
    _reference(task, other)
    ratios = [[own_sum(policy, row) - own_sum(other, row).detach() for row in (each.judged, each.mismatched)]
              for each in task.rows]
    baseline = max(0.0, sum(float(mismatched.detach()) for _, mismatched in ratios) / len(ratios))
    losses = [each.weight * (1.5 * torch.sigmoid(0.5 * (baseline - judged)) if each.up else 0.5 * torch.sigmoid(
        0.5 * (judged - baseline))) for each, (judged, _) in zip(task.rows, ratios, strict=True)]
    wanted = torch.stack(losses).sum() / 8.0
    gradient = torch.autograd.grad(wanted, list(policy.parameters()))
    parts = Schedule(task.lengths, 0, 1, 4096, micro_tokens).micro(0)
    masters = Masters(policy, Optimizer(lr=1e-9, warmup_fraction=0.0, max_grad_norm=0.0), 1)
    seen = update(masters, task.batches(Lanes(policy), parts), task)
    norm = math.sqrt(sum(float(each.double().square().sum()) for each in gradient))
    assert baseline > 0.01 and seen["baseline"] == pytest.approx(baseline, rel=1e-4)
    assert seen["loss"] == pytest.approx(float(wanted.detach()), rel=1e-5) and seen["grad_norm"] == pytest.approx(norm, rel=1e-4)


def test_the_mismatched_response_answers_another_prompt(terms: list[Preference], template: ChatTemplate) -> None:
    rows = Singles(terms, template, Preferences(loss="kto")).rows
    for row in rows:
        asked = row.judged.text.index("assistant")
        assert row.mismatched.text[:asked] == row.judged.text[:asked] and row.mismatched.text != row.judged.text


Ask = Callable[..., Preferences]


@pytest.fixture
def ask(tiny_directory: Path, tmp_path: Path) -> Ask:
    def build(**changes: Any) -> Preferences:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps({"prompt": prompt, "chosen": chosen, "rejected": rejected}) + "\n"
                                for prompt, chosen, rejected in PAIRS))
        return Preferences(**{"model": str(tiny_directory), "data": str(path), "precision": "fp32", "epochs": 15,
                              "optimizer": Optimizer(lr=3e-3), **changes})
    return build


@pytest.mark.parametrize("loss", ["dpo", "ipo", "hinge", "robust", "simpo", "orpo", "kto"])
def test_every_loss_learns_what_was_chosen(project: Project, ask: Ask, loss: Any, preference: Prefer,
                                           template: ChatTemplate) -> None:
    """The margin grows on the pairs and the losing responses lose; a run that stays at log 2 has learned nothing (trl#1311)."""
    made = preference_stage(project, ask(loss=loss, smoothing=0.1 if loss == "robust" else 0.0))
    assert made.manifest.facts["last_loss"] < made.manifest.facts["first_loss"]
    before, after = load_policy(Path(ask().model), "fp32"), load_policy(made.path, "fp32")
    for pair in PAIRS:
        term = preference(*pair)
        rows = [render_to_end_of_turn(template, term.prompt, side) for side in (term.chosen, term.rejected)]
        sizes = [sum(row.response_mask) if loss in PER_TOKEN else 1 for row in rows]
        gaps = [float((own_sum(policy, rows[0]) / sizes[0] - own_sum(policy, rows[1]) / sizes[1]).detach())
                for policy in (before, after)]
        assert gaps[1] > gaps[0]


@pytest.mark.parametrize(("loss", "start"), [("dpo", math.log(2)), ("ipo", 25.0), ("hinge", 1.0), ("kto", 0.5)])
def test_the_policy_starts_at_its_reference_to_the_bit(project: Project, ask: Ask, loss: Any, start: float) -> None:
    made = preference_stage(project, ask(loss=loss, precision="bf16", epochs=1))
    measured = read_metrics(next(project.runs.iterdir()) / "metrics.jsonl")
    assert made.manifest.facts["first_loss"] == pytest.approx(start, abs=1e-6)
    assert measured[0].get("margin", 0.0) == 0.0 == measured[0].get("up_reward", 0.0)


def test_a_reference_of_another_forward_is_noticed(project: Project, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    real = reference.Compared.remember

    def shifted(task: reference.Compared, *rest: Any) -> None:
        real(task, *rest)
        assert task.remembered is not None
        task.remembered = [each + torch.arange(len(each)) * 1e-3 for each in task.remembered]

    monkeypatch.setattr(reference.Compared, "remember", shifted)
    with pytest.raises(PreflightError, match="nats from its reference"):
        preference_stage(project, ask())
    assert project.artifacts() == []


@pytest.mark.parametrize(("loss", "adapter"), [("dpo", Adapter()), ("dpo", Adapter(rank=4, dropout=0.2)), ("kto", Adapter())],
                         ids=["full", "lora", "kto"])
def test_an_interrupted_run_goes_on_to_the_same_model(project: Project, tmp_path: Path, ask: Ask, loss: Any, adapter: Adapter,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is not made again from a policy that has moved: the run keeps it."""
    config = ask(loss=loss, adapter=adapter, batch_tokens=80, max_length=80, epochs=3)
    undisturbed = preference_stage(Project.init(tmp_path / "other"), config)
    monkeypatch.setattr("tutelage.runs.steps.CHECKPOINT_INTERVAL_S", 0.0)
    update = InterruptedOnce(fitting.update, after=4)
    monkeypatch.setattr(fitting, "update", update)
    with pytest.raises(InterruptedError):
        preference_stage(project, config)
    made = preference_stage(project, config)
    assert update.calls == made.manifest.facts["steps"]
    assert made.manifest.files == undisturbed.manifest.files and made.manifest.facts == undisturbed.manifest.facts
    assert not (next(project.runs.iterdir()) / reference.FILE).exists()


def test_asking_again_returns_the_artifact(project: Project, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    first = preference_stage(project, ask(epochs=1))
    monkeypatch.setattr(module, "load_policy", None)
    assert preference_stage(project, ask(epochs=1)) == first


def test_what_cannot_be_learned_from_is_refused(project: Project, ask: Ask, tmp_path: Path, template: ChatTemplate) -> None:
    with pytest.raises(DataError, match="4 have a side of more than max_length 8"):
        preference_stage(project, ask(max_length=8))
    with pytest.raises(DataError, match="no judgment to train on"):
        preference_stage(project, ask(), [])
    answers = tmp_path / "answers.jsonl"
    answers.write_text(json.dumps({"prompt": "a", "response": "b"}) + "\n")
    with pytest.raises(DataError, match=r"dpo trains on preferences; .* of kind instruction"):
        preference_stage(project, ask(data=str(answers)))
    thumb = Thumb(id="t", prompt=(Message.of("user", "a"),), response=(Message.of("assistant", "b"),), up=True)
    with pytest.raises(DataError, match="at least two prompts"):
        Singles([thumb, replace(thumb, id="u", up=False)], template, Preferences(loss="kto"))
    other = replace(thumb, id="u", prompt=(Message.of("user", "z"),))
    with pytest.raises(DataError, match="all 2 are liked"):
        Singles([thumb, other], template, Preferences(loss="kto"))


@pytest.mark.parametrize("settings", [{"beta": 0.0}, {"smoothing": 0.5}, {"sft_coef": -1.0}, {"loss": "robust"}, {"epochs": 0}])
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="dpo:"):
        Preferences(**settings)
