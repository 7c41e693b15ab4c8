"""Alembic runs this; it works on the connection, and in the transaction, of whoever called it."""

from alembic import context

from persistence.postgres.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    target_metadata=metadata,
)
with context.begin_transaction():
    context.run_migrations()
