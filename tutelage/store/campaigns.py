"""`Campaigns`: what is asked, of whom and how often. A lead's side of the studio.

    campaign = store.campaigns.create("helpful", "comparison", Terms(overlap=2, guideline="comparison-1"), by="lea", now=now)
    store.campaigns.add_items(campaign.id, [NewItem(prompt=prompt, samples=(a.id, b.id)) for ...])
    store.campaigns.progress(campaign.id, now)

Terms may change while people answer: every change is a new version, and a task keeps the version it was asked under.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from tutelage.errors import StoreError
from tutelage.lineage import canonical_json
from tutelage.messages import record_id
from tutelage.store import admission, rows
from tutelage.store.audit import write_line
from tutelage.store.database import Database
from tutelage.store.questions import STATES, Campaign, CampaignState, Item, NewItem, Quiz, Terms
from tutelage.store.schema import prompts, samples
from tutelage.store.schema_campaigns import campaign_versions, campaigns, guidelines, item_samples, items


class Campaigns:
    def __init__(self, database: Database) -> None:
        self._database = database

    def publish_guideline(self, name: str, texts: Mapping[str, str], by: str | None, now: float) -> str:
        """Keep what people are told, language -> text; its label `name-version`, to put into `Terms.guideline`.

        The same texts again give the label they have. Versions are per name and hold all their languages.
        """
        if not name or not texts or not all(text.strip() for text in texts.values()):
            raise StoreError(f"the guideline {name!r} needs a name and a text in every language given.")
        with self._database.writing() as connection:
            found = connection.execute(select(guidelines).where(guidelines.c.name == name)).mappings().all()
            newest = max((row["version"] for row in found), default=0)
            if newest and {row["language"]: row["text"] for row in found if row["version"] == newest} == dict(texts):
                return f"{name}-{newest}"
            connection.execute(insert(guidelines), [
                {"name": name, "version": newest + 1, "language": language, "text": text, "published_by": by,
                 "published_at": now} for language, text in sorted(texts.items())])
            write_line(connection, now, by, "guideline.publish", [f"{name}-{newest + 1}"])
        return f"{name}-{newest + 1}"

    def guideline(self, label: str) -> dict[str, str]:
        """language -> text of `name-version`; empty where none was published under that label."""
        name, _, version = label.rpartition("-")
        if not version.isdecimal():
            return {}
        query = select(guidelines).where(guidelines.c.name == name, guidelines.c.version == int(version))
        with self._database.reading() as connection:
            return {row["language"]: row["text"] for row in connection.execute(query).mappings()}

    def create(self, name: str, kind: str, terms: Terms, by: str | None, now: float, seed: int = 0,
               asks: Iterable[NewItem] = ()) -> Campaign:
        """A new campaign, open, with its first items: all of it is there, or nothing.

        Raises:
            StoreError: if the name is empty or taken, the terms make no sense, or an item cannot be asked (see `add_items`).
        """
        if not name.strip() or not 0 <= seed < 2**31:
            raise StoreError(f"a campaign needs a name and a seed from 0 to 2**31 - 1; got {name!r} and {seed}.")
        id = record_id("campaign", name)
        row = {"id": id, "name": name, "kind": kind, "terms": _terms_json(terms), "version": 1,
               "overlap": terms.overlap, "state": "open", "seed": seed, "created_by": by, "created_at": now}
        with self._database.writing() as connection:
            if connection.execute(select(campaigns.c.id).where(campaigns.c.name == name)).first():
                raise StoreError(f"there is a campaign {name!r} already. Choose another name.")
            _check_terms(connection, terms)
            connection.execute(insert(campaigns), [row])
            _keep_version(connection, id, 1, terms, by, now)
            _put_items(connection, id, asks)
            write_line(connection, now, by, "campaign.create", [id])
        return Campaign(id=id, name=name, kind=kind, terms=terms, state="open", seed=seed, created_by=by or "")

    def revise(self, campaign: str, terms: Terms, by: str | None, now: float) -> Campaign:
        """Change the terms. What is with people already stays with them as it was asked.

        Raises:
            StoreError: if the campaign is unknown or the terms make no sense.
        """
        with self._database.writing() as connection:
            before = find_campaign(connection, campaign)
            if before.terms == terms:
                return before
            _check_terms(connection, terms)
            connection.execute(update(campaigns).where(campaigns.c.id == campaign).values(
                terms=_terms_json(terms), version=before.version + 1, overlap=terms.overlap))
            _keep_version(connection, campaign, before.version + 1, terms, by, now)
            write_line(connection, now, by, "campaign.revise", [campaign])
            return find_campaign(connection, campaign)

    def versions(self, campaign: str) -> list[Terms]:
        """Every version of its terms, the first one first."""
        query = select(campaign_versions.c.terms).where(campaign_versions.c.campaign_id == campaign).order_by(
            campaign_versions.c.version)
        with self._database.reading() as connection:
            return [terms_from_json(text) for text in connection.execute(query).scalars()]

    def set_state(self, campaign: str, state: CampaignState, by: str | None, now: float) -> None:
        """Open, pause (nothing new is given out, answers are still taken) or close (as paused, for good to look at)."""
        if state not in STATES:
            raise StoreError(f"a campaign cannot be {state!r}; wanted one of {', '.join(STATES)}.")
        with self._database.writing() as connection:
            find_campaign(connection, campaign)
            connection.execute(update(campaigns).where(campaigns.c.id == campaign).values(state=state))
            write_line(connection, now, by, f"campaign.{state}", [campaign])

    def get(self, campaign: str) -> Campaign:
        """The campaign of this id. Raises StoreError if there is none."""
        with self._database.reading() as connection:
            return find_campaign(connection, campaign)

    def all(self, state: CampaignState | None = None) -> list[Campaign]:
        """Campaigns by name."""
        query = select(campaigns).order_by(campaigns.c.name)
        if state is not None:
            query = query.where(campaigns.c.state == state)
        with self._database.reading() as connection:
            return [_campaign(row) for row in connection.execute(query).mappings()]

    def add_items(self, campaign: str, new: Iterable[NewItem]) -> int:
        """Put questions behind those that are there; how many were new (the same question again is a no-op).

        Raises:
            StoreError: if the campaign or a sample is unknown, or a sample answers another prompt. Nothing is kept then.
        """
        with self._database.writing() as connection:
            find_campaign(connection, campaign)
            return _put_items(connection, campaign, new)

    def items(self, campaign: str) -> Iterator[Item]:
        """The campaign's items in the order they were added, read as they are asked for."""
        query = (select(items, prompts.c.body.label("prompt_body")).join(prompts)
                 .where(items.c.campaign_id == campaign).order_by(items.c.position))
        with self._database.reading() as connection:
            found = connection.execution_options(yield_per=admission.CHUNK).execute(query).mappings()
            for part in found.partitions(admission.CHUNK):
                shown = samples_of_items(connection, [row["id"] for row in part])
                yield from (_item(row, shown.get(row["id"], ())) for row in part)

    def item(self, id: str) -> Item:
        """Raises StoreError if it is unknown."""
        query = select(items, prompts.c.body.label("prompt_body")).join(prompts).where(items.c.id == id)
        with self._database.reading() as connection:
            row = connection.execute(query).mappings().first()
            if row is None:
                raise StoreError(f"there is no item {id!r}.")
            return _item(row, samples_of_items(connection, [id]).get(id, ()))


def find_campaign(connection: Connection, id: str) -> Campaign:
    row = connection.execute(select(campaigns).where(campaigns.c.id == id)).mappings().first()
    if row is None:
        raise StoreError(f"there is no campaign {id!r}.")
    return _campaign(row)


def samples_of_items(connection: Connection, ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """item -> its samples in the item's own order; items without any are left out."""
    query = select(item_samples).where(item_samples.c.item_id.in_(ids)).order_by(
        item_samples.c.item_id, item_samples.c.position)
    found: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(query):
        found[row.item_id] = (*found.get(row.item_id, ()), row.sample_id)
    return found


def terms_from_json(text: str) -> Terms:
    value = json.loads(text)
    quiz = value.pop("quiz")
    for name in ("expertise", "languages"):
        value[name] = tuple(value[name])
    return Terms(**value, quiz=quiz and Quiz(**{**quiz, "items": tuple(quiz["items"])}))


def _terms_json(terms: Terms) -> str:
    return rows.plain_json(asdict(terms), "a campaign's settings")


def _check_terms(connection: Connection, terms: Terms) -> None:
    if terms.overlap < 1 or (terms.quota is not None and terms.quota < 1) or not terms.lease_s > 0:
        raise StoreError(f"a campaign has overlap {terms.overlap}, quota {terms.quota} and a lease of {terms.lease_s} s; "
                         "wanted at least 1, at least 1 or none, and more than 0.")
    if not 0 <= terms.gold_share <= 1 or not 0 <= terms.duplicate_share <= 1 or terms.gold_share + terms.duplicate_share > 1:
        raise StoreError(f"a campaign's shares of gold and duplicates are {terms.gold_share} and {terms.duplicate_share}; "
                         "wanted 0 to 1, and no more than 1 together.")
    if terms.quiz is None:
        return
    if not 0 <= terms.quiz.pass_mark <= 1 or bool(terms.quiz.campaign) == bool(terms.quiz.items):
        raise StoreError("a quiz needs a pass mark from 0 to 1, and either a campaign or gold items.")
    if terms.quiz.campaign:
        find_campaign(connection, terms.quiz.campaign)
    known = admission.rows_by(connection, items.c.id, terms.quiz.items)
    for id in terms.quiz.items:
        if id not in known or known[id]["gold"] is None:
            raise StoreError(f"the quiz asks item {id!r}, which is unknown or has no known answer.")


def _keep_version(connection: Connection, id: str, version: int, terms: Terms, by: str | None, now: float) -> None:
    connection.execute(insert(campaign_versions), [{"campaign_id": id, "version": version, "terms": _terms_json(terms),
                                                    "changed_by": by, "changed_at": now}])


def _campaign(row: Mapping[Any, Any]) -> Campaign:
    return Campaign(id=row["id"], name=row["name"], kind=row["kind"], terms=terms_from_json(row["terms"]),
                    state=row["state"], version=row["version"], seed=row["seed"], created_by=row["created_by"] or "")


def _put_items(connection: Connection, campaign: str, new: Iterable[NewItem]) -> int:
    by_id = {_item_id(campaign, item): item for item in new}
    known = admission.rows_by(connection, items.c.id, by_id)
    fresh = {id: item for id, item in by_id.items() if id not in known}
    _check_shown(connection, fresh.values())
    admission.insert_missing(connection, prompts.c.hash, [rows.prompt_row(item.prompt) for item in fresh.values()])
    last = connection.execute(select(func.max(items.c.position)).where(items.c.campaign_id == campaign)).scalar()
    start = 0 if last is None else last + 1
    admission.insert_all(connection, items, [_item_row(campaign, id, start + offset, item)
                                             for offset, (id, item) in enumerate(fresh.items())])
    admission.insert_all(connection, item_samples, [
        {"item_id": id, "position": place, "sample_id": sample}
        for id, item in fresh.items() for place, sample in enumerate(item.samples)])
    return len(fresh)


def _item_id(campaign: str, item: NewItem) -> str:
    return record_id("item", campaign, rows.prompt_hash(item.prompt), list(item.samples))


def _item_row(campaign: str, id: str, position: int, item: NewItem) -> dict[str, Any]:
    purpose = "attention" if item.is_attention else "work" if item.gold is None else "gold"
    if item.is_attention and item.gold is None:
        raise StoreError(f"prompt {item.prompt.id!r} is to be an attention item, but has no known answer. Give `gold`.")
    gold = None if item.gold is None else rows.plain_json(item.gold, "a known answer")
    return {"id": id, "campaign_id": campaign, "position": position, "prompt_hash": rows.prompt_hash(item.prompt),
            "language": item.language, "tags": canonical_json(sorted(set(item.tags))), "purpose": purpose, "gold": gold,
            "num_samples": len(item.samples), "taken": 0, "answered": 0, "balance": 0}


def _item(row: Mapping[Any, Any], shown: tuple[str, ...]) -> Item:
    return Item(id=row["id"], campaign=row["campaign_id"], prompt=rows.prompt_from_row(row), samples=shown,
                language=row["language"], tags=tuple(json.loads(row["tags"])), purpose=row["purpose"],
                gold=None if row["gold"] is None else json.loads(row["gold"]), num_taken=row["taken"],
                num_answered=row["answered"])


def _check_shown(connection: Connection, new: Iterable[NewItem]) -> None:
    wanted = list(new)
    known = admission.rows_by(connection, samples.c.id, {id for item in wanted for id in item.samples})
    for item in wanted:
        asked = rows.prompt_hash(item.prompt)
        if len(set(item.samples)) != len(item.samples):
            raise StoreError(f"an item for prompt {item.prompt.id!r} shows a sample twice.")
        for id in item.samples:
            if id not in known:
                raise StoreError(f"an item shows sample {id!r}, which the store does not hold. Add the samples first.")
            if known[id]["prompt_hash"] != asked:
                raise StoreError(f"an item for prompt {item.prompt.id!r} shows sample {id!r}, which answers "
                                 f"{known[id]['prompt_id']!r}.")
