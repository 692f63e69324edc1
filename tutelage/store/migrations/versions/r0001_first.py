"""The first schema: people, consents, prompts, samples, judgments, and the triggers that keep them append-only."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Columns that may name only one row. INSERT OR REPLACE would remove the row that has the name without a word, and
# SQLite fires no delete trigger for it unless asked to on that connection; so a clash is refused before the insert.
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
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_people"),
        sa.UniqueConstraint("id", "annotator", name="uq_people_id_annotator"),
        sa.CheckConstraint("annotator IN ('human', 'model', 'scripted')", name=op.f("ck_people_kind")),
    )
    op.create_table(
        "consents",
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("text_sha256", sa.Text(), nullable=False),
        sa.Column("purposes", sa.Text(), nullable=False),
        sa.Column("given_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "version", "language", name="pk_consents"),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name="fk_consents_person_id"),
    )
    op.create_table(
        "prompts",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_prompts"),
    )
    op.create_table(
        "samples",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_samples"),
        sa.ForeignKeyConstraint(["prompt_hash"], ["prompts.hash"], name="fk_samples_prompt_hash"),
    )
    op.create_index("ix_samples_prompt_hash", "samples", ["prompt_hash"])
    op.create_table(
        "judgments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False),
        sa.Column("prompt_hash", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("guideline", sa.Text(), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("consent_version", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
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
        sa.Column("judgment_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("judgment_id", "position", name="pk_judgment_samples"),
        sa.ForeignKeyConstraint(["judgment_id"], ["judgments.id"], name="fk_judgment_samples_judgment_id"),
        sa.ForeignKeyConstraint(["sample_id"], ["samples.id"], name="fk_judgment_samples_sample_id"),
    )
    op.create_index("ix_judgment_samples_sample_id", "judgment_samples", ["sample_id"])
    for table, names in _UNIQUE.items():
        for verb in ("UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                       f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
        for name in names:
            new = ", ".join(f"NEW.{column}" for column in name.split(", "))
            op.execute(f"CREATE TRIGGER {table}_no_replace_{name.replace(', ', '_')} BEFORE INSERT ON {table} "
                       f"WHEN EXISTS (SELECT 1 FROM {table} WHERE ({name}) = ({new})) "
                       f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
    op.execute(f"PRAGMA application_id = {0x54757465}")


def downgrade() -> None:
    raise NotImplementedError("people's answers are not thrown away: restore a copy of the file instead")
