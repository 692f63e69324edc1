"""DPO and its family against TRL's DPOTrainer, CPOTrainer (SimPO) and ORPOTrainer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from one_step import Step, assert_same, model, our_step, remember, settings, texts, their_step, tokenizer
from trl import DPOConfig, DPOTrainer
from trl.experimental.cpo import CPOConfig, CPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from tutelage.data.chat import ChatTemplate, Rendered
from tutelage.models.policy import Policy
from tutelage.records import Preference
from tutelage.training.pairs import Group, group_pairs
from tutelage.tuning.config import Preferences
from tutelage.tuning.pairs import Pairs
from tutelage.tuning.sft import Conversations

# One prompt has two pairs with the same chosen response: shared here, two rows of their own there.
PAIRS = [("a?", "one", "three hundred"), ("a?", "one", "uno"), ("which number comes then?", "two", "deux"),
         ("c?", "a longer one", "three")]
SEED_OF_REFERENCE = 1


@pytest.fixture
def groups(preference: Callable[..., Preference], template: ChatTemplate) -> list[Group]:
    return group_pairs([preference(*pair) for pair in PAIRS], template, 1024)[0]


def ours(groups: Sequence[Group], config: Preferences, micro_tokens: int = 10**6) -> Step:
    task = Pairs(groups, 0, config, share=True)
    if config.has_reference:
        remember(task, Policy(model(SEED_OF_REFERENCE)))
    return our_step(Policy(model()), task, micro_tokens)


def dpo(path: Path, loss: list[str], rows: int = 4, accumulate: int = 1, **changes: Any) -> Step:
    config = DPOConfig(**settings(path, rows, accumulate, loss_type=loss, max_length=None, **changes))
    return their_step(DPOTrainer(model(), model(SEED_OF_REFERENCE), config, train_dataset=Dataset.from_list(texts(PAIRS)),
                                 processing_class=tokenizer()))


def without_reference(trainer: Any, config: Any, path: Path, **changes: Any) -> Step:
    return their_step(trainer(model(), config(**settings(path, 4, max_length=512, remove_unused_columns=False, **changes)),
                              train_dataset=Dataset.from_list(texts(PAIRS)), processing_class=tokenizer()))


def test_their_rows_are_our_rows(tmp_path: Path, groups: list[Group]) -> None:
    trainer = DPOTrainer(model(), model(), DPOConfig(**settings(tmp_path, 4)), train_dataset=Dataset.from_list(texts(PAIRS)),
                         processing_class=tokenizer())
    rows = iter(trainer.train_dataset)
    for group in groups:
        for (chosen, rejected, _), row in zip(group.pairs, rows, strict=False):
            for index, side in ((chosen, row["chosen_ids"]), (rejected, row["rejected_ids"])):
                assert group.responses[index].ids == (*row["prompt_ids"], *side)
                assert sum(group.responses[index].response_mask) == len(side)
    assert next(rows, None) is None


@pytest.mark.parametrize("micro_tokens", [10**6, 60], ids=["whole", "cut"])
@pytest.mark.parametrize(("config", "loss", "changes"), [
    (Preferences(loss="dpo", beta=0.3), ["sigmoid"], {"beta": 0.3}),
    (Preferences(loss="dpo", beta=0.3, sft_coef=0.5), ["sigmoid", "sft"], {"beta": 0.3, "loss_weights": [1.0, 0.5]}),
    (Preferences(loss="hinge", beta=0.05), ["hinge"], {"beta": 0.05}),
    (Preferences(loss="ipo", beta=0.2), ["ipo"], {"beta": 0.2}),
    (Preferences(loss="robust", beta=0.2, smoothing=0.2), ["robust"], {"beta": 0.2, "label_smoothing": 0.2}),
], ids=["sigmoid", "sigmoid and sft", "hinge", "ipo", "robust"])
def test_loss_and_gradients_are_theirs(tmp_path: Path, groups: list[Group], config: Preferences, loss: list[str],
                                       changes: dict[str, Any], micro_tokens: int) -> None:
    assert_same(ours(groups, config, micro_tokens), dpo(tmp_path, loss, **changes))


@pytest.mark.parametrize(("size", "accumulate"), [(2, 2), (1, 4)])
def test_loss_and_gradients_are_theirs_under_accumulation(tmp_path: Path, groups: list[Group], size: int,
                                                          accumulate: int) -> None:
    config = Preferences(loss="dpo", beta=0.3)
    assert_same(ours(groups, config, 60), dpo(tmp_path, ["sigmoid"], size, accumulate, beta=0.3))


def test_label_smoothing_is_conservative_dpo_which_theirs_has_in_another_loss(tmp_path: Path, groups: list[Group]) -> None:
    """TRL's `sigmoid` leaves `label_smoothing` unread. Its `aot` sorts the gaps of a batch and smooths; of one row at a time,
    nothing is left to sort, and it is Mitchell's formula.
    """
    smoothed = dpo(tmp_path / "aot", ["aot"], 1, 4, beta=0.3, label_smoothing=0.1)
    assert_same(ours(groups, Preferences(loss="dpo", beta=0.3, smoothing=0.1)), smoothed)
    unread = dpo(tmp_path / "sigmoid", ["sigmoid"], beta=0.3, label_smoothing=0.1)
    assert_same(ours(groups, Preferences(loss="dpo", beta=0.3)), unread)


def test_their_sft_term_depends_on_the_cut_and_ours_does_not(tmp_path: Path, groups: list[Group]) -> None:
    """A mean of the micro-batches' means against one mean over the labels of the step (transformers#34191, trl#2604)."""
    whole, cut = (dpo(tmp_path / str(size), ["sft"], size, 4 // size) for size in (4, 1))
    wanted = {"loss": "dpo", "beta": 1e-9, "sft_coef": 1.0}        # with next to no beta only the likelihood has a gradient
    for micro_tokens in (10**6, 60):
        mine = ours(groups, Preferences(**wanted), micro_tokens)
        assert_same(Step(mine.loss - 0.6931471805599453, mine.gradients), whole)
    assert abs(cut.loss - whole.loss) > 1e-3 * whole.loss


@pytest.mark.parametrize(("config", "changes"), [
    (Preferences(loss="simpo", beta=2.0, target=0.5), {"beta": 2.0, "simpo_gamma": 0.5, "cpo_alpha": 0.0}),
    (Preferences(loss="simpo", beta=2.0, target=1.0, sft_coef=0.7), {"beta": 2.0, "simpo_gamma": 1.0, "cpo_alpha": 0.7}),
], ids=["simpo", "simpo and sft"])
def test_simpo_is_theirs(tmp_path: Path, groups: list[Group], config: Preferences, changes: dict[str, Any]) -> None:
    assert_same(ours(groups, config), without_reference(CPOTrainer, CPOConfig, tmp_path, loss_type="simpo", **changes))


def test_smoothed_simpo_asks_the_target_of_either_side_and_theirs_of_the_chosen(tmp_path: Path, groups: list[Group]) -> None:
    """The paper has no smoothing. Ours gives a pair and its mirror the same loss; in TRL's the share that is taken to be judged
    wrongly has its target the wrong way round: sigma(-(beta gap - gamma)). Without a target they are one.
    """
    smoothed, made = {"loss": "simpo", "beta": 2.0, "smoothing": 0.1}, {"loss_type": "simpo", "beta": 2.0, "cpo_alpha": 0.0,
                                                                        "label_smoothing": 0.1}
    plain = without_reference(CPOTrainer, CPOConfig, tmp_path / "plain", simpo_gamma=0.0, **made)
    assert_same(ours(groups, Preferences(**smoothed)), plain)
    aimed = without_reference(CPOTrainer, CPOConfig, tmp_path / "aimed", simpo_gamma=0.5, **made)
    task = Pairs(groups, 0, Preferences(**smoothed, target=0.5), share=True)
    policy, batch = Policy(model()), task.collate(range(len(groups)))
    with torch.no_grad():
        term, = task.terms(policy, batch)
    gap = _mean_gap(policy, batch)
    straight, mirrored = 2.0 * gap - 0.5, -2.0 * gap - 0.5
    loss = torch.nn.functional.softplus
    assert float(term.loss.sum / 4) == pytest.approx(float((0.9 * loss(-straight) + 0.1 * loss(-mirrored)).mean()), rel=1e-5)
    assert aimed.loss == pytest.approx(float((0.9 * loss(-straight) + 0.1 * loss(straight)).mean()), rel=1e-5)


def _mean_gap(policy: Policy, batch: Any) -> torch.Tensor:
    """(K,) difference of the mean logprobs of chosen and rejected."""
    mean = batch.tokens.pad(policy.evaluate_logprobs(batch.tokens)).sum(1) / batch.tokens.label_counts
    return mean[batch.fields["chosen"]] - mean[batch.fields["rejected"]]


@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_orpo_is_theirs_but_for_the_likelihood_of_the_prompt(tmp_path: Path, groups: list[Group], beta: float) -> None:
    """The paper's first term is that of fine-tuning, the likelihood of the reference response (Hong et al. 2024, eq. 2 and 6);
    TRL takes it over the prompt's tokens too. Ours with that term exchanged is theirs, in loss and gradient.
    """
    odds = ours(groups, Preferences(loss="orpo", beta=beta, sft_coef=0.0))
    rows = {term.id: _all_trained(group.responses[chosen]) for group in groups for chosen, _, term in group.pairs}
    theirs = without_reference(ORPOTrainer, ORPOConfig, tmp_path, beta=beta)
    assert_same(odds + our_step(Policy(model()), Conversations(rows, share=False)), theirs)
    rows = {term.id: group.responses[chosen] for group in groups for chosen, _, term in group.pairs}
    likely = our_step(Policy(model()), Conversations(rows, share=False))
    assert_same(ours(groups, Preferences(loss="orpo", beta=beta)), odds + likely)


def _all_trained(row: Rendered) -> Rendered:
    """Every token a label but the first, which nothing stands before."""
    return replace(row, response_mask=(False, *[True] * (len(row.ids) - 1)))
