"""The tables, as the code of this version expects them. How a file gets there is in `migrations/`.

    people 1──* consents
    people 1──* judgments *──* samples *──1 prompts        (judgment_samples holds the order they were shown in)
                judgments ─supersedes─► judgments

Everything but `people` is append-only, kept so by triggers that the first migration makes. JSON columns hold
canonical JSON (`lineage.canonical_json`), so that equal contents are equal bytes. A response's text stands in
`samples.text` and nowhere else, so that erasing it later touches one place.
"""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

REVISION = "0001"                  # the newest migration; a test holds it equal to the one in `migrations/versions`
APPLICATION_ID = 0x54757465        # "Tute" in the header of the file: tells our databases from those of others
APPEND_ONLY = ("prompts", "samples", "judgments", "judgment_samples", "consents")

# SQLite rebuilds a table to change it and loses constraints without a name, so each gets one.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=_NAMES)

people = Table(
    "people", metadata,
    Column("id", Text, primary_key=True),
    Column("annotator", Text, CheckConstraint("annotator IN ('human', 'model', 'scripted')", name="kind"),
           nullable=False),
    Column("name", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    UniqueConstraint("id", "annotator"),       # what judgments refer to: a person's judgments are all of one kind
)

consents = Table(
    "consents", metadata,
    Column("person_id", Text, ForeignKey("people.id"), primary_key=True),
    Column("version", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("text_sha256", Text, nullable=False),
    Column("purposes", Text, nullable=False),      # JSON list of words: training, evaluation, ...
    Column("given_at", Text, nullable=False),      # UTC, ISO 8601: the law asks when; nothing that trains reads it
)

prompts = Table(
    "prompts", metadata,
    Column("hash", Text, primary_key=True),        # sha256 of the body
    Column("id", Text, nullable=False),
    Column("body", Text, nullable=False),          # the Prompt as JSON
)

samples = Table(
    "samples", metadata,
    Column("id", Text, primary_key=True),
    Column("prompt_hash", Text, ForeignKey("prompts.hash"), nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("body", Text, nullable=False),          # the rest of the Sample as JSON: ids, logprobs, mask, sampling
    Column("hash", Text, nullable=False),          # sha256 of the whole Sample as JSON
    Index(None, "prompt_hash"),
)

judgments = Table(
    "judgments", metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("person_id", Text, nullable=False),
    Column("annotator", Text, nullable=False),
    Column("prompt_hash", Text, ForeignKey("prompts.hash"), nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("answer", Text, nullable=False),        # JSON by the schema of the kind
    Column("guideline", Text, nullable=False),
    Column("supersedes", Text, ForeignKey("judgments.id"), unique=True),     # what is changed next is its successor
    Column("consent_version", Text, nullable=False),
    Column("idempotency_key", Text, unique=True, nullable=False),
    Column("hash", Text, nullable=False),          # sha256 of the Judgment as JSON
    ForeignKeyConstraint(["person_id", "annotator"], ["people.id", "people.annotator"]),
    Index(None, "kind", "annotator"),
    Index(None, "person_id"),
)

judgment_samples = Table(
    "judgment_samples", metadata,
    Column("judgment_id", Text, ForeignKey("judgments.id"), primary_key=True),
    Column("position", Integer, primary_key=True),     # 0 was shown first
    Column("sample_id", Text, ForeignKey("samples.id"), nullable=False),
    Index(None, "sample_id"),
)
