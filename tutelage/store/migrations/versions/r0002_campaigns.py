"""Campaigns, items, tasks, review, accounts and the audit. What people said before stays as it is: no table is rebuilt."""

import sqlalchemy as sa
from alembic import op

from tutelage.store.migrations.append_only import guard

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Columns that may name only one row.
_UNIQUE = {
    "guidelines": ("name, version, language",),
    "campaign_versions": ("campaign_id, version",),
    "item_samples": ("item_id, position",),
    "answers": ("judgment_id",),
    "withdrawals": ("judgment_id",),
    "flags": ("id",),
    "contests": ("id",),
    "resolutions": ("id",),
    "audit": ("number", "hash"),
}


def _refers(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")


def upgrade() -> None:
    for make in (_campaigns, _items, _tasks, _review, _people, _doors):
        make()
    for table, names in _UNIQUE.items():
        guard(table, *names)


def _campaigns() -> None:
    op.create_table(
        "guidelines",
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("published_by", _TEXT, nullable=True),
        sa.Column("published_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "version", "language", name="pk_guidelines"),
        _refers("guidelines", "published_by", "people.id"),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("terms", _TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_campaigns"),
        _refers("campaigns", "created_by", "people.id"),
        sa.UniqueConstraint("name", name="uq_campaigns_name"),
    )
    op.create_table(
        "campaign_versions",
        sa.Column("campaign_id", _TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("terms", _TEXT, nullable=False),
        sa.Column("changed_by", _TEXT, nullable=True),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "version", name="pk_campaign_versions"),
        _refers("campaign_versions", "campaign_id", "campaigns.id"),
        _refers("campaign_versions", "changed_by", "people.id"),
    )


def _items() -> None:
    op.create_table(
        "items",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("campaign_id", _TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("prompt_hash", _TEXT, nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("tags", _TEXT, nullable=False),
        sa.Column("purpose", _TEXT, nullable=False),
        sa.Column("gold", _TEXT, nullable=True),
        sa.Column("num_samples", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("balance", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
        _refers("items", "campaign_id", "campaigns.id"),
        _refers("items", "prompt_hash", "prompts.hash"),
        sa.UniqueConstraint("campaign_id", "position", name="uq_items_campaign_id_position"),
    )
    op.create_index("ix_items_campaign_id_purpose_taken_position", "items", ["campaign_id", "purpose", "taken", "position"])
    op.create_table(
        "item_samples",
        sa.Column("item_id", _TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("item_id", "position", name="pk_item_samples"),
        _refers("item_samples", "item_id", "items.id"),
        _refers("item_samples", "sample_id", "samples.id"),
    )
    op.create_index("ix_item_samples_sample_id", "item_samples", ["sample_id"])


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("campaign_id", _TEXT, nullable=False),
        sa.Column("item_id", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("repeat", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("shown", _TEXT, nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("state", _TEXT, nullable=False),
        sa.Column("lease_expires", sa.Double(), nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("judgment_id", _TEXT, nullable=True),
        sa.Column("is_right", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        _refers("tasks", "campaign_id", "campaigns.id"),
        _refers("tasks", "item_id", "items.id"),
        _refers("tasks", "judgment_id", "judgments.id"),
        _refers("tasks", "person_id", "people.id"),
        sa.UniqueConstraint("item_id", "person_id", "repeat", name="uq_tasks_item_id_person_id_repeat"),
    )
    op.create_index("ix_tasks_campaign_id_person_id_state", "tasks", ["campaign_id", "person_id", "state"])
    op.create_index("ix_tasks_judgment_id", "tasks", ["judgment_id"])
    op.create_index("ix_tasks_state_lease_expires", "tasks", ["state", "lease_expires"])
    op.create_table(
        "answers",
        sa.Column("judgment_id", _TEXT, nullable=False),
        sa.Column("task_id", _TEXT, nullable=False),
        sa.Column("timings", _TEXT, nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("judgment_id", name="pk_answers"),
        _refers("answers", "judgment_id", "judgments.id"),
        _refers("answers", "task_id", "tasks.id"),
    )
    op.create_index("ix_answers_task_id_received_at", "answers", ["task_id", "received_at"])
    op.create_table(
        "withdrawals",
        sa.Column("judgment_id", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("withdrawn_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("judgment_id", name="pk_withdrawals"),
        _refers("withdrawals", "judgment_id", "judgments.id"),
        _refers("withdrawals", "person_id", "people.id"),
    )


def _review() -> None:
    op.create_table(
        "flags",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("item_id", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("reason", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("raised_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_flags"),
        _refers("flags", "item_id", "items.id"),
        _refers("flags", "person_id", "people.id"),
    )
    op.create_index("ix_flags_item_id", "flags", ["item_id"])
    op.create_table(
        "contests",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("task_id", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("raised_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_contests"),
        _refers("contests", "person_id", "people.id"),
        _refers("contests", "task_id", "tasks.id"),
    )
    op.create_index("ix_contests_task_id", "contests", ["task_id"])
    op.create_table(
        "resolutions",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("item_id", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("judgment_id", _TEXT, nullable=True),
        sa.Column("flag_id", _TEXT, nullable=True),
        sa.Column("contest_id", _TEXT, nullable=True),
        sa.Column("decision", _TEXT, nullable=False),
        sa.Column("note", _TEXT, nullable=False),
        sa.Column("resolved_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_resolutions"),
        _refers("resolutions", "contest_id", "contests.id"),
        _refers("resolutions", "flag_id", "flags.id"),
        _refers("resolutions", "item_id", "items.id"),
        _refers("resolutions", "judgment_id", "judgments.id"),
        _refers("resolutions", "person_id", "people.id"),
    )
    op.create_index("ix_resolutions_contest_id", "resolutions", ["contest_id"])
    op.create_index("ix_resolutions_flag_id", "resolutions", ["flag_id"])
    op.create_index("ix_resolutions_item_id", "resolutions", ["item_id"])


def _people() -> None:
    op.create_table(
        "roles",
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("role", _TEXT, nullable=False),
        sa.Column("granted_by", _TEXT, nullable=True),
        sa.Column("granted_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "role", name="pk_roles"),
        _refers("roles", "granted_by", "people.id"),
        _refers("roles", "person_id", "people.id"),
    )
    op.create_table(
        "abilities",
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("value", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("person_id", "kind", "value", name="pk_abilities"),
        _refers("abilities", "person_id", "people.id"),
    )
    op.create_table(
        "person_settings",
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("person_id", name="pk_person_settings"),
        _refers("person_settings", "person_id", "people.id"),
    )
    op.create_table(
        "passwords",
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("set_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name="pk_passwords"),
        _refers("passwords", "person_id", "people.id"),
    )


def _doors() -> None:
    op.create_table(
        "sessions",
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("last_seen", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_sessions"),
        _refers("sessions", "person_id", "people.id"),
    )
    op.create_index("ix_sessions_expires", "sessions", ["expires"])
    op.create_index("ix_sessions_person_id", "sessions", ["person_id"])
    op.create_table(
        "links",
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("purpose", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("created_by", _TEXT, nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires", sa.Double(), nullable=False),
        sa.Column("used_by", _TEXT, nullable=True),
        sa.Column("used_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("hash", name="pk_links"),
        _refers("links", "created_by", "people.id"),
        _refers("links", "used_by", "people.id"),
    )
    op.create_index("ix_links_purpose", "links", ["purpose"])
    op.create_table(
        "api_keys",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("last_used", sa.Double(), nullable=True),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        _refers("api_keys", "person_id", "people.id"),
        sa.UniqueConstraint("hash", name="uq_api_keys_hash"),
    )
    op.create_index("ix_api_keys_person_id", "api_keys", ["person_id"])
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", _TEXT, nullable=False),
        sa.Column("action", _TEXT, nullable=False),
        sa.Column("subjects", _TEXT, nullable=False),
        sa.Column("previous", _TEXT, nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
        sa.UniqueConstraint("hash", name="uq_audit_hash"),
    )


def downgrade() -> None:
    raise NotImplementedError("people's answers are not thrown away: restore a copy of the file instead")
