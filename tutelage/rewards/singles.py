"""The plain objectives on single responses, without anything learned of who judged: `regression` on ratings and
`classification` of thumbs.

B unique responses of a batch · M judgments
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from tutelage.algorithms import judgment_loss, ordinal_nll, score_nll
from tutelage.models.policy import Policy
from tutelage.records import Rating, Term, Thumb
from tutelage.training.fit import Task
from tutelage.training.loop import MicroBatch
from tutelage.training.loop import Term as LossTerm
from tutelage.training.pairs import Judged, pack_responses

Moments = Mapping[str, tuple[float, float]]      # aspect -> mean and standard deviation of what was given


def moments_of(terms: Sequence[Term]) -> Moments:
    """Of each aspect that was rated, by weight."""
    given: dict[str, list[tuple[float, float]]] = {}
    for term in terms:
        for name, value in (term.scores if isinstance(term, Rating) else {}).items():
            given.setdefault(name, []).append((value, term.weight))
    return {name: _moments(values) for name, values in sorted(given.items())}


def _moments(values: Sequence[tuple[float, float]]) -> tuple[float, float]:
    whole = math.fsum(weight for _, weight in values) or 1.0
    mean = math.fsum(value * weight for value, weight in values) / whole
    return mean, math.sqrt(math.fsum(weight * (value - mean) ** 2 for value, weight in values) / whole) or 1.0


class Singles(Task):
    """Prompts with their judged responses. A rating's target is the mean over its aspects of (value - mean) / deviation; a
    thumb is up with probability sigma(score).
    """

    label = "Reward model"
    scores_only = True

    def __init__(self, groups: Sequence[Judged], moments: Moments, share: bool) -> None:
        self.groups, self.moments, self.share = groups, moments, share
        self.lengths = [group.num_tokens for group in groups]
        self.regression = all(isinstance(term, Rating) for group in groups for term, _ in group.terms)

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        groups, start = [self.groups[row] for row in rows], 0
        said: list[tuple[Term, int]] = []
        for group in groups:
            said += [(term, start + at[0]) for term, at in group.terms]
            start += len(group.responses)
        return MicroBatch(tokens=pack_responses(groups, self.share), rows=tuple(term.id for term, _ in said), fields={
            "at": torch.tensor([at for _, at in said]), "weight": torch.tensor([term.weight for term, _ in said]),
            "target": torch.tensor([self._target(term) for term, _ in said])})

    def _target(self, term: Term) -> float:
        if isinstance(term, Thumb):
            return float(term.up)
        assert isinstance(term, Rating)
        standard = [(value - self.moments[name][0]) / self.moments[name][1] for name, value in term.scores.items()]
        return math.fsum(standard) / len(standard)

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"judgments": float(batch.fields["weight"].sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[LossTerm]:
        scores = policy(batch.tokens, logprobs=False, scores=True).scores
        assert scores is not None
        said, target = scores[batch.fields["at"]], batch.fields["target"]
        nll = score_nll(said, target) if self.regression else ordinal_nll(said, target.long(), said.new_zeros(len(said), 1))
        return [LossTerm("judgments", judgment_loss(nll, batch.fields["weight"]))]
