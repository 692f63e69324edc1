"""The tables of campaigns: what is asked, of whom, and what came of it.

    campaigns 1──* items 1──* tasks *──1 people          (item_samples holds an item's samples in its own order)
                              tasks 1──* answers 1──1 judgments        every judgment a task brought, by time
                              items 1──* flags, resolutions;  tasks 1──* contests

`campaigns`, `items` (their counters) and `tasks` (their states) change; the rest is append-only. Times are seconds
since 1970 (UTC). `items.taken` is how many people an item is with or was answered by, and never passes the overlap
asked for; `items.balance` is how often its first sample was shown first, minus how often it was not.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Double, ForeignKey, Index, Integer, Table, UniqueConstraint

from tutelage.store.columns import String, metadata

guidelines = Table(
    "guidelines", metadata,
    Column("name", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("language", String, primary_key=True),
    Column("text", String, nullable=False),
    Column("published_by", String, ForeignKey("people.id")),
    Column("published_at", Double, nullable=False),
)

campaigns = Table(
    "campaigns", metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("terms", String, nullable=False),           # JSON of questions.Terms
    Column("version", Integer, nullable=False),
    Column("overlap", Integer, nullable=False),        # of the terms, where a query needs it
    Column("state", String, CheckConstraint("state IN ('open', 'paused', 'closed')", name="state"), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("created_by", String, ForeignKey("people.id")),
    Column("created_at", Double, nullable=False),
)

campaign_versions = Table(
    "campaign_versions", metadata,
    Column("campaign_id", String, ForeignKey("campaigns.id"), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("terms", String, nullable=False),
    Column("changed_by", String, ForeignKey("people.id")),
    Column("changed_at", Double, nullable=False),
)

items = Table(
    "items", metadata,
    Column("id", String, primary_key=True),
    Column("campaign_id", String, ForeignKey("campaigns.id"), nullable=False),
    Column("position", Integer, nullable=False),       # in the order they were added
    Column("prompt_hash", String, ForeignKey("prompts.hash"), nullable=False),
    Column("language", String, nullable=False),
    Column("tags", String, nullable=False),            # JSON list
    Column("purpose", String, CheckConstraint("purpose IN ('work', 'gold', 'attention')", name="purpose"),
           nullable=False),
    Column("gold", String),                            # JSON of the known answer
    Column("num_samples", Integer, nullable=False),
    Column("taken", Integer, nullable=False),
    Column("answered", Integer, nullable=False),
    Column("balance", Integer, nullable=False),
    UniqueConstraint("campaign_id", "position"),
    Index(None, "campaign_id", "purpose", "taken", "position"),      # the lease walks along it
)

item_samples = Table(
    "item_samples", metadata,
    Column("item_id", String, ForeignKey("items.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sample_id", String, ForeignKey("samples.id"), nullable=False),
    Index(None, "sample_id"),
)

tasks = Table(
    "tasks", metadata,
    Column("id", String, primary_key=True),
    Column("campaign_id", String, ForeignKey("campaigns.id"), nullable=False),
    Column("item_id", String, ForeignKey("items.id"), nullable=False),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("repeat", Integer, nullable=False),         # 1: the planned second time
    Column("number", Integer, nullable=False),         # the person's how-manieth of the campaign, from 0
    Column("version", Integer, nullable=False),        # of the campaign's terms
    Column("shown", String, nullable=False),           # JSON permutation
    Column("first", Integer, nullable=False),          # 1: the item's first sample was shown first, -1 not, 0 no sides
    Column("state", String, CheckConstraint("state IN ('open', 'answered', 'late', 'expired', 'skipped')",
                                            name="state"), nullable=False),
    Column("lease_expires", Double, nullable=False),
    Column("reason", String, nullable=False),          # of a skip
    Column("judgment_id", String, ForeignKey("judgments.id")),     # the current answer
    Column("is_right", Integer),                       # 1, 0: against the known answer; NULL where there is none
    UniqueConstraint("item_id", "person_id", "repeat"),
    Index(None, "campaign_id", "person_id", "state"),
    Index(None, "state", "lease_expires"),
    Index(None, "judgment_id"),
)

answers = Table(
    "answers", metadata,
    Column("judgment_id", String, ForeignKey("judgments.id"), primary_key=True),
    Column("task_id", String, ForeignKey("tasks.id"), nullable=False),
    Column("timings", String, nullable=False),         # JSON, of the page: visible_ms, decided_ms, input, undone …
    Column("received_at", Double, nullable=False),
    Index(None, "task_id", "received_at"),
)

withdrawals = Table(
    "withdrawals", metadata,
    Column("judgment_id", String, ForeignKey("judgments.id"), primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("withdrawn_at", Double, nullable=False),
)

flags = Table(
    "flags", metadata,
    Column("id", String, primary_key=True),
    Column("item_id", String, ForeignKey("items.id"), nullable=False),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("reason", String, nullable=False),
    Column("note", String, nullable=False),
    Column("raised_at", Double, nullable=False),
    Index(None, "item_id"),
)

contests = Table(
    "contests", metadata,
    Column("id", String, primary_key=True),
    Column("task_id", String, ForeignKey("tasks.id"), nullable=False),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("note", String, nullable=False),
    Column("raised_at", Double, nullable=False),
    Index(None, "task_id"),
)

resolutions = Table(
    "resolutions", metadata,
    Column("id", String, primary_key=True),
    Column("item_id", String, ForeignKey("items.id"), nullable=False),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),      # the reviewer
    Column("judgment_id", String, ForeignKey("judgments.id")),                 # what they say the answer is
    Column("flag_id", String, ForeignKey("flags.id")),
    Column("contest_id", String, ForeignKey("contests.id")),
    Column("decision", String, CheckConstraint("decision IN ('judged', 'dismissed', 'upheld')", name="decision"),
           nullable=False),
    Column("note", String, nullable=False),
    Column("resolved_at", Double, nullable=False),
    Index(None, "item_id"),
    Index(None, "flag_id"),
    Index(None, "contest_id"),
)
