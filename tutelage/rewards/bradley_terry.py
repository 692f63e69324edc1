"""The objective `bradley_terry`: pairs of responses, soft labels, and nothing learned of who judged.

B unique responses of a batch · K pairs among them
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tutelage.algorithms import bradley_terry_loss
from tutelage.models.policy import Policy
from tutelage.training.fit import Task
from tutelage.training.loop import MicroBatch, Term
from tutelage.training.pairs import Group, collate_groups


class BradleyTerry(Task):
    """Prompts with their judged responses; one term, counted in judgments."""

    label = "Reward model"
    shown = ("loss", "accuracy")
    scores_only = True

    def __init__(self, groups: Sequence[Group], centring: float, share: bool) -> None:
        self.groups, self.centring, self.share = groups, centring, share
        self.lengths = [group.num_tokens for group in groups]

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        return collate_groups([self.groups[row] for row in rows], self.share)

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        return {"pairs": float(batch.fields["weight"].sum())}

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[Term]:
        scores = policy(batch.tokens, logprobs=False, scores=True).scores
        assert scores is not None
        fields = batch.fields
        return [Term("pairs", bradley_terry_loss(scores[fields["chosen"]], scores[fields["rejected"]], fields["margin"],
                                                 fields["label"], self.centring, fields["weight"]))]

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {"accuracy": metrics["correct"] / max(metrics["decided"], 1e-9)}
