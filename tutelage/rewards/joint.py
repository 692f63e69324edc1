"""Every kind of judgment as one likelihood on one score: the objectives `joint`, `regression` and `classification`.

B unique responses of a batch · M judgments of one form · K ranked responses
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, comparison_nll, judgment_loss, ordinal_nll, ranking_nll, strength_nll
from tutelage.models.policy import Policy
from tutelage.records import Preference, Ranking, Rating, Thumb
from tutelage.rewards.config import Annotators, Marks
from tutelage.rewards.judges import Book, Judges
from tutelage.rewards.marks import collate_marks, marks_loss
from tutelage.rewards.terms import group_of, is_scored, judge_of, levels_of, source_of, strength_of
from tutelage.training.fit import Task
from tutelage.training.loop import MicroBatch
from tutelage.training.loop import Term as LossTerm
from tutelage.training.pairs import Group, Judged, pack_sequences

Said = tuple[Any, tuple[int, ...]]      # a term, and the places of its responses
NO_STRENGTH = -1                        # in the place of a level, of comparisons that say none


class Joint(Task):
    """Prompts with their judged responses; every judgment is a summand of one likelihood, counted by its weight. Beside it,
    each with a count and a weight of its own, stand what passages are marked and what critiques say.

    The parameters of the judges are the policy's submodule `judges`. Their prior is paid once over all judgments that are
    trained on: `prior_weight` is 1 / those, and 0 for rows that are only looked at.
    """

    label = "Reward model"
    shown: tuple[str, ...] = ("loss", "accuracy")

    def __init__(self, groups: Sequence[Judged], book: Book, priors: Annotators, centring: float, share: bool,
                 prior_weight: float = 0.0, marks: Marks | None = None, critique_lm: float = 0.0) -> None:
        self.groups, self.book, self.priors, self.share = groups, book, priors, share
        self.centring, self.prior_weight, self.marks, self.critique_lm = centring, prior_weight, marks or Marks(), critique_lm
        self.lengths = [group.num_tokens for group in groups]
        self.scores_only, self.marked = not any(group.words for group in groups), any(group.passages for group in groups)
        terms = [term for group in groups for term, _ in group.terms if is_scored(term)]
        self.sources = tuple(sorted({source_of(term) for term in terms}))
        if not any(decided_pairs(group) for group in groups):
            self.shown = ("loss",)

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        groups, start, said = [self.groups[row] for row in rows], 0, []
        better: list[tuple[int, int]] = []
        for group in groups:
            said += [(term, tuple(start + place for place in at)) for term, at in group.terms]
            better += [(start + chosen, start + rejected) for chosen, rejected in decided_pairs(group)]
            start += len(group.sequences)
        tokens = pack_sequences(groups, self.share)
        fields = {**self._compared([each for each in said if isinstance(each[0], Preference)]),
                  **self._ranked([each for each in said if isinstance(each[0], Ranking)]),
                  **self._rated([each for each in said if isinstance(each[0], Rating | Thumb)]),
                  **collate_marks(groups, tokens, self.marks.neutral), "words.weight": _word_weights(groups),
                  "pairs": torch.tensor(better, dtype=torch.long).reshape(-1, 2)}
        return MicroBatch(tokens=tokens, rows=tuple(term.id for term, _ in said), fields=fields)

    def _common(self, form: str, said: Sequence[Said], weights: Sequence[float]) -> dict[str, Tensor]:
        return {f"{form}.weight": torch.tensor(weights, dtype=torch.float32),
                f"{form}.judge": torch.tensor([self.book.judge(judge_of(term)) for term, _ in said]),
                f"{form}.source": torch.tensor([self.sources.index(source_of(term)) for term, _ in said])}

    def _compared(self, said: Sequence[Said]) -> dict[str, Tensor]:
        if not said:
            return {}
        scale = self.book.strengths
        strengths = [strength_of(term) if scale.cuts else None for term, _ in said]
        level = [NO_STRENGTH if each is None else scale.level(each) for each in strengths]
        margin = [term.margin if at == NO_STRENGTH else 0.0 for at, (term, _) in zip(level, said, strict=True)]
        return {**self._common("compared", said, [term.weight for term, _ in said]), "compared.strength": torch.tensor(level),
                "compared.at": torch.tensor([at for _, at in said]),                                          # (M, 2)
                "compared.label": torch.tensor([term.label for term, _ in said]),
                "compared.margin": torch.tensor(margin, dtype=torch.float32)}

    def _ranked(self, said: Sequence[Said]) -> dict[str, Tensor]:
        if not said:
            return {}
        most = max(len(at) for _, at in said)
        return {**self._common("ranked", said, [term.weight for term, _ in said]),
                "ranked.at": torch.tensor([(*at, *[at[0]] * (most - len(at))) for _, at in said]),            # (M, K)
                "ranked.ranks": torch.tensor([(*term.ranks, *[0] * (most - len(at))) for term, at in said])}

    def _rated(self, said: Sequence[Said]) -> dict[str, Tensor]:
        """Each aspect of a rating is a row, and all of them together weigh as one judgment."""
        rows = [((term, at), name, value) for term, at in said for name, value in levels_of(term).items()]
        if not rows:
            return {}
        book, scales = self.book, [self.book.scale(name) for _, name, _ in rows]
        weights = [term.weight / len(levels_of(term)) for (term, _), *_ in rows]
        common = self._common("rated", [each for each, *_ in rows], weights)
        return {**common, "rated.at": torch.tensor([at for (_, at), *_ in rows]),                             # (M, 1)
                "rated.scale": torch.tensor(scales),
                "rated.level": torch.tensor([book.scales[scale].level(value)
                                             for scale, (*_, value) in zip(scales, rows, strict=True)]),
                "rated.cell": torch.tensor([book.places[judge, scale] for judge, scale in
                                            zip(common["rated.judge"].tolist(), scales, strict=True)]),
                "rated.group": torch.tensor([book.groups.index(group_of(term, self.priors.group_by))
                                             for (term, _), *_ in rows])}

    def counts(self, batch: MicroBatch) -> Mapping[str, float]:
        found = {"judgments": float(sum(batch.fields[f"{form}.weight"].sum() for form in self._forms(batch)))}
        if self.marked:
            found["marks"] = float(batch.fields["marked.weight"].sum())
        if not self.scores_only:
            found["words"] = float(batch.fields["words.weight"].sum())
        return {**found, "prior": 1.0} if self.prior_weight else found

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[LossTerm]:
        says = bool(batch.tokens.response_mask.any())
        out = policy(batch.tokens, logprobs=says, scores=True)
        judges = policy.get_submodule("judges")
        assert out.scores is not None and isinstance(judges, Judges)
        found = [LossTerm("judgments", self._judgments(judges, out.scores, batch))]
        if self.prior_weight:
            found.append(LossTerm("prior", LossSum(judges.penalty(), out.scores.new_ones(())), self.prior_weight))
        if self.marked and out.token_scores is not None:
            found.append(LossTerm("marks", marks_loss(out.token_scores, batch.fields), self.marks.weight))
        if out.logprobs is not None:
            weight = batch.fields["words.weight"]
            found.append(LossTerm("words", LossSum(-(weight * out.logprobs).sum(), weight.sum()), self.critique_lm))
        return found

    def _judgments(self, judges: Judges, scores: Tensor, batch: MicroBatch) -> LossSum:
        """Of the scores (B,) of all sequences."""
        fields, forms = batch.fields, self._forms(batch)
        if not forms:      # 0 that still depends on the scores: what is trained is reached by every batch
            return LossSum(0.0 * scores.sum(), scores.new_zeros(()), _right(scores.detach(), fields["pairs"]))
        seen = [scores[fields[f"{form}.at"]] for form in forms]                                               # (M, K) each
        nll = torch.cat([_NLL[form](judges, said, fields) for form, said in zip(forms, seen, strict=True)])
        level = torch.cat([_mean_score(form, said, fields) for form, said in zip(forms, seen, strict=True)])
        weight, source = (torch.cat([fields[f"{form}.{name}"] for form in forms]) for name in ("weight", "source"))
        loss = judgment_loss(nll, weight, level, self.centring)
        stats = {**_right(scores.detach(), fields["pairs"]), **self._by_source(nll.detach() * weight, weight, source)}
        return LossSum(loss.sum, loss.count, stats)

    def _forms(self, batch: MicroBatch) -> list[str]:
        return [form for form in _NLL if f"{form}.weight" in batch.fields]

    def _by_source(self, nll: Tensor, weight: Tensor, source: Tensor) -> dict[str, Tensor]:
        stats = {}
        for at, name in enumerate(self.sources):
            stats[f"{name}_nll"], stats[f"{name}_share"] = nll[source == at].sum(), weight[source == at].sum()
        return stats

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Nats a judgment of each source, the share of decided pairs that are ranked as judged, and that of the passages
        whose tokens have the right sign."""
        found = {f"{name}_nll": metrics[f"{name}_nll"] / metrics[f"{name}_share"] for name in self.sources
                 if metrics.get(f"{name}_share")}
        if metrics["decided"]:
            found["accuracy"] = metrics["correct"] / metrics["decided"]
        if metrics.get("marked"):
            found["marks_accuracy"] = metrics["marked_right"] / metrics["marked"]
        return found


def decided_pairs(group: Group | Judged, ties: bool = False) -> list[tuple[int, int]]:
    """(better, worse) by their places, of everything that says which of two is better; a ranking has several. With `ties`
    those too that are called equal.
    """
    said = [(term, (chosen, rejected)) for chosen, rejected, term in group.pairs] if isinstance(group, Group) else group.terms
    pairs: list[tuple[int, int]] = []
    for term, at in said:
        if isinstance(term, Preference) and (ties or term.label != 0.5):
            pairs.append((at[0], at[1]) if term.label >= 0.5 else (at[1], at[0]))
        elif isinstance(term, Ranking):
            placed = sorted(zip(term.ranks, at, strict=True))
            pairs += [(one, other) for (rank, one), (next_, other) in combinations(placed, 2) if ties or rank < next_]
    return pairs


def _compared_nll(judges: Judges, scores: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
    label, level, reliability = fields["compared.label"], fields["compared.strength"], judges.factor(fields["compared.judge"])
    nll = comparison_nll(scores[:, 0], scores[:, 1], label, margin=fields["compared.margin"], reliability=reliability,
                         tie=judges.tie)
    said = (level != NO_STRENGTH).nonzero().squeeze(1)
    if not len(said):
        return nll
    ahead, sure = scores[said, 0] - scores[said, 1], reliability[said]
    wins, loses = (strength_nll(side, level[said], judges.strength_cuts, reliability=sure) for side in (ahead, -ahead))
    return nll.index_add(0, said, label[said] * wins + (1 - label[said]) * loses)


def _ranked_nll(judges: Judges, scores: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
    return ranking_nll(scores, fields["ranked.ranks"], reliability=judges.factor(fields["ranked.judge"]), tie=judges.tie,
                       most_tied=judges.book.most_tied)


def _rated_nll(judges: Judges, scores: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
    scale = fields["rated.scale"]
    thresholds = judges.thresholds(fields["rated.cell"], scale, fields["rated.group"])
    return ordinal_nll(scores[:, 0], fields["rated.level"], thresholds,
                       reliability=judges.factor(fields["rated.judge"], scale))


_NLL: Mapping[str, Callable[[Judges, Tensor, Mapping[str, Tensor]], Tensor]] = {
    "compared": _compared_nll, "ranked": _ranked_nll, "rated": _rated_nll}


def _mean_score(form: str, scores: Tensor, fields: Mapping[str, Tensor]) -> Tensor:
    """(M,) of the responses a judgment is about."""
    if form != "ranked":
        return scores.mean(1)
    ranked = fields["ranked.ranks"] > 0
    return (scores * ranked).sum(1) / ranked.sum(1)


def _word_weights(groups: Sequence[Judged]) -> Tensor:
    """(L,) of each token of the critiques, in the order they are packed in: that of its critique."""
    return torch.tensor([group.terms[at][0].weight for group in groups for at, spoken in group.words.items()
                         for _ in range(spoken.num_labels)], dtype=torch.float32)


def _right(scores: Tensor, pairs: Tensor) -> dict[str, Tensor]:
    gaps = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return {"correct": ((1 + gaps.sign()) / 2).sum(), "decided": scores.new_tensor(float(len(pairs)))}
