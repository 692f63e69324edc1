"""Run by Alembic inside the transaction that `store.opening.upgrade` holds: an upgrade is whole or not at all."""

from alembic import context

from tutelage.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,           # SQLite cannot alter a table in place
    transactional_ddl=True,         # it can under the BEGIN recipe of `store.sqlite`
)
with context.begin_transaction():
    context.run_migrations()
