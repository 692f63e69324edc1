"""What a reward model is trained on: the terms, whose they are, and where they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tutelage.data.datasets import resolve_dataset
from tutelage.data.mixed import load_mixed
from tutelage.errors import ConfigError, DataError
from tutelage.lineage import content_hash
from tutelage.project import Project
from tutelage.records import RECORD_TYPES, Critique, Marked, Preference, Term
from tutelage.rewards.config import RewardModel
from tutelage.rewards.terms import source_of

FEEDBACK = "feedback"
KINDS = ("preference", "ranking", "rating", "thumb", "marked", "critique")
# objective -> the kinds of terms that can say something to it
READ: Mapping[str, tuple[str, ...]] = {
    "bradley_terry": ("preference",), "joint": KINDS, "regression": ("rating",), "classification": ("thumb",)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Terms and their origin, as a manifest tells it."""

    terms: list[Term]
    objective: str                                               # one of `READ`
    left_out: Mapping[str, int]                                  # source -> terms that this objective has no use for
    parents: dict[str, str] = field(default_factory=dict)        # role -> data set
    sources: dict[str, str] = field(default_factory=dict)        # file, or what was given -> sha256
    rows: dict[str, set[str]] = field(default_factory=dict)      # data set's reference -> ids of its rows

    def used(self, terms: Sequence[Term]) -> dict[str, list[str]]:
        """Of the data sets, the rows that are among `terms`."""
        ids = {term.id for term in terms}
        return {ref: sorted(rows & ids) for ref, rows in self.rows.items()}


def read_terms(project: Project, config: RewardModel, given: Sequence[Term] | None) -> Read:
    """The judgments that `config` names, `given` ones standing for the project's own.

    Raises:
        DataError: if there is none, or none that the objective can be taught by; ConfigError: if a source is not there.
    """
    terms: list[Term] = list(given or ())
    parents: dict[str, str] = {}
    sources, rows = {}, {}
    if given is not None:
        if not given:
            raise DataError("there is no judgment to train on. Import some: tutelage feedback import FILE.")
        sources[f"{len(given)} judgments"] = content_hash([term.to_json() for term in given])
    names = [name for name in ((config.data,) if given is None else ()) + config.also if name != FEEDBACK or given is None]
    for name in names:
        found = load_mixed(resolve_dataset(project, name), KINDS)
        terms += found.records
        sources.update(found.sources)
        for parent in found.parents.values():
            parents["dataset" if not parents else f"dataset {len(parents) + 1}"] = parent
            rows[parent.partition("#")[0]] = {term.id for term in found.records}
    return _selected(config, terms, parents, sources, rows)


def _selected(config: RewardModel, terms: list[Term], parents: dict[str, str], sources: dict[str, str],
              rows: dict[str, set[str]]) -> Read:
    terms = [*terms, *(words for term in terms if (words := words_of(term)) is not None)]
    there = count_judgments(terms)
    if unknown := [name for name in config.sources if name not in there]:
        raise ConfigError(f"reward: there are no judgments of the source {unknown[0]!r}; there are "
                          f"{', '.join(f'{name} ({count})' for name, count in sorted(there.items()))}.")
    wanted = [term for term in terms if (not config.sources or source_of(term) in config.sources) and not is_off(term, config)]
    objective = "joint" if config.critique_lm else objective_of(config.objective, wanted)
    kept = [term for term in wanted if teaches(term, objective, config)]
    if all(isinstance(term, Critique) for term in kept):
        raise DataError(f"reward: the objective {objective} learns from {' and '.join(READ[objective])} terms, and of "
                        f"{len(terms)} there is none that says how good a response is ({', '.join(sorted(there))}). Take "
                        "objective joint, and other sources.")
    ids = {id(term) for term in kept}
    return Read(terms=kept, objective=objective, parents=parents, sources=sources, rows=rows,
                left_out=dict(sorted(count_judgments([term for term in terms if id(term) not in ids]).items())))


def is_off(term: Term, config: RewardModel) -> bool:
    """Whether it is of a kind that has no weight."""
    return (isinstance(term, Marked) and not config.marks.weight) or (isinstance(term, Critique) and not config.critique_lm)


def teaches(term: Term, objective: str, config: RewardModel) -> bool:
    """Whether it says something to an objective."""
    return isinstance(term, tuple(RECORD_TYPES[kind] for kind in READ[objective])) and not is_off(term, config)


def words_of(term: Term) -> Critique | None:
    """What was said in words before a response was revised, where a file's row tells both."""
    said = term.meta.get("critique") if isinstance(term, Preference) and term.source == "critique" else None
    if not said:
        return None
    assert isinstance(term, Preference)
    return Critique(id=f"{term.id} in words", prompt=term.prompt, response=term.rejected, text=str(said), weight=term.weight,
                    annotator=term.annotator, person=term.person, judgment_ids=term.judgment_ids)


def count_judgments(terms: Sequence[Term]) -> Counter[str]:
    """By source, how many judgments they are: several may have become one term, and one several."""
    found = {(source_of(term), id) for term in terms for id in term.judgment_ids or (term.id,)}
    return Counter(source for source, _ in found)


def objective_of(asked: str, terms: Sequence[Term]) -> str:
    """What "auto" stands for: `bradley_terry` where every term says which of two is better, else `joint`."""
    if asked != "auto":
        return asked
    return "bradley_terry" if all(isinstance(term, Preference) for term in terms) else "joint"


def unnamed_people(terms: Sequence[Term]) -> dict[str, Any]:
    """Who judged, for a manifest, where nobody's id is known: by kind of annotator."""
    counts = Counter(kind for term in terms for kind in [term.annotator] * max(1, len(term.judgment_ids)))
    return {f"unnamed ({kind})": {"kind": kind, "judgments": count} for kind, count in sorted(counts.items())}
