"""Reward models against TRL's RewardTrainer, on transformers' own sequence classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from one_step import END, PROMPT, Step, assert_same, model, our_step, settings, their_step, tokenizer
from transformers import AutoModelForSequenceClassification, LlamaForSequenceClassification
from trl import RewardConfig, RewardTrainer

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.models.policy import Policy
from tutelage.models.tiny import tiny_tokenizer
from tutelage.records import Preference
from tutelage.rewards.bradley_terry import BradleyTerry
from tutelage.training.pairs import group_pairs

PAIRS = [("a?", "one", "three hundred"), ("a?", "one", "uno"), ("which number comes then?", "two", "deux"),
         ("c?", "a longer one", "three")]
MARGINS = [0.0, 1.0, 0.25, 2.0]
END_ID = 257


def head() -> torch.Tensor:
    return torch.linspace(-1.0, 1.0, 32)[None]


def ours(preference: Callable[..., Preference], template: ChatTemplate, margins: Sequence[float], centring: float,
         micro_tokens: int = 10**6, pad: int | None = None) -> Step:
    """The head's bias, which theirs has none of, stays at 0 and untrained."""
    terms = [preference(*pair, margin=margin) for pair, margin in zip(PAIRS, margins, strict=True)]
    policy = Policy(model(**({} if pad is None else {"pad": pad})), score_head=True)
    assert policy.score_head is not None
    policy.score_head.linear.weight.data.copy_(head())
    policy.score_head.linear.bias.requires_grad_(False)
    step = our_step(policy, BradleyTerry(group_pairs(terms, template, 1024)[0], centring, share=True), micro_tokens)
    return Step(step.loss, {{"score_head.linear.weight": "score.weight"}.get(name, name): value
                            for name, value in step.gradients.items()})


def classifier(pad: int | None = None) -> LlamaForSequenceClassification:
    base: Any = model(**({} if pad is None else {"pad": pad}))
    base.config.num_labels = 1
    made = AutoModelForSequenceClassification.from_config(base.config, dtype=torch.float32)
    made.model.load_state_dict(base.model.state_dict())
    made.score.weight.data.copy_(head())
    return made.eval()


def theirs(path: Path, margins: Sequence[float] | None, centring: float | None, size: int = 4, accumulate: int = 1,
           trained: Any = None, words: Any = None) -> Step:
    rows = [{"chosen": PROMPT.format(prompt) + chosen + END, "rejected": PROMPT.format(prompt) + rejected + END,
             **({} if margins is None else {"margin": margin})}
            for (prompt, chosen, rejected), margin in zip(PAIRS, margins or MARGINS, strict=True)]
    config = RewardConfig(**settings(path, size, accumulate, center_rewards_coefficient=centring, max_length=None))
    return their_step(RewardTrainer(trained or classifier(), config, train_dataset=Dataset.from_list(rows),
                                    processing_class=words or tokenizer()))


@pytest.mark.parametrize(("size", "accumulate", "micro_tokens"), [(4, 1, 60), (1, 4, 10**6)], ids=["theirs whole", "ours whole"])
@pytest.mark.parametrize(("margins", "centring"), [(None, None), (MARGINS, None), (None, 0.01), (MARGINS, 0.1)],
                         ids=["plain", "margin", "centring", "both"])
def test_loss_and_gradients_are_theirs(tmp_path: Path, preference: Callable[..., Preference], template: ChatTemplate,
                                       margins: list[float] | None, centring: float | None, size: int, accumulate: int,
                                       micro_tokens: int) -> None:
    mine = ours(preference, template, margins or [0.0] * 4, centring or 0.0, micro_tokens)
    assert_same(mine, theirs(tmp_path, margins, centring, size, accumulate))


def test_where_pad_is_the_end_of_turn_theirs_reads_the_score_before_it(
        tmp_path: Path, preference: Callable[..., Preference], template: ChatTemplate) -> None:
    """transformers looks for the last token that is not `pad_token_id`, by its id: with pad equal to eos, as here and in many
    models, the score stands at the token before the end of turn (CORRECTNESS B: masks by length, never by id). Ours stands at the
    last token; read one token earlier, it gives their loss.
    """
    by_id = theirs(tmp_path / "ids", None, None, trained=classifier(pad=END_ID), words=tiny_tokenizer())
    mine = ours(preference, template, [0.0] * 4, 0.0, pad=END_ID)
    assert abs(by_id.loss - mine.loss) > 1e-3 * mine.loss
    policy = Policy(model(pad=END_ID), score_head=True)
    assert policy.score_head is not None
    policy.score_head.linear.weight.data.copy_(head())
    gaps = [_score(policy, template, prompt, chosen) - _score(policy, template, prompt, rejected)
            for prompt, chosen, rejected in PAIRS]
    assert by_id.loss == pytest.approx(float(-torch.nn.functional.logsigmoid(torch.stack(gaps)).mean()), rel=1e-5)


@torch.no_grad()
def _score(policy: Policy, template: ChatTemplate, prompt: str, response: str) -> torch.Tensor:
    """At the last token of the response's text, its end of turn left out."""
    ids = template.tokenizer(PROMPT.format(prompt) + response, add_special_tokens=False)["input_ids"]
    scores = policy(TokenBatch.pack([ids], [[True] * len(ids)]), logprobs=False, scores=True).scores
    assert scores is not None
    return scores[0]
