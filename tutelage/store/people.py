"""Looking a person up, for the other files of this room."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from tutelage.errors import StoreError
from tutelage.store.schema import people


def find_person(connection: Connection, id: str) -> dict[str, Any]:
    """The row of `people`. Raises StoreError if there is none."""
    row = connection.execute(select(people).where(people.c.id == id)).mappings().first()
    if row is None:
        raise StoreError(f"the store does not know {id!r}. Add the person first.")
    return dict(row)
