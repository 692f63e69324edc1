"""The types of columns, alike on both engines, and the names of constraints."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Dialect, MetaData, Text
from sqlalchemy.types import TypeDecorator

# SQLite rebuilds a table to change it and loses constraints without a name, so each gets one.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=_NAMES)

# Ordered by code point on both engines: PostgreSQL would order by the language of the server.
String = Text().with_variant(Text(collation="C"), "postgresql")

_ESCAPE = "\ue000"


class AnyText(TypeDecorator[str]):
    """Text that may hold a NUL, which PostgreSQL cannot: there it stands as two characters of private use."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or dialect.name != "postgresql" or not (_ESCAPE in value or "\0" in value):
            return value
        return value.replace(_ESCAPE, _ESCAPE + "e").replace("\0", _ESCAPE + "0")

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        if value is None or dialect.name != "postgresql" or _ESCAPE not in value:
            return value
        return _ESCAPE.join(part.replace(_ESCAPE + "0", "\0") for part in value.split(_ESCAPE + "e"))
