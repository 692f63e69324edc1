"""The store: what people answered, kept for good. The only room that knows SQL (docs/store.md)."""

from tutelage.store.store import Person, Store

__all__ = ["Person", "Store"]
