"""Every kind of judgment as one likelihood on one score: the objectives `joint`, `regression` and `classification`.

B unique responses of a batch · M judgments of one form · K ranked responses
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from tutelage.algorithms import LossSum, comparison_nll, judgment_loss, ordinal_nll, ranking_nll, strength_nll
from tutelage.models.policy import Policy
from tutelage.records import Preference, Ranking, Rating, Term, Thumb
from tutelage.rewards.config import Annotators
from tutelage.rewards.judges import Book, Judges, Scale
from tutelage.training.fit import Task
from tutelage.training.loop import MicroBatch
from tutelage.training.loop import Term as LossTerm
from tutelage.training.pairs import Group, Judged, pack_responses

Said = tuple[Any, tuple[int, ...]]      # a term, and the places of its responses
THUMBS = "thumbs"           # the scale of two levels
NO_STRENGTH = -1            # in the place of a level, of comparisons that say none
_SOURCES = {Preference: "comparison", Ranking: "ranking", Rating: "rating", Thumb: THUMBS}


def source_of(term: Term) -> str:
    """Which kind of judgment it was."""
    return term.source or _SOURCES[type(term)]      # type: ignore[index]


def judge_of(term: Term) -> str:
    """Whose word it is; those of a kind whom nobody names are one judge."""
    return term.person or f"unnamed ({term.annotator})"


def group_of(term: Term, by: str) -> str:
    return term.annotator if by == "annotator" else str(term.meta.get(by, ""))


def levels_of(term: Term) -> Mapping[str, float]:
    """scale -> value, of what rates one response."""
    if isinstance(term, Thumb):
        return {THUMBS: float(term.up)}
    return term.scores if isinstance(term, Rating) else {}


def book_of(train: Sequence[Term], heldout: Sequence[Term], priors: Annotators) -> Book:
    """Everybody who judged and every scale, by name, whatever the order of the terms; what is counted is counted in `train`."""
    terms = [*train, *heldout]
    values: dict[str, list[float]] = {}
    for term in terms:
        for name, value in levels_of(term).items():
            values.setdefault(name, []).append(value)
    scales = tuple(Scale(name, (1.0,)) if name == THUMBS else Scale.of(name, values[name]) for name in sorted(values))
    judges = tuple(sorted({judge_of(term) for term in terms}))
    judge_places, scale_places = ({name: at for at, name in enumerate(names)} for names in (judges, sorted(values)))
    cells = {(judge_places[judge_of(term)], scale_places[name]) for term in terms for name in levels_of(term)}
    shared = max((max(Counter(term.ranks).values()) for term in terms if isinstance(term, Ranking)), default=1)
    draws = any(isinstance(term, Preference) and term.label == 0.5 for term in terms)
    margins = [term.margin for term in terms if isinstance(term, Preference) and _won(term)]
    strengths = Scale.of("strength", margins if priors.strengths else ())
    return Book(judges=judges, weights=_weights(train, judges), scales=scales, cells=tuple(sorted(cells)), ties=_ties(train),
                strengths=strengths, strength_counts=_strength_counts(strengths, train),
                counts=tuple(_level_counts(scale, train) for scale in scales), most_tied=max(shared, 2 if draws else 1),
                groups=tuple(sorted({group_of(term, priors.group_by) for term in terms if levels_of(term)})) or ("",))


def _weights(terms: Sequence[Term], judges: Sequence[str]) -> tuple[float, ...]:
    found = dict.fromkeys(judges, 0.0)
    for term in terms:
        found[judge_of(term)] += term.weight
    return tuple(found.values())


def _level_counts(scale: Scale, terms: Sequence[Term]) -> tuple[float, ...]:
    found = [0.0] * (len(scale.cuts) + 1)
    for term in terms:
        if (value := levels_of(term).get(scale.name)) is not None:
            found[scale.level(value)] += term.weight
    return tuple(found)


def _won(term: Term) -> bool:
    """A comparison that is no tie, so that its margin says how much better somebody called one of the two."""
    return isinstance(term, Preference) and source_of(term) == "comparison" and term.label != 0.5


def _strength_counts(scale: Scale, terms: Sequence[Term]) -> tuple[float, ...]:
    found = [0.0] * (len(scale.cuts) + 1)
    for term in terms:
        if _won(term):
            found[scale.level(term.margin)] += term.weight      # type: ignore[attr-defined]
    return tuple(found)


def _ties(terms: Sequence[Term]) -> tuple[float, float]:
    """How many pairs were called equal, and how many were compared; the pairs of a ranking weigh as one."""
    tied = compared = 0.0
    for term in terms:
        if isinstance(term, Preference):
            tied, compared = tied + term.weight * (term.label == 0.5), compared + term.weight
        elif isinstance(term, Ranking):
            pairs = list(combinations(term.ranks, 2))
            tied += term.weight * sum(one == other for one, other in pairs) / len(pairs)
            compared += term.weight
    return tied, compared


class Joint(Task):
    """Prompts with their judged responses; every judgment is a summand of one likelihood, counted by its weight.

    The parameters of the judges are the policy's submodule `judges`. Their prior is paid once over all judgments that are
    trained on: `prior_weight` is 1 / those, and 0 for rows that are only looked at.
    """

    label = "Reward model"
    shown: tuple[str, ...] = ("loss", "accuracy")
    scores_only = True

    def __init__(self, groups: Sequence[Judged], book: Book, priors: Annotators, centring: float, share: bool,
                 prior_weight: float = 0.0) -> None:
        self.groups, self.book, self.priors, self.share = groups, book, priors, share
        self.centring, self.prior_weight = centring, prior_weight
        self.lengths = [group.num_tokens for group in groups]
        terms = [term for group in groups for term, _ in group.terms]
        self.sources = tuple(sorted({source_of(term) for term in terms}))
        if not any(decided_pairs(group) for group in groups):
            self.shown = ("loss",)

    def collate(self, rows: Sequence[int]) -> MicroBatch:
        groups, start, said = [self.groups[row] for row in rows], 0, []
        better: list[tuple[int, int]] = []
        for group in groups:
            said += [(term, tuple(start + place for place in at)) for term, at in group.terms]
            better += [(start + chosen, start + rejected) for chosen, rejected in decided_pairs(group)]
            start += len(group.responses)
        fields = {**self._compared([each for each in said if isinstance(each[0], Preference)]),
                  **self._ranked([each for each in said if isinstance(each[0], Ranking)]),
                  **self._rated([each for each in said if isinstance(each[0], Rating | Thumb)]),
                  "pairs": torch.tensor(better, dtype=torch.long).reshape(-1, 2)}
        return MicroBatch(tokens=pack_responses(groups, self.share), rows=tuple(term.id for term, _ in said), fields=fields)

    def _common(self, form: str, said: Sequence[Said], weights: Sequence[float]) -> dict[str, Tensor]:
        return {f"{form}.weight": torch.tensor(weights, dtype=torch.float32),
                f"{form}.judge": torch.tensor([self.book.judge(judge_of(term)) for term, _ in said]),
                f"{form}.source": torch.tensor([self.sources.index(source_of(term)) for term, _ in said])}

    def _compared(self, said: Sequence[Said]) -> dict[str, Tensor]:
        if not said:
            return {}
        scale = self.book.strengths
        level = [scale.level(term.margin) if scale.cuts and _won(term) else NO_STRENGTH for term, _ in said]
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
        return {**found, "prior": 1.0} if self.prior_weight else found

    def terms(self, policy: Policy, batch: MicroBatch) -> Sequence[LossTerm]:
        scores = policy(batch.tokens, logprobs=False, scores=True).scores                                     # (B,)
        judges = policy.get_submodule("judges")
        assert scores is not None and isinstance(judges, Judges)
        fields, forms = batch.fields, self._forms(batch)
        seen = [scores[fields[f"{form}.at"]] for form in forms]                                               # (M, K) each
        nll = torch.cat([_NLL[form](judges, said, fields) for form, said in zip(forms, seen, strict=True)])
        level = torch.cat([_mean_score(form, said, fields) for form, said in zip(forms, seen, strict=True)])
        weight, source = (torch.cat([fields[f"{form}.{name}"] for form in forms]) for name in ("weight", "source"))
        loss = judgment_loss(nll, weight, level, self.centring)
        stats = {**_right(scores.detach(), fields["pairs"]), **self._by_source(nll.detach() * weight, weight, source)}
        found = [LossTerm("judgments", LossSum(loss.sum, loss.count, stats))]
        if self.prior_weight:
            found.append(LossTerm("prior", LossSum(judges.penalty(), scores.new_ones(())), self.prior_weight))
        return found

    def _forms(self, batch: MicroBatch) -> list[str]:
        return [form for form in _NLL if f"{form}.weight" in batch.fields]

    def _by_source(self, nll: Tensor, weight: Tensor, source: Tensor) -> dict[str, Tensor]:
        stats = {}
        for at, name in enumerate(self.sources):
            stats[f"{name}_nll"], stats[f"{name}_share"] = nll[source == at].sum(), weight[source == at].sum()
        return stats

    def rates(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """Nats a judgment of each source, and the share of decided pairs that are ranked as judged."""
        found = {f"{name}_nll": metrics[f"{name}_nll"] / metrics[f"{name}_share"] for name in self.sources
                 if metrics[f"{name}_share"]}
        if metrics["decided"]:
            found["accuracy"] = metrics["correct"] / metrics["decided"]
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


def _right(scores: Tensor, pairs: Tensor) -> dict[str, Tensor]:
    gaps = scores[pairs[:, 0]] - scores[pairs[:, 1]]
    return {"correct": ((1 + gaps.sign()) / 2).sum(), "decided": scores.new_tensor(float(len(pairs)))}
