"""Alembic's scripts, run by `store.opening.upgrade` when a store is opened. One file a change, never edited after."""
