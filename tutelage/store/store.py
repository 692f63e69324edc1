"""`Store`: people, samples and judgments go in once and stay; what comes out is ordered by content id, never by time.

    with Store.open(project.store_place) as store:
        store.add_person("ada", "human", "Ada", consent_version="1", consent_text=text, language="en")
        store.add_samples(samples)
        store.add_judgments(judgments)
        for judgment in store.judgments(kind="comparison"): ...

Each call is one transaction: all of a batch is kept, or none of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Self

from sqlalchemy import func, select

from tutelage.errors import StoreError
from tutelage.lineage import canonical_json
from tutelage.records import AnnotatorKind, Judgment, Sample
from tutelage.store import admission, rows
from tutelage.store.access import Access
from tutelage.store.accounts import Accounts
from tutelage.store.audit import Audit
from tutelage.store.campaigns import Campaigns
from tutelage.store.database import BUSY_TIMEOUT_S, Database
from tutelage.store.opening import open_database
from tutelage.store.progress import Standings
from tutelage.store.reading import READ_AHEAD, is_current, judgment_rows, stream
from tutelage.store.review import Review
from tutelage.store.schema import consents, judgments, people, prompts, samples
from tutelage.store.tasks import Tasks


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who judges. `consent_version` is the last one given, "" where none was."""

    id: str
    annotator: AnnotatorKind
    name: str
    created_by: str = ""
    consent_version: str = ""


class Store:
    """One feedback database. Safe to share between threads; each process opens its own."""

    def __init__(self, database: Database) -> None:
        self.where = database.where            # a file's path, or the URL without its password
        self._database = database
        self._reader, self._writer = database.reader, database.writer
        self._reading, self._writing = database.reading, database.writing
        self.campaigns = Campaigns(database)   # what is asked
        self.tasks = Tasks(database)           # giving it to people, and taking their answers
        self.review = Review(database)         # where they differ, flags, contests, and what a reviewer says
        self.progress = Standings(database)    # how campaigns and people stand
        self.accounts = Accounts(database)     # people with roles
        self.access = Access(database)         # sessions, links and keys
        self.audit = Audit(database)           # what was done

    @classmethod
    def open(cls, place: Path | str, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Self:
        """The store at `place`, a file or `postgresql://…`: made if it is not there, upgraded if of an older version.

        Raises:
            StoreError: if it is no store of ours, of a newer version, damaged, read-only or out of reach.
        """
        return cls(open_database(place, busy_timeout_s))

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_person(self, id: str, annotator: AnnotatorKind, name: str, consent_version: str = "",
                   consent_text: str = "", language: str = "", purposes: Sequence[str] = ("training", "evaluation"),
                   created_by: str = "") -> None:
        """Make a person known, or add a newer consent to one who is. The same again changes nothing.

        Of the consent's text only the sha256 is kept; the text itself is a file of whoever asked for it.

        Raises:
            StoreError: if the id is taken by an annotator of another kind or name, or this version and language of the
                consent stands here with another text or other purposes.
        """
        person = {"id": id, "annotator": annotator, "name": name, "created_by": created_by}
        consent = {"person_id": id, "version": consent_version, "language": language,
                   "text_sha256": hashlib.sha256(consent_text.encode()).hexdigest(),
                   "purposes": canonical_json(sorted(purposes))}
        with self._writing() as connection:
            admission.admit_person(connection, person)
            if consent_version:
                admission.admit_consent(connection, {**consent, "given_at": datetime.now(UTC).isoformat()})

    def people(self) -> list[Person]:
        """Everybody, by id."""
        with self._reading() as connection:
            given = admission.consent_versions(connection)
            found = connection.execute(select(people).order_by(people.c.id)).mappings()
            return [Person(**row, consent_version=given.get(row["id"], "")) for row in found]

    def consents(self, person: str) -> list[dict[str, Any]]:
        """What a person agreed to: version, language, text_sha256, purposes and given_at (UTC), oldest first."""
        query = select(consents).where(consents.c.person_id == person).order_by(consents.c.given_at, consents.c.version)
        with self._reading() as connection:
            return [{**row, "purposes": json.loads(row["purposes"])} for row in connection.execute(query).mappings()]

    def add_samples(self, batch: Iterable[Sample]) -> int:
        """Keep samples; how many were new. The same id with the same content is a no-op.

        Raises:
            StoreError: if an id stands for another content, here or in the store. Nothing of the batch is kept then.
        """
        drawn = list(batch)            # before the transaction: a slow source must not hold others up
        with self._writing() as connection:
            return admission.admit_samples(connection, drawn)

    def samples(self, ids: Iterable[str] | None = None) -> Iterator[Sample]:
        """The samples with these ids, or all, by id; read as they are asked for.

        Raises:
            StoreError: if an id is unknown.
        """
        query = select(samples, prompts.c.body.label("prompt_body")).join(prompts).order_by(samples.c.id)
        if ids is None:
            with self._reading() as connection:
                for row in stream(connection, query):
                    yield rows.sample_from_row(row)
            return
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), READ_AHEAD):
            part = wanted[start:start + READ_AHEAD]
            with self._reading() as connection:
                found = connection.execute(query.where(samples.c.id.in_(part))).mappings().all()
            if missing := sorted(set(part) - {row["id"] for row in found}):
                raise StoreError(f"{self.where} has no sample {missing[0]!r}"
                                 f"{f' and {len(missing) - 1} more' if missing[1:] else ''}.")
            yield from (rows.sample_from_row(dict(row)) for row in found)

    def add_judgments(self, batch: Iterable[Judgment], keys: Mapping[str, str] | None = None,
                      samples: Iterable[Sample] = ()) -> int:
        """Keep judgments; how many were new. The same id with the same content is a no-op.

        Args:
            batch: their people must be in the store, what they were shown in the store or `samples`, and what one
                supersedes in the store or the batch.
            keys: judgment id -> the key a client made up for its answer, so that sending it twice keeps it once; the
                judgment's own id where there is none.
            samples: kept in the same transaction, before the judgments.
        Raises:
            StoreError: if an id or a key stands for something else, a person, sample or superseded judgment is unknown
                or does not fit, or an answer has been superseded already. Nothing of the batch is kept then.
        """
        said, drawn = list(batch), list(samples)
        with self._writing() as connection:
            admission.admit_samples(connection, drawn)
            return admission.admit_judgments(connection, said, keys or {})

    def judgments(self, kind: str | None = None, annotator: AnnotatorKind | None = None,
                  current: bool = True, campaign: str | None = None, person: str | None = None,
                  ids: Iterable[str] | None = None) -> Iterator[Judgment]:
        """Judgments by id, read as they are asked for; `current` leaves out what was superseded or withdrawn. Of one
        person, or of the ids given (those that are not there are left out), no others are read."""
        wanted = None if ids is None else sorted(set(ids))
        parts = [None] if wanted is None else [wanted[at:at + READ_AHEAD] for at in range(0, len(wanted), READ_AHEAD)]
        for part in parts:
            with self._reading() as connection:
                rows_read = stream(connection, judgment_rows(kind, annotator, current, campaign, person, part))
                for _, group in groupby(rows_read, key=lambda row: row["id"]):
                    yield rows.judgment_from_rows(list(group))

    def counts(self, current: bool = True) -> dict[str, dict[str, int]]:
        """How many judgments there are: kind -> annotator kind -> count."""
        query = select(judgments.c.kind, judgments.c.annotator, func.count()).group_by(
            judgments.c.kind, judgments.c.annotator).order_by(judgments.c.kind, judgments.c.annotator)
        if current:
            query = query.where(is_current())
        found: dict[str, dict[str, int]] = {}
        with self._reading() as connection:
            for kind, annotator, count in connection.execute(query):
                found.setdefault(kind, {})[annotator] = count
        return found

    def num_samples(self) -> int:
        with self._reading() as connection:
            return connection.execute(select(func.count()).select_from(samples)).scalar_one()

    def digest(self) -> str:
        """sha256 over every judgment, superseded ones too, by id: equal exactly when two stores were told the same.

        Raises:
            StoreError: if a row is not what was written, which only a hand in the file can have done.
        """
        total = hashlib.sha256()
        with self._reading() as connection:
            rows_read = stream(connection, judgment_rows())
            for id, group in groupby(rows_read, key=lambda row: row["id"]):
                written = list(group)
                content = rows.judgment_row(rows.judgment_from_rows(written))["hash"]
                if content != written[0]["hash"]:
                    raise StoreError(f"judgment {id!r} in {self.where} was changed after it was written. "
                                     "Restore the file from a copy.")
                total.update(f"{id} {content}\n".encode())
        return total.hexdigest()
