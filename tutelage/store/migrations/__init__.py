"""Alembic's scripts, run by `store.database.upgrade` when a store is opened. One file a change, never edited after."""
