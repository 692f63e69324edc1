"""A reward artifact at work: samples in, one standardised score each out, and where passages taught it what each token earns."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import token_rewards_of
from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ArtifactError
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.models.policy import Policy
from tutelage.records import Sample, Scores
from tutelage.rewards.dense import at_the_end
from tutelage.rewards.length import LengthTerm
from tutelage.rewards.outcomes import SKIP_REMEDY, Failed, settle
from tutelage.scoring import OnError
from tutelage.training.responses import render_to_end_of_turn

SCALE_FILE = "scale.json"      # mean and standard deviation on the training responses; what length earns, where that is taken out
MICRO_TOKENS = 2048
RESPONSE = "response"          # part of `Scores`: the score of the whole response, without what its tokens earn


class RewardScorer:
    """The `Score` of a reward model. The score of a response has mean 0 and standard deviation 1 on the responses it was trained
    with: one unit of it stands for `std` of log-odds. With a per-token head, `per_token` has what each token earns, -`tokens`
    to `tokens`, and the response's score with its last one; `total` is their sum.

    `weights` are a member's on a trunk that several share (`rewards.members`): they are put in place before it is asked.
    """

    def __init__(self, policy: Policy, template: ChatTemplate, mean: float = 0.0, std: float = 1.0,
                 on_error: OnError = "stop", length: LengthTerm | None = None, tokens: float = 0.0,
                 weights: Mapping[str, Tensor] | None = None) -> None:
        self.policy, self.template, self.mean, self.std, self.on_error = policy, template, mean, std, on_error
        self.length, self.tokens, self.weights = length, tokens, weights

    @classmethod
    def load(cls, directory: Path, precision: str, on_error: OnError = "stop") -> RewardScorer:
        """The only member of an artifact, or the first of several."""
        tokenizer, scale = load_tokenizer(directory), read_scale(directory)
        policy = load_policy(directory, precision, score_head=True, token_head="tokens" in scale)
        return cls.of(policy, ChatTemplate.load(directory, tokenizer), scale, on_error)

    @classmethod
    def of(cls, policy: Policy, template: ChatTemplate, scale: Mapping[str, Any], on_error: OnError = "stop",
           weights: Mapping[str, Tensor] | None = None) -> RewardScorer:
        """With what its scale file says."""
        length = LengthTerm(**scale["length"]) if "length" in scale else None
        return cls(policy, template, scale["mean"], scale["std"], on_error, length, scale.get("tokens", 0.0), weights)

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Scores of what was sampled, read at the response's last token; what each token earns is read at that token.

        The sample's own ids are scored where they are this model's ids for its prompt; else its text is rendered, and since
        the tokens are others then, what they earn is paid with the last of the sample's. Tokens that the policy did not choose
        earn nothing.

        Raises:
            RewardError: if a score is not finite and such samples are not to be skipped; the sample is named.
        """
        rows = [self._ids(sample) for sample in samples]
        if self.weights is not None:
            put_weights(self.policy, self.weights)
        raw, logits = score_tokens(self.policy, [ids for ids, _ in rows], [length for _, length in rows])
        if self.length is not None:
            raw = raw - self.length.earned([len(ids) - length for ids, length in rows])
        whole = ((raw - self.mean) / self.std).tolist()
        dense = [self._paid(*each) for each in zip(whole, logits, rows, samples, strict=True)] if self.tokens else None
        outcomes = [each if math.isfinite(each) else Failed("gave no finite score", SKIP_REMEDY)
                    for each in (whole if dense is None else map(math.fsum, dense))]
        found = settle("the reward model", outcomes, samples, self.on_error)
        if dense is None:
            return found
        cut = (tuple(row[:len(sample.response_ids)]) for row, sample in zip(dense, samples, strict=True))
        return replace(found, per_token=tuple(cut), parts={RESPONSE: tuple(whole)})

    def _paid(self, score: float, logits: Tensor, row: tuple[tuple[int, ...], int], sample: Sample) -> list[float]:
        """What each token of the sample's response earns, the score with the last; one number where it has no token."""
        own = token_rewards_of(logits, self.tokens).tolist()
        if row[0][row[1]:] != sample.response_ids:
            return [*at_the_end(math.fsum([score, *own]), max(1, len(sample.response_ids)))]
        own = [each if chosen else 0.0 for each, chosen in zip(own, sample.response_mask, strict=True)]
        return [*own[:-1], own[-1] + score]

    def num_tokens(self, sample: Sample) -> int:
        """Of the prompt and the response, as they are scored."""
        return len(self._ids(sample)[0])

    def _ids(self, sample: Sample) -> tuple[tuple[int, ...], int]:
        prompt = self.template.render_prompt(sample.prompt.messages)
        if sample.response_ids and sample.prompt_ids == prompt:
            return (*prompt, *sample.response_ids), len(prompt)
        return render_to_end_of_turn(self.template, sample.prompt.messages, sample.response).ids, len(prompt)


def read_scale(directory: Path) -> dict[str, Any]:
    """What `scale.json` says.

    Raises:
        ArtifactError: if there is none.
    """
    try:
        return dict(json.loads((directory / SCALE_FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ArtifactError(f"{directory} is not a reward model: it has no {SCALE_FILE}.") from None


@torch.no_grad()
def put_weights(policy: Policy, weights: Mapping[str, Tensor]) -> None:
    """Copy a member's weights to where they are read."""
    for name, value in weights.items():
        policy.get_parameter(name).copy_(value)


def score_sequences(policy: Policy, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int],
                    micro_tokens: int = MICRO_TOKENS) -> Tensor:
    """(B,) raw scores."""
    return score_tokens(policy, sequences, prompt_lengths, micro_tokens)[0]


@torch.no_grad()
def score_tokens(policy: Policy, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int],
                 micro_tokens: int = MICRO_TOKENS) -> tuple[Tensor, list[Tensor]]:
    """(B,) raw scores, and of each response what the per-token head says of its tokens, where there is one.

    Sequences go through the model in runs of at most `micro_tokens`, neighbours sharing prompts.
    """
    scores: list[Tensor] = []
    by_response: list[Tensor] = []
    start = 0
    while start < len(sequences):
        end, tokens = start, 0
        while end < len(sequences) and (end == start or tokens + len(sequences[end]) <= micro_tokens):
            tokens += len(sequences[end])
            end += 1
        rows = sequences[start:end]
        masks = [[False] * length + [True] * (len(ids) - length)
                 for ids, length in zip(rows, prompt_lengths[start:end], strict=True)]
        lengths = prompt_lengths[start:end] if policy.ragged else None
        batch = TokenBatch.pack(rows, masks, lengths)
        out = policy(batch, logprobs=False, scores=True)
        assert out.scores is not None
        scores.append(out.scores)
        said = out.scores.new_zeros(0) if out.token_scores is None else out.token_scores[batch.label_index]
        by_response += said.split(batch.label_counts.tolist() if len(said) else [0] * len(rows))
        start = end
    return torch.cat(scores) if scores else torch.zeros(0), by_response
