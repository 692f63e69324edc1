"""The project's judgments one voice at a time, for those who ask how people agree: nothing is combined here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tutelage.feedback.aggregation import hear, settle, terms
from tutelage.feedback.gathering import erased_samples
from tutelage.messages import Messages
from tutelage.project import Project
from tutelage.records import Preference, Rating, Thumb
from tutelage.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One judge's word on one pair: its kind of judgment, whether the chosen response was shown first (None: nobody knows),
    and the samples that hold the texts."""

    term: Preference
    kind: str
    chosen_first: bool | None
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    pairs: tuple[Spoken, ...] = ()
    ratings: tuple[Rating, ...] = ()
    thumbs: tuple[Thumb, ...] = ()
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)      # judgment -> what it was about

    @property
    def prompts(self) -> tuple[Messages, ...]:
        return tuple(dict.fromkeys(each.prompt for each in (*(each.term for each in self.pairs), *self.ratings, *self.thumbs)))


def speech(project: Project, store: Store) -> Speech:
    """Every current judgment that no reviewer overruled, but for those over samples that an erasure concerns."""
    gone = erased_samples(project, store)
    judged = {judgment.id: judgment for judgment in store.judgments()}
    pairs = tuple(Spoken(term=each.term, kind=judged[each.term.judgment_ids[0]].kind, chosen_first=each.chosen_first,
                         samples=tuple(sorted({sample for id in each.term.judgment_ids for sample in judged[id].samples})))
                  for each in settle(hear(store, without=gone)) if each.say != "overruled")
    single = list(terms(store, without=gone))
    return Speech(pairs=pairs, ratings=tuple(term for term in single if isinstance(term, Rating)),
                  thumbs=tuple(term for term in single if isinstance(term, Thumb)),
                  samples={id: judgment.samples for id, judgment in judged.items()})
