"""Alembic's entry: it runs on the connection, and in the transaction, that `schema.migrate` has opened."""

from alembic import context
from cellar_hub.store.schema import VERSION_TABLE
from cellar_hub.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
