"""The tables of accounts: who may come in, as what, and what was done. Secrets stand here only as their hashes.

`people` (schema.py) are whoever judges, scripts too; an account is a person with a role. `audit` is append-only and each
of its lines carries the hash of the one before; it holds ids and words of the program, never what people wrote.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Double, ForeignKey, Index, Integer, Table

from tutelage.store.columns import String, metadata

roles = Table(
    "roles", metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("role", String, CheckConstraint("role IN ('annotator', 'reviewer', 'lead', 'admin')", name="role"),
           primary_key=True),
    Column("granted_by", String, ForeignKey("people.id")),
    Column("granted_at", Double, nullable=False),
)

abilities = Table(
    "abilities", metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("kind", String, CheckConstraint("kind IN ('tag', 'language')", name="kind"), primary_key=True),
    Column("value", String, primary_key=True),
)

person_settings = Table(
    "person_settings", metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("body", String, nullable=False),            # JSON: language, keys, theme …
)

passwords = Table(
    "passwords", metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("hash", String, nullable=False),            # argon2id, made by the web room
    Column("set_at", Double, nullable=False),
)

sessions = Table(
    "sessions", metadata,
    Column("hash", String, primary_key=True),          # sha256 of the token in the cookie
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Index(None, "person_id"),
    Index(None, "expires"),
)

links = Table(
    "links", metadata,
    Column("hash", String, primary_key=True),          # sha256 of the token in the address
    Column("purpose", String, CheckConstraint("purpose IN ('setup', 'invitation', 'password')", name="purpose"),
           nullable=False),
    Column("body", String, nullable=False),            # JSON: name, roles, campaign, language …
    Column("created_by", String, ForeignKey("people.id")),
    Column("created_at", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("used_by", String, ForeignKey("people.id")),
    Column("used_at", Double),
    Index(None, "purpose"),
)

api_keys = Table(
    "api_keys", metadata,
    Column("id", String, primary_key=True),
    Column("hash", String, nullable=False, unique=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False),
    Column("name", String, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("last_used", Double),
    Column("revoked_at", Double),
    Index(None, "person_id"),
)

audit = Table(
    "audit", metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),      # 1, 2, 3 …
    Column("at", Double, nullable=False),
    Column("actor", String, nullable=False),           # a person's id, "" where nobody has come in yet
    Column("action", String, nullable=False),
    Column("subjects", String, nullable=False),        # JSON list of ids
    Column("previous", String, nullable=False),        # hash of the line before; 64 zeros before the first
    Column("hash", String, nullable=False, unique=True),
)
