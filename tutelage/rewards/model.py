"""A reward artifact at work: samples in, one standardised score each out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from tutelage.batch import TokenBatch
from tutelage.data.chat import ChatTemplate
from tutelage.errors import ArtifactError
from tutelage.models.load import load_policy, load_tokenizer
from tutelage.models.policy import Policy
from tutelage.records import Sample, Scores
from tutelage.rewards.length import LengthTerm
from tutelage.rewards.outcomes import SKIP_REMEDY, Failed, settle
from tutelage.scoring import OnError
from tutelage.training.pairs import render_to_end_of_turn

SCALE_FILE = "scale.json"      # mean and standard deviation on the training responses; what length earns, where that is taken out
MICRO_TOKENS = 2048


class RewardScorer:
    """The `Score` of a reward model. `total` has mean 0 and standard deviation 1 on the responses it was trained with: one unit
    of it stands for `std` of log-odds.
    """

    def __init__(self, policy: Policy, template: ChatTemplate, mean: float = 0.0, std: float = 1.0,
                 on_error: OnError = "stop", length: LengthTerm | None = None) -> None:
        self.policy, self.template, self.mean, self.std, self.on_error = policy, template, mean, std, on_error
        self.length = length

    @classmethod
    def load(cls, directory: Path, precision: str, on_error: OnError = "stop") -> RewardScorer:
        tokenizer = load_tokenizer(directory)
        try:
            scale = json.loads((directory / SCALE_FILE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtifactError(f"{directory} is not a reward model: it has no {SCALE_FILE}.") from None
        return cls(load_policy(directory, precision, score_head=True), ChatTemplate.load(directory, tokenizer),
                   scale["mean"], scale["std"], on_error, LengthTerm(**scale["length"]) if "length" in scale else None)

    def score(self, samples: Sequence[Sample]) -> Scores:
        """Scores of what was sampled, read at the response's last token.

        The sample's own ids are scored where they are this model's ids for its prompt; else its text is rendered.

        Raises:
            RewardError: if a score is not finite and such samples are not to be skipped; the sample is named.
        """
        rows = [self._ids(sample) for sample in samples]
        raw = score_sequences(self.policy, [ids for ids, _ in rows], [length for _, length in rows])
        if self.length is not None:
            raw = raw - self.length.earned([len(ids) - length for ids, length in rows])
        outcomes = [each if math.isfinite(each) else Failed("gave no finite score", SKIP_REMEDY)
                    for each in ((raw - self.mean) / self.std).tolist()]
        return settle("the reward model", outcomes, samples, self.on_error)

    def num_tokens(self, sample: Sample) -> int:
        """Of the prompt and the response, as they are scored."""
        return len(self._ids(sample)[0])

    def _ids(self, sample: Sample) -> tuple[tuple[int, ...], int]:
        prompt = self.template.render_prompt(sample.prompt.messages)
        if sample.response_ids and sample.prompt_ids == prompt:
            return (*prompt, *sample.response_ids), len(prompt)
        return render_to_end_of_turn(self.template, sample.prompt.messages, sample.response).ids, len(prompt)


@torch.no_grad()
def score_sequences(policy: Policy, sequences: Sequence[Sequence[int]], prompt_lengths: Sequence[int],
                    micro_tokens: int = MICRO_TOKENS) -> torch.Tensor:
    """(B,) raw scores; sequences go through the model in runs of at most `micro_tokens`, neighbours sharing prompts."""
    scores, start = [], 0
    while start < len(sequences):
        end, tokens = start, 0
        while end < len(sequences) and (end == start or tokens + len(sequences[end]) <= micro_tokens):
            tokens += len(sequences[end])
            end += 1
        rows = sequences[start:end]
        masks = [[False] * length + [True] * (len(ids) - length)
                 for ids, length in zip(rows, prompt_lengths[start:end], strict=True)]
        lengths = prompt_lengths[start:end] if policy.ragged else None
        out = policy(TokenBatch.pack(rows, masks, lengths), logprobs=False, scores=True)
        assert out.scores is not None
        scores.append(out.scores)
        start = end
    return torch.cat(scores) if scores else torch.zeros(0)
