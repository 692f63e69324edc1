"""Choices by likelihood: a shared context changes no number, and each number is transformers' own."""

from __future__ import annotations

import pytest
import torch

from tutelage.errors import DataError
from tutelage.evaluation import likelihood
from tutelage.evaluation.likelihood import Choices, choice_logprobs, encode_choices
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_model, tiny_tokenizer

ITEMS = [("What is the capital of France?\nAnswer:", [" Paris", " London, of course", " 北京"]), ("2 + 2 =", [" 4", " 5"]),
         ("", ["Nothing before", "it"]), ("ends in blanks  ", ["x", "yy"]), ("一个问题：", ["是", "不是", "也许"])]


@pytest.fixture(scope="module")
def policy():
    return Policy(tiny_model(initializer_range=0.2))


def slow(model, context, continuation):
    """One forward a choice, its whole log-softmax: what a reader would write first."""
    ids = torch.tensor([[*context, *continuation]])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0].log_softmax(-1)
    return sum(float(logprobs[len(context) + at - 1, token]) for at, token in enumerate(continuation))


def test_scores_are_those_of_one_plain_forward_a_choice(policy):
    plain = tiny_model(initializer_range=0.2)
    items = [encode_choices(tiny_tokenizer(), context, choices) for context, choices in ITEMS]
    for item, found in zip(items, choice_logprobs(policy, items), strict=True):
        assert found == pytest.approx([slow(plain, item.context, each) for each in item.continuations], abs=1e-4)


@pytest.mark.parametrize("budget", [1, 30, 10_000])
def test_how_items_are_put_together_changes_nothing(policy, monkeypatch, budget):
    items = [encode_choices(tiny_tokenizer(), context, choices) for context, choices in ITEMS]
    whole = choice_logprobs(policy, items)
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", budget)
    assert [pytest.approx(row, abs=1e-5) for row in choice_logprobs(policy, items)] == whole
    backwards = choice_logprobs(policy, [Choices(each.context, each.continuations[::-1]) for each in items])
    assert [pytest.approx(row[::-1], abs=1e-5) for row in backwards] == whole


def test_a_model_that_cannot_share_gives_the_same(policy, monkeypatch):
    items = [encode_choices(tiny_tokenizer(), context, choices) for context, choices in ITEMS]
    whole = choice_logprobs(policy, items)
    monkeypatch.setattr(Policy, "shares_prompts", False)
    assert [pytest.approx(row, abs=1e-4) for row in choice_logprobs(policy, items)] == whole


def test_blanks_go_with_the_choice_and_an_empty_context_is_the_end_of_text():
    tokenizer = tiny_tokenizer()
    item = encode_choices(tokenizer, "ends in blanks  ", ["x"])
    assert tokenizer.decode(item.context) == "ends in blanks" and tokenizer.decode(item.continuations[0]) == "  x"
    assert encode_choices(tokenizer, "", ["a"]).context == (tokenizer.eos_token_id,)


def test_what_cannot_be_scored_is_refused(policy):
    with pytest.raises(DataError, match="adds no token"):
        encode_choices(tiny_tokenizer(), "x", [""])
    with pytest.raises(DataError, match="needs 601 positions, the model has 512"):
        choice_logprobs(policy, [Choices((1,) * 600, ((2,), (3,)))])
