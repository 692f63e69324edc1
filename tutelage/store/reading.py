"""Queries for judgments, and reading them as they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Select, exists, select

from tutelage.store.schema import judgment_samples, judgments, prompts
from tutelage.store.schema_campaigns import answers, items, resolutions, tasks, withdrawals

READ_AHEAD = 500          # rows fetched at a time; also ids a query, below SQLite's limit of variables


def stream(connection: Connection, query: Select[Any]) -> Iterator[Mapping[str, Any]]:
    found = connection.execution_options(yield_per=READ_AHEAD).execute(query)
    return (dict(row._mapping) for row in found)


def is_current() -> Any:
    """Neither superseded nor withdrawn."""
    later = judgments.alias("later")
    return ~exists().where(later.c.supersedes == judgments.c.id) & ~exists().where(
        withdrawals.c.judgment_id == judgments.c.id)


def judgment_rows(kind: str | None = None, annotator: str | None = None, current: bool = False,
                  campaign: str | None = None, person: str | None = None, ids: Sequence[str] | None = None) -> Select[Any]:
    """One row a judgment and sample shown, by judgment and place."""
    query = (select(judgments, prompts.c.body.label("prompt_body"), judgment_samples.c.sample_id)
             .join(prompts, prompts.c.hash == judgments.c.prompt_hash)
             .outerjoin(judgment_samples, judgment_samples.c.judgment_id == judgments.c.id)
             .order_by(judgments.c.id, judgment_samples.c.position))
    if kind is not None:
        query = query.where(judgments.c.kind == kind)
    if annotator is not None:
        query = query.where(judgments.c.annotator == annotator)
    if campaign is not None:
        query = query.where(_in_campaign(campaign))
    if person is not None:
        query = query.where(judgments.c.person_id == person)
    if ids is not None:
        query = query.where(judgments.c.id.in_(ids))
    return query.where(is_current()) if current else query


def _in_campaign(campaign: str) -> Any:
    """Brought by one of its tasks, or a reviewer's word on one of its items."""
    by_task = exists().where(answers.c.judgment_id == judgments.c.id, tasks.c.id == answers.c.task_id,
                             tasks.c.campaign_id == campaign)
    by_review = exists().where(resolutions.c.judgment_id == judgments.c.id, items.c.id == resolutions.c.item_id,
                               items.c.campaign_id == campaign)
    return by_task | by_review


def judgments_of_items(campaign: str, person: str | None = None) -> Select[Any]:
    """As `judgment_rows`, with `item_id`, by item in their order: what annotators say now of each item, repeats too; only
    of the items that `person` has answered, where one is named."""
    query = (judgment_rows(current=True).add_columns(tasks.c.item_id, tasks.c.repeat)
             .join(tasks, tasks.c.judgment_id == judgments.c.id).join(items, items.c.id == tasks.c.item_id)
             .where(tasks.c.campaign_id == campaign, tasks.c.state.in_(("answered", "late")))
             .order_by(None).order_by(items.c.position, judgments.c.id, judgment_samples.c.position))
    if person is None:
        return query
    mine = tasks.alias("mine")
    return query.where(tasks.c.item_id.in_(select(mine.c.item_id).where(
        mine.c.campaign_id == campaign, mine.c.person_id == person, mine.c.state.in_(("answered", "late")))))
