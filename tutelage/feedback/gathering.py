"""The project's own judgments as training terms, with what a manifest must say of where they came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from tutelage.data.fingerprints import ROWS, read_lines
from tutelage.feedback.aggregation import people, preferences
from tutelage.feedback.each import each_judgment
from tutelage.project import Artifact, Project
from tutelage.records import AnnotatorKind, Term
from tutelage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Terms, and their origin."""

    terms: list[Term]
    people: dict[str, dict[str, str | int]]      # annotator id -> {kind, judgments}
    parents: dict[str, str]                      # role -> samples artifact that was judged
    used: dict[str, list[str]]                   # the same artifacts -> ids of the samples that were
    left_out: int                                # judgments that concern erased rows


def gather(project: Project, store: Store, annotator: AnnotatorKind | None = None, method: str = "vote",
           of_kinds: Set[str] = frozenset()) -> Gathered:
    """Every current preference in the store, but for those over samples that an erasure concerns.

    Args:
        method: how judgments of one pair become one label, as in `aggregation.preferences`.
        of_kinds: kinds of judgment that count; none is all.
    """
    gone = erased_samples(project, store)
    return _gathered(project, store, annotator, gone, list(preferences(store, annotator, gone, method, of_kinds)), set())


def gather_each(project: Project, store: Store, annotator: AnnotatorKind | None = None) -> Gathered:
    """Every current judgment that says something of a response, each in its own words (`each.each_judgment`)."""
    gone = erased_samples(project, store)
    terms, replaced = each_judgment(store, annotator, gone, frozenset(project.ledger.erased_rows))
    return _gathered(project, store, annotator, gone, terms, replaced)


def _gathered(project: Project, store: Store, annotator: AnnotatorKind | None, gone: frozenset[str], terms: list[Term],
              further: Set[str]) -> Gathered:
    """`further` names samples that are spoken of beside those that were judged."""
    judged = further | {sample for judgment in store.judgments(annotator=annotator) for sample in judgment.samples}
    used = {artifact: sorted(found) for artifact in project.artifacts("samples") if (found := _samples(artifact) & judged - gone)}
    roles = ["samples"] if len(used) == 1 else [f"samples {number}" for number in range(1, len(used) + 1)]
    left_out = sum(bool(gone & set(judgment.samples)) for judgment in store.judgments(annotator=annotator))
    return Gathered(terms=terms, people=people(store, gone), left_out=left_out,
                    parents={role: artifact.parent_ref for role, artifact in zip(roles, used, strict=True)},
                    used={artifact.ref: ids for artifact, ids in used.items()})


def erased_samples(project: Project, store: Store) -> frozenset[str]:
    """Ids of the samples in the store that answer a row that was erased, or that a model made with such a row gave."""
    ledger = project.ledger
    if not ledger.erased_rows:
        return frozenset()
    lines, rows, models = ledger.erased_lines, ledger.erased_rows, ledger.descendants
    return frozenset(sample.id for sample in store.samples()
                     if sample.id in lines or sample.prompt.id in rows or sample.policy in models)


def _samples(artifact: Artifact) -> set[str]:
    return {line["id"] for line in read_lines(artifact.path / ROWS)} if (artifact.path / ROWS).is_file() else set()


def origin(gathered: Gathered) -> Mapping[str, Any]:
    """The arguments of `rewards.train.train_reward` that say it."""
    return {"preferences": gathered.terms, "parents": gathered.parents, "people": gathered.people, "used": gathered.used}


def says_more(terms: Sequence[Term], sources: Sequence[str]) -> bool:
    """Whether, of these sources (none is all), something is said that combining pairs would lose; words train where asked."""
    return any(term.source not in ("comparison", "ranking", "edit", "words")
               for term in terms if not sources or term.source in sources)
