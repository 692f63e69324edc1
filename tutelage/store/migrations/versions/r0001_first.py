"""The first schema: people, consents, prompts, samples, judgments, and the triggers that keep them append-only."""

import sqlalchemy as sa
from alembic import op

from tutelage.store.migrations.append_only import guard, introduce

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# On PostgreSQL ordered by code point, as SQLite does it.
_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Columns that may name only one row.
_UNIQUE = {
    "prompts": ("hash",),
    "samples": ("id",),
    "judgments": ("id", "idempotency_key", "supersedes"),
    "judgment_samples": ("judgment_id, position",),
    "consents": ("person_id, version, language",),
}


def upgrade() -> None:
    op.create_table(
        "people",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("annotator", _TEXT, nullable=False),
        sa.Column("name", _TEXT, nullable=False),
        sa.Column("created_by", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.UniqueConstraint("id", "annotator", name="uq_people_id_annotator"),
        sa.CheckConstraint("annotator IN ('human', 'model', 'scripted')", name=op.f("ck_people_kind")),
    )
    op.create_table(
        "consents",
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("version", _TEXT, nullable=False),
        sa.Column("language", _TEXT, nullable=False),
        sa.Column("text_sha256", _TEXT, nullable=False),
        sa.Column("purposes", _TEXT, nullable=False),
        sa.Column("given_at", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("person_id", "version", "language", name="pk_consents"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_consents_person_id"),
    )
    op.create_table(
        "prompts",
        sa.Column("hash", _TEXT, nullable=False),
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_prompts"),
    )
    op.create_table(
        "samples",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("prompt_hash", _TEXT, nullable=False),
        sa.Column("prompt_id", _TEXT, nullable=False),
        sa.Column("policy", _TEXT, nullable=False),
        sa.Column("text", _TEXT, nullable=False),
        sa.Column("body", _TEXT, nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name="fk_samples_prompt_hash"),
    )
    op.create_index("ix_samples_prompt_hash", "samples", ["prompt_hash"])
    op.create_table(
        "judgments",
        sa.Column("id", _TEXT, nullable=False),
        sa.Column("kind", _TEXT, nullable=False),
        sa.Column("person_id", _TEXT, nullable=False),
        sa.Column("annotator", _TEXT, nullable=False),
        sa.Column("prompt_hash", _TEXT, nullable=False),
        sa.Column("prompt_id", _TEXT, nullable=False),
        sa.Column("answer", _TEXT, nullable=False),
        sa.Column("guideline", _TEXT, nullable=False),
        sa.Column("supersedes", _TEXT, nullable=True),
        sa.Column("consent_version", _TEXT, nullable=False),
        sa.Column("idempotency_key", _TEXT, nullable=False),
        sa.Column("hash", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_judgments"),
        sa.UniqueConstraint("supersedes", name="uq_judgments_supersedes"),
        sa.UniqueConstraint("idempotency_key", name="uq_judgments_idempotency_key"),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name="fk_judgments_prompt_hash"),
        sa.ForeignKeyConstraint(["supersedes"], ["judgments.id"], name="fk_judgments_supersedes"),
        sa.ForeignKeyConstraint(["person_id", "annotator"], ["people.id", "people.annotator"],
                                name="fk_judgments_person_id_annotator"),
    )
    op.create_index("ix_judgments_kind_annotator", "judgments", ["kind", "annotator"])
    op.create_index("ix_judgments_person_id", "judgments", ["person_id"])
    op.create_table(
        "judgment_samples",
        sa.Column("judgment_id", _TEXT, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", _TEXT, nullable=False),
        sa.PrimaryKeyConstraint("judgment_id", "position", name="pk_judgment_samples"),
        sa.ForeignKeyConstraint(["judgment_id"], ["judgments.id"], name="fk_judgment_samples_judgment_id"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_judgment_samples_sample_id"),
    )
    op.create_index("ix_judgment_samples_sample_id", "judgment_samples", ["sample_id"])
    introduce()
    for table, names in _UNIQUE.items():
        guard(table, *names)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("COMMENT ON TABLE judgments IS 'Tutelage feedback store'")
    else:
        op.execute(f"PRAGMA application_id = {0x54757465}")


def downgrade() -> None:
    raise NotImplementedError("people's answers are not thrown away: restore a copy of the file instead")
