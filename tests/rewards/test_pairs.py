"""Scores of judged responses, and which prompts are kept out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tutelage.data.chat import ChatTemplate
from tutelage.models.policy import Policy
from tutelage.records import Preference
from tutelage.rewards.model import score_sequences
from tutelage.rewards.train import split_groups
from tutelage.training.pairs import collate_groups, group_pairs

Prefer = Callable[..., Preference]


def test_shared_prompts_give_the_scores_of_unshared_ones(preference: Prefer, template: ChatTemplate,
                                                         judge: Callable[..., Policy]) -> None:
    policy = judge()
    groups, _ = group_pairs([preference("one prompt", "aa", "bbbb"), preference("one prompt", "c", "bbbb"),
                             preference("two", "zz", "y")], template, 100)
    shared, unshared = (collate_groups(groups, share).tokens for share in (True, False))
    assert shared.num_tokens < unshared.num_tokens and shared.num_sequences == unshared.num_sequences == 5
    with torch.no_grad():
        one, other = (policy(tokens, logprobs=False, scores=True).scores for tokens in (shared, unshared))
    assert torch.allclose(one, other, rtol=0, atol=1e-5) and float(one.std()) > 0.1


def test_a_score_does_not_depend_on_its_batch(preference: Prefer, template: ChatTemplate, judge: Callable[..., Policy]) -> None:
    """OpenRLHF#1342 and the N+ details: padding, or the last token of the batch instead of the row."""
    policy = judge()
    groups, _ = group_pairs([preference("p", "a" * n, "b" * (12 - n)) for n in range(1, 6)], template, 100)
    rows = [(response.ids, group.prompt_length) for group in groups for response in group.responses]
    together = score_sequences(policy, [ids for ids, _ in rows], [length for _, length in rows])
    few = score_sequences(policy, [ids for ids, _ in rows], [length for _, length in rows], micro_tokens=60)
    alone = torch.cat([score_sequences(policy, [ids], [length]) for ids, length in rows])
    assert torch.allclose(together, alone, rtol=0, atol=1e-5) and torch.allclose(few, alone, rtol=0, atol=1e-5)
    assert float(alone.std()) > 0.1


def test_no_score_of_nothing(judge: Callable[..., Policy]) -> None:
    assert score_sequences(judge(), [], []).shape == (0,)


@pytest.mark.parametrize("seed", [0, 1])
def test_no_prompt_is_on_both_sides_of_the_split(preference: Prefer, template: ChatTemplate, seed: int) -> None:
    terms = [preference(f"prompt {i % 40}", f"good {i}", f"bad {i}") for i in range(120)]
    groups, _ = group_pairs(terms, template, 100)
    train, heldout = split_groups(groups, 0.25, seed)
    sides = [{group.prompt for group in side} for side in (train, heldout)]
    assert not sides[0] & sides[1] and len(sides[0] | sides[1]) == 40
    assert 3 <= len(heldout) <= 18
    again, _ = split_groups(list(reversed(groups)), 0.25, seed)       # the order of the judgments does not matter
    assert {group.prompt for group in again} == sides[0]
