"""What may enter the store. Every function runs inside the caller's write transaction and either admits all or raises.

The checks and the inserts see the same state: a writer holds the file alone from its BEGIN on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, insert, select

from tutelage.errors import StoreError
from tutelage.records import Judgment, Sample
from tutelage.store import rows
from tutelage.store.schema import consents, judgment_samples, judgments, people, prompts, samples

CHUNK = 500            # ids a query, rows an insert


def admit_person(connection: Connection, person: Mapping[str, Any]) -> None:
    if person["annotator"] not in ("human", "model", "scripted"):
        raise StoreError(f"person {person['id']!r} is a {person['annotator']!r}; wanted human, model or scripted.")
    if not person["id"]:
        raise StoreError("a person needs an id that is not empty.")
    known = rows_by(connection, people.c.id, [person["id"]]).get(person["id"])
    if known is None:
        connection.execute(insert(people), [person])
    elif (known["annotator"], known["name"]) != (person["annotator"], person["name"]):
        raise StoreError(f"person {person['id']!r} is {known['annotator']} {known['name']!r} here, not "
                         f"{person['annotator']} {person['name']!r}. Choose another id.")


def admit_consent(connection: Connection, consent: Mapping[str, Any]) -> None:
    names = ("person_id", "version", "language")
    same = select(consents).where(*(consents.c[name] == consent[name] for name in names))
    known = connection.execute(same).mappings().first()
    if known is None:
        connection.execute(insert(consents), [consent])
    elif any(known[name] != consent[name] for name in ("text_sha256", "purposes")):
        raise StoreError(f"{consent['person_id']!r} gave consent {consent['version']!r} in {consent['language']!r} to "
                         "another text or other purposes. A changed text is a new version.")


def consent_versions(connection: Connection, person: str | None = None) -> dict[str, str]:
    """person -> the version they agreed to last; of everybody, or of one."""
    query = select(consents.c.person_id, consents.c.version).order_by(
        consents.c.person_id, consents.c.given_at, consents.c.version)
    if person is not None:
        query = query.where(consents.c.person_id == person)
    return {row.person_id: row.version for row in connection.execute(query)}


def admit_samples(connection: Connection, drawn: Sequence[Sample]) -> int:
    new = _new_rows(connection, samples, (rows.sample_row(sample) for sample in drawn), "sample")
    wanted = {row["id"] for row in new}
    asked = [rows.prompt_row(sample.prompt) for sample in drawn if sample.id in wanted]
    insert_missing(connection, prompts.c.hash, asked)
    insert_all(connection, samples, new)
    return len(new)


def admit_judgments(connection: Connection, said: Sequence[Judgment], keys: Mapping[str, str]) -> int:
    new = _new_rows(connection, judgments, (rows.judgment_row(judgment) for judgment in said), "judgment")
    by_id = {judgment.id: judgment for judgment in said}
    fresh = [by_id[row["id"]] for row in new]
    _check_people(connection, fresh)
    _check_samples(connection, fresh)
    _check_superseded(connection, fresh)
    _check_keys(connection, new, keys)
    given = consent_versions(connection)
    for row in new:
        row["consent_version"] = given.get(row["person_id"], "")
    insert_missing(connection, prompts.c.hash, [rows.prompt_row(judgment.prompt) for judgment in fresh])
    insert_all(connection, judgments, _after_what_they_supersede(new))
    insert_all(connection, judgment_samples, [{"judgment_id": judgment.id, "position": position, "sample_id": sample}
                                           for judgment in fresh for position, sample in enumerate(judgment.samples)])
    return len(new)


def admit_answer(connection: Connection, judgment: Judgment, key: str) -> None:
    """A judgment on a task that the caller holds locked: its person, prompt and samples are known, and what it
    supersedes is the task's own. The tables' keys refuse what is not so."""
    row = rows.judgment_row(judgment)
    row["idempotency_key"] = key
    row["consent_version"] = consent_versions(connection, judgment.annotator_id).get(judgment.annotator_id, "")
    connection.execute(insert(judgments), [row])
    insert_all(connection, judgment_samples, [{"judgment_id": judgment.id, "position": position, "sample_id": sample}
                                              for position, sample in enumerate(judgment.samples)])


def _check_people(connection: Connection, said: Sequence[Judgment]) -> None:
    known = rows_by(connection, people.c.id, {judgment.annotator_id for judgment in said})
    for judgment in said:
        person = known.get(judgment.annotator_id)
        if person is None:
            raise StoreError(f"judgment {judgment.id!r} is by {judgment.annotator_id!r}, whom the store does not know. "
                             "Add the person first.")
        if person["annotator"] != judgment.annotator:
            raise StoreError(f"judgment {judgment.id!r} calls {judgment.annotator_id!r} {judgment.annotator}; "
                             f"the store knows them as {person['annotator']}.")


def _check_samples(connection: Connection, said: Sequence[Judgment]) -> None:
    known = rows_by(connection, samples.c.id, {sample for judgment in said for sample in judgment.samples})
    for judgment in said:
        asked = rows.prompt_hash(judgment.prompt)
        for sample in judgment.samples:
            if sample not in known:
                raise StoreError(f"judgment {judgment.id!r} was shown sample {sample!r}, which the store does not "
                                 "hold. Add the samples first.")
            if known[sample]["prompt_hash"] != asked:
                raise StoreError(f"judgment {judgment.id!r} is about prompt {judgment.prompt.id!r}, but sample "
                                 f"{sample!r} answers another, {known[sample]['prompt_id']!r}.")


def _check_superseded(connection: Connection, said: Sequence[Judgment]) -> None:
    """Only one's own answer to the same question, and only the last one: so each question has one current answer."""
    batch = {row["id"]: row for row in map(rows.judgment_row, said)}
    wanted = {judgment.supersedes for judgment in said if judgment.supersedes is not None}
    known = {**rows_by(connection, judgments.c.id, wanted), **batch}
    taken = {row["supersedes"]: row["id"] for row in rows_by(connection, judgments.c.supersedes, wanted).values()}
    for judgment in said:
        if judgment.supersedes is None:
            continue
        earlier, row = known.get(judgment.supersedes), batch[judgment.id]
        if earlier is None:
            raise StoreError(f"judgment {judgment.id!r} supersedes {judgment.supersedes!r}, which is not in the store.")
        if any(earlier[name] != row[name] for name in ("person_id", "kind", "prompt_hash")):
            raise StoreError(f"judgment {judgment.id!r} supersedes {judgment.supersedes!r}, which is another person's, "
                             "of another kind or about another prompt. One changes one's own answer.")
        if taken.setdefault(judgment.supersedes, judgment.id) != judgment.id:
            raise StoreError(f"judgment {judgment.supersedes!r} has been superseded by {taken[judgment.supersedes]!r}. "
                             "Supersede that one.")


def _check_keys(connection: Connection, new: Sequence[dict[str, Any]], keys: Mapping[str, str]) -> None:
    for row in new:
        row["idempotency_key"] = keys.get(row["id"], row["id"])
    taken = {key: row["id"] for key, row in
             rows_by(connection, judgments.c.idempotency_key, {row["idempotency_key"] for row in new}).items()}
    for row in new:
        if taken.setdefault(row["idempotency_key"], row["id"]) != row["id"]:
            raise StoreError(f"the key {row['idempotency_key']!r} of judgment {row['id']!r} stands for judgment "
                             f"{taken[row['idempotency_key']]!r} already. A key is for one answer.")


def _after_what_they_supersede(new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows, each behind the one of the batch that it supersedes."""
    waiting = {row["id"]: row for row in new}
    ordered: list[dict[str, Any]] = []
    while waiting:
        ready = [row for row in waiting.values() if row["supersedes"] not in waiting]
        if not ready:
            raise StoreError(f"judgments {', '.join(sorted(waiting))} supersede each other in a circle.")
        ordered += ready
        for row in ready:
            del waiting[row["id"]]
    return ordered


def _new_rows(connection: Connection, table: Table, candidates: Iterable[dict[str, Any]],
              what: str) -> list[dict[str, Any]]:
    """The rows that the table does not hold yet, each once, by id."""
    batch: dict[str, dict[str, Any]] = {}
    for row in candidates:
        if batch.setdefault(row["id"], row)["hash"] != row["hash"]:
            raise StoreError(f"{what} {row['id']!r} stands twice in this batch, with two contents.")
    known = rows_by(connection, table.c.id, batch)
    for id in known:
        if known[id]["hash"] != batch[id]["hash"]:
            raise StoreError(f"{what} {id!r} is in the store with another content. What was said stays; "
                             "something else needs another id.")
    return [batch[id] for id in sorted(batch.keys() - known.keys())]


def rows_by(connection: Connection, column: Column[Any], ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of the column's table whose value is one of `ids`, by that value."""
    found = {}
    for part in _chunks(sorted(set(ids))):
        for row in connection.execute(select(column.table).where(column.in_(part))).mappings():
            found[row[column.name]] = dict(row)
    return found


def insert_all(connection: Connection, table: Table, new: Sequence[Mapping[str, Any]]) -> None:
    for part in _chunks(new):
        connection.execute(insert(table), part)


def insert_missing(connection: Connection, key: Column[Any], candidates: Iterable[dict[str, Any]]) -> None:
    batch = {row[key.name]: row for row in candidates}
    known = rows_by(connection, key, batch)
    table = key.table
    assert isinstance(table, Table)
    insert_all(connection, table, [batch[value] for value in sorted(batch.keys() - known.keys())])


def _chunks(items: Sequence[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), CHUNK):
        yield list(items[start:start + CHUNK])
