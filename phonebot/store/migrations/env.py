"""Run by Alembic, for `Database.upgrade`, which hands over a connection inside a transaction of its own."""

from alembic import context

from phonebot.store.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a table by writing it anew
)
context.run_migrations()
