"""A reward model learns what it is shown, and its artifact is what was trained."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tutelage.data.chat import ChatTemplate
from tutelage.errors import DataError
from tutelage.models.config import Adapter
from tutelage.models.load import HEADS, load_policy, save_policy
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer
from tutelage.project import Project
from tutelage.records import Preference, Sample
from tutelage.rewards.bradley_terry import BradleyTerry
from tutelage.rewards.config import RewardModel
from tutelage.rewards.measuring import accuracy
from tutelage.rewards.model import RewardScorer
from tutelage.rewards.train import train_reward
from tutelage.training.config import Optimizer
from tutelage.training.loop import update
from tutelage.training.optimizer import Masters
from tutelage.training.pairs import collate_groups, group_pairs

Prefer = Callable[..., Preference]


def z_pairs(preference: Prefer, count: int, seed: int = 0) -> list[Preference]:
    """Four letters each; the one with a z is the better."""
    draw = random.Random(seed)
    pairs = []
    for i in range(count):
        good, bad = ([draw.choice(string.ascii_lowercase[:25]) for _ in range(4)] for _ in range(2))
        good[draw.randrange(4)] = "z"
        pairs.append(preference(f"q{i}", "".join(good), "".join(bad)))
    return pairs


@pytest.fixture
def config(tiny_directory: Path) -> Callable[..., RewardModel]:
    def build(**changes: Any) -> RewardModel:
        return RewardModel(**{"model": str(tiny_directory), "precision": "fp32", "optimizer": Optimizer(lr=1e-2), **changes})
    return build


def test_a_plain_preference_is_learned_and_holds_for_unseen_prompts(project: Project, preference: Prefer,
                                                                    config: Callable[..., RewardModel],
                                                                    sample: Callable[..., Sample]) -> None:
    terms = z_pairs(preference, 150)
    made = train_reward(project, config(epochs=4, batch_tokens=512, heldout_fraction=0.3, optimizer=Optimizer(lr=3e-3)), terms)
    facts = made.manifest.facts
    assert facts["heldout_pairs"] > 25 and facts["heldout_accuracy"] > 0.9
    assert facts["first_loss"] == pytest.approx(0.6931, abs=1e-3)        # a head of zeros prefers nothing
    scorer = RewardScorer.load(made.path, "fp32")
    scores = scorer.score([sample("new", "abzd"), sample("new", "abcd")]).total
    assert scores[0] > scores[1]
    shown = scorer.score([sample(term.prompt[0].text, side[0].text) for term in terms for side in (term.chosen, term.rejected)])
    assert abs(sum(shown.total) / len(shown.total)) < 0.25 and 0.75 < float(torch.tensor(shown.total).std()) < 1.25


def test_shuffled_preferences_do_not_hold_for_unseen_prompts(project: Project, preference: Prefer,
                                                             config: Callable[..., RewardModel]) -> None:
    """What must not be learned is not: the accuracy is measured on prompts that were kept out."""
    draw = random.Random(1)
    terms = [replace(term, chosen=term.rejected, rejected=term.chosen) if draw.random() < 0.5 else term
             for term in z_pairs(preference, 150)]
    made = train_reward(project, config(batch_tokens=512, heldout_fraction=0.3), terms)
    assert 0.2 < made.manifest.facts["heldout_accuracy"] < 0.8


def test_the_head_is_saved_and_the_artifact_scores_as_trained(project: Project, preference: Prefer,
                                                              config: Callable[..., RewardModel]) -> None:
    """OpenRLHF#1342, #873, trl#1379: heads lost, with LoRA too."""
    for adapter in (Adapter(), Adapter(rank=2, dropout=0.1)):
        made = train_reward(project, config(name=f"r{adapter.rank}", adapter=adapter), z_pairs(preference, 8))
        head = load_file(made.path / HEADS)
        assert set(head) == {"score_head.linear.weight", "score_head.linear.bias"}
        assert float(head["score_head.linear.weight"].abs().sum()) > 0
        assert load_policy(made.path, "fp32", score_head=True).has_adapter == bool(adapter.rank)


def test_asking_again_returns_the_artifact_and_the_same_seed_the_same_files(
        project: Project, tmp_path: Path, preference: Prefer, config: Callable[..., RewardModel],
        monkeypatch: pytest.MonkeyPatch) -> None:
    terms = z_pairs(preference, 12)
    first = train_reward(project, config(), terms)
    second = train_reward(Project.init(tmp_path / "other"), config(), terms)
    assert first.manifest.files == second.manifest.files
    monkeypatch.setattr("tutelage.rewards.train.load_policy", None)
    assert train_reward(project, config(), terms) == first


def test_who_judged_is_counted_by_kind_and_never_mixed_silently(project: Project, preference: Prefer,
                                                                config: Callable[..., RewardModel]) -> None:
    terms = z_pairs(preference, 6)
    terms[0] = replace(terms[0], annotator="scripted", judgment_ids=("j1", "j2"))
    made = train_reward(project, config(heldout_fraction=0.0), terms)
    assert made.manifest.people == {"unnamed (human)": {"kind": "human", "judgments": 5},
                                    "unnamed (scripted)": {"kind": "scripted", "judgments": 2}}
    assert made.manifest.facts["annotators"] == ["human", "scripted"]
    assert made.manifest.facts["heldout_accuracy"] is None


def test_an_untied_language_head_is_left_alone(project: Project, preference: Prefer, config: Callable[..., RewardModel],
                                               tmp_path: Path) -> None:
    """Scores never reach it, so it must not count as something that fails to learn."""
    save_policy(Policy(tiny_model(tie_word_embeddings=False)), tiny_tokenizer(), tmp_path / "untied")
    made = train_reward(project, config(model=str(tmp_path / "untied"), epochs=2), z_pairs(preference, 8))
    before, after = load_policy(tmp_path / "untied", "fp32"), load_policy(made.path, "fp32")
    assert torch.equal(before.model.lm_head.weight, after.model.lm_head.weight)
    assert not torch.equal(before.model.model.embed_tokens.weight, after.model.model.embed_tokens.weight)


def test_a_prompt_with_more_than_a_batch_of_responses_is_a_batch_of_its_own(project: Project, preference: Prefer,
                                                                            config: Callable[..., RewardModel]) -> None:
    """And the others go on being batches of `batch_tokens`."""
    terms = [preference("many", f"z{i}", f"a{i}") for i in range(12)] + z_pairs(preference, 6)
    made = train_reward(project, config(batch_tokens=64, heldout_fraction=0.0), terms)
    assert made.manifest.facts["steps"] >= 4


def test_no_judgment_and_other_records_are_refused(project: Project, config: Callable[..., RewardModel],
                                                   instructions: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="no judgment to train on"):
        train_reward(project, config(), [])
    with pytest.raises(DataError, match="a row of kind instruction"):
        train_reward(project, config(data=instructions([("a", "b")])))


def losses(judge: Callable[..., Policy], template: ChatTemplate, terms: list[Preference],
           centring: float = 0.0) -> tuple[float, dict[str, torch.Tensor]]:
    """The step's loss, and its gradient (Adam's first moment with betas of 0)."""
    policy = judge()
    for name, value in policy.named_parameters():
        if not name.startswith("model.model"):
            value.requires_grad_(True)
    masters = Masters(policy, Optimizer(betas=(0.0, 0.0), max_grad_norm=0.0), 1)
    task = BradleyTerry(group_pairs(terms, template, 100)[0], centring, share=True)
    metrics = update(masters, [task.collate(range(len(task.lengths)))], task)
    return metrics["loss"], {name: value["exp_avg"] for name, value in masters.state()["moments"].items()}


def test_soft_labels_weights_margins_and_centring_reach_the_loss(judge: Callable[..., Policy], template: ChatTemplate,
                                                                 preference: Prefer) -> None:
    """By hand from the two scores of one pair; d = c - r, s = log sigma."""
    term = preference("p", "good", "bad")
    group, = group_pairs([term], template, 100)[0]
    with torch.no_grad():
        chosen, rejected = judge()(collate_groups([group]).tokens, logprobs=False, scores=True).scores.double()
    d, s = chosen - rejected, torch.nn.functional.logsigmoid
    for changes, centring, wanted in (
            ({}, 0.0, -s(d)), ({"label": 0.5}, 0.0, -0.5 * s(d) - 0.5 * s(-d)), ({"margin": 0.7}, 0.0, -s(d - 0.7)),
            ({"label": 0.9}, 0.0, -0.9 * s(d) - 0.1 * s(-d)), ({}, 0.1, -s(d) + 0.1 * (chosen + rejected) ** 2)):
        loss, _ = losses(judge, template, [replace(term, **changes)], centring)
        assert loss == pytest.approx(float(wanted), rel=1e-5), changes


def test_a_weight_of_three_is_three_judgments(judge: Callable[..., Policy], template: ChatTemplate, preference: Prefer) -> None:
    one, other = preference("p", "good", "bad"), preference("q", "no", "yes")
    weighted, gradient = losses(judge, template, [replace(one, weight=3.0), other])
    counted, wanted = losses(judge, template, [replace(one, id=f"{i}") for i in range(3)] + [other])
    assert weighted == pytest.approx(counted, rel=1e-5)
    assert all(torch.allclose(gradient[name], wanted[name], atol=1e-6) for name in wanted)


def test_accuracy_counts_decided_pairs_only_and_equal_scores_half(template: ChatTemplate, preference: Prefer) -> None:
    groups, _ = group_pairs([preference("p", "a", "b"), preference("p", "b", "a", label=0.5),
                             preference("q", "a", "b"), preference("r", "a", "b")], template, 100)
    assert accuracy(groups, [torch.tensor([2.0, 1.0]), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0])]) == 0.5
    assert accuracy(groups[:1], [torch.tensor([2.0, 1.0])]) == 1.0
    assert accuracy([], []) is None
