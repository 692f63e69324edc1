"""What refuses UPDATE, DELETE and replacement of a table's rows, whoever opens the database and with whatever program."""

from __future__ import annotations

from alembic import op

_REFUSAL = """
CREATE FUNCTION refuse_to_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def guard(table: str, *unique: str) -> None:
    """Make `table` append-only. `unique`: the columns, or lists of them, that may name only one row.

    On SQLite, INSERT OR REPLACE would remove the row that has the name without a word, and fires no delete trigger for
    it unless asked to on that connection; so a clash is refused before the insert.
    """
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE ON {table} "
                   "FOR EACH ROW EXECUTE FUNCTION refuse_to_change()")
        op.execute(f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
                   "FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change()")
        return
    for verb in ("UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} "
                   f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")
    for name in unique:
        new = ", ".join(f"NEW.{column}" for column in name.split(", "))
        op.execute(f"CREATE TRIGGER {table}_no_replace_{name.replace(', ', '_')} BEFORE INSERT ON {table} "
                   f"WHEN EXISTS (SELECT 1 FROM {table} WHERE ({name}) = ({new})) "
                   f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END")


def introduce() -> None:
    """Once, before the first `guard`."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(_REFUSAL)
