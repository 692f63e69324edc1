"""The tables, as the code of this version expects them. How a file gets there is in `migrations/`.

    people 1──* consents
    people 1──* judgments *──* samples *──1 prompts        (judgment_samples holds the order they were shown in)
                judgments ─supersedes─► judgments

Everything but `people` is append-only, kept so by triggers that the migrations make. JSON columns hold
canonical JSON (`lineage.canonical_json`), so that equal contents are equal bytes. A response's text stands in
`samples.text` and nowhere else, so that erasing it later touches one place. Campaigns are in `schema_campaigns.py`,
accounts in `schema_accounts.py`.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, ForeignKey, ForeignKeyConstraint, Index, Integer, Table, UniqueConstraint

from tutelage.store.columns import AnyText, String, metadata

REVISION = "0002"                  # the newest migration; a test holds it equal to the one in `migrations/versions`
APPLICATION_ID = 0x54757465        # "Tute" in the header of a SQLite file: tells our databases from those of others
APPLICATION_COMMENT = "Tutelage feedback store"        # the same on PostgreSQL, beside the table `judgments`
APPEND_ONLY = ("prompts", "samples", "judgments", "judgment_samples", "consents", "guidelines", "campaign_versions",
               "item_samples", "answers", "withdrawals", "flags", "contests", "resolutions", "audit")

people = Table(
    "people", metadata,
    Column("id", String, primary_key=True),
    Column("annotator", String, CheckConstraint("annotator IN ('human', 'model', 'scripted')", name="kind"),
           nullable=False),
    Column("name", String, nullable=False),
    Column("created_by", String, nullable=False),
    UniqueConstraint("id", "annotator"),       # what judgments refer to: a person's judgments are all of one kind
)

consents = Table(
    "consents", metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("version", String, primary_key=True),
    Column("language", String, primary_key=True),
    Column("text_sha256", String, nullable=False),
    Column("purposes", String, nullable=False),      # JSON list of words: training, evaluation, ...
    Column("given_at", String, nullable=False),      # UTC, ISO 8601: the law asks when; nothing that trains reads it
)

prompts = Table(
    "prompts", metadata,
    Column("hash", String, primary_key=True),        # sha256 of the body
    Column("id", String, nullable=False),
    Column("body", String, nullable=False),          # the Prompt as JSON
)

samples = Table(
    "samples", metadata,
    Column("id", String, primary_key=True),
    Column("prompt_hash", String, ForeignKey("prompts.hash"), nullable=False),
    Column("prompt_id", String, nullable=False),
    Column("policy", String, nullable=False),
    Column("text", AnyText, nullable=False),
    Column("body", String, nullable=False),          # the rest of the Sample as JSON: ids, logprobs, mask, sampling
    Column("hash", String, nullable=False),          # sha256 of the whole Sample as JSON
    Index(None, "prompt_hash"),
)

judgments = Table(
    "judgments", metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("person_id", String, nullable=False),
    Column("annotator", String, nullable=False),
    Column("prompt_hash", String, ForeignKey("prompts.hash"), nullable=False),
    Column("prompt_id", String, nullable=False),
    Column("answer", String, nullable=False),        # JSON by the schema of the kind
    Column("guideline", String, nullable=False),
    Column("supersedes", String, ForeignKey("judgments.id"), unique=True),     # what is changed next is its successor
    Column("consent_version", String, nullable=False),
    Column("idempotency_key", String, unique=True, nullable=False),
    Column("hash", String, nullable=False),          # sha256 of the Judgment as JSON
    ForeignKeyConstraint(["person_id", "annotator"], ["people.id", "people.annotator"]),
    Index(None, "kind", "annotator"),
    Index(None, "person_id"),
    comment=APPLICATION_COMMENT,
)

judgment_samples = Table(
    "judgment_samples", metadata,
    Column("judgment_id", String, ForeignKey("judgments.id"), primary_key=True),
    Column("position", Integer, primary_key=True),     # 0 was shown first
    Column("sample_id", String, ForeignKey("samples.id"), nullable=False),
    Index(None, "sample_id"),
)
