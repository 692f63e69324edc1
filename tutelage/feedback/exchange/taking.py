"""Judgments from files into the store, a batch at a time.

Each batch is one transaction. An import that breaks off is finished by repeating it: what is there already is known by
its content and kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from tutelage.errors import DataError
from tutelage.feedback.exchange.records import told_of
from tutelage.feedback.exchange.told import Told, judgment_of
from tutelage.records import AnnotatorKind, Judgment, Record, Sample
from tutelage.store import Store

BATCH = 500
REFUSALS_KEPT = 1_000

Whole = tuple[list[Sample], Judgment]                # a judgment as a store of ours kept it
Row = tuple[str, Callable[[], Iterable[Told | Whole]]]       # how a message names it, and what it tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What an import did. Every judgment told is new or known already; every row tells some or is refused."""

    num_records: int                       # rows given
    num_new: int
    num_known: int
    num_rounded: int                       # soft labels that became one plain answer
    num_refused: int
    refused: tuple[tuple[str, str], ...]   # (row or record, why): the first ones
    people: tuple[str, ...] = ()


def import_preferences(store: Store, records: Iterable[Record], person: str, annotator: AnnotatorKind = "human") -> Taken:
    """Keep each record as samples and one judgment by `person`, who must be in the store as `annotator`.

    A record that says another kind of annotator judged it is refused.

    Raises:
        StoreError: if the person is unknown or of another kind. Nothing is kept then.
    """
    def row(record: Record) -> Row:
        return record.id, lambda: [replace(told_of(record), person="")]

    return take(store, map(row, records), person, annotator)


def take(store: Store, rows: Iterable[Row], person: str, annotator: AnnotatorKind = "human",
         add_people: Callable[[str, AnnotatorKind], None] | None = None) -> Taken:
    """Keep what every row tells.

    Args:
        person, annotator: who said what names nobody, and of which kind everybody is who is not said to be another.
        add_people: called once for everybody a row names, before their first judgment; None: the store knows them.
    Raises:
        StoreError: if the store knows somebody not at all, or as another kind of annotator. What batches before held stays.
    """
    tally = _Tally()
    for batch in _batches(_judgments(rows, person, annotator, tally)):
        if add_people is not None:
            for said in batch:
                if said[1].annotator_id not in tally.people:
                    add_people(said[1].annotator_id, said[1].annotator)
                    tally.people.add(said[1].annotator_id)
        judgments = {judgment.id: judgment for _, judgment in batch}
        samples = {sample.id: sample for drawn, _ in batch for sample in drawn}
        new = store.add_judgments(judgments.values(), samples=samples.values())
        tally.new += new
        tally.known += len(batch) - new
    return Taken(num_records=tally.rows, num_new=tally.new, num_known=tally.known, num_rounded=tally.rounded,
                 num_refused=tally.num_refused, refused=tuple(tally.refused), people=tuple(sorted(tally.people)))


class _Tally:
    def __init__(self) -> None:
        self.rows = self.new = self.known = self.rounded = self.num_refused = 0
        self.refused: list[tuple[str, str]] = []
        self.people: set[str] = set()

    def refuse(self, name: str, why: str) -> None:
        self.num_refused += 1
        if len(self.refused) < REFUSALS_KEPT:
            self.refused.append((name, why))


def _judgments(rows: Iterable[Row], person: str, annotator: AnnotatorKind,
               tally: _Tally) -> Iterator[Whole]:
    """What is told, row by row; a row of which one part is refused is refused whole."""
    for name, tell in rows:
        tally.rows += 1
        try:
            made, rounded = [], 0
            for told in tell():
                if not isinstance(told, Told):
                    made.append(told)
                    continue
                if told.annotator not in (None, annotator) and not told.person:
                    raise DataError(f"says that it was judged by a {told.annotator} annotator, not a {annotator} one")
                made.append(judgment_of(told, told.person or person, told.annotator or annotator))
                rounded += told.rounded
        except DataError as error:
            tally.refuse(name, str(error))
            continue
        tally.rounded += rounded
        yield from made


def _batches(judgments: Iterator[Whole]) -> Iterator[list[Whole]]:
    batch: list[Whole] = []
    for each in judgments:
        batch.append(each)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
