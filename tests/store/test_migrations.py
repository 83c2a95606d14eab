"""The migrations make the tables that the code speaks of."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from databases import PostgresServer
from sqlalchemy import Connection, inspect

from phonebot.store.database import Database
from phonebot.store.tables import Table


async def test_an_upgrade_from_nothing_makes_the_tables_of_the_code(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await database.upgrade()
    async with database.read() as session:
        connection = await session.connection()
        assert await connection.run_sync(_differences) == []
        assert set(Table.metadata.tables) | {"alembic_version"} == await connection.run_sync(_tables)
    await database.close()


def test_in_postgresql_nothing_but_what_is_written_anew_is_kept_out_of_the_write_ahead_log(
    postgres: PostgresServer, migrated_postgresql: str
) -> None:
    unlogged = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpersistence = 'u' ORDER BY relname"
    kept_out = postgres.run_sql(unlogged, migrated_postgresql).split()
    assert kept_out == ["live_audio", "live_calls", "live_events", "live_processes"]


def _differences(connection: Connection) -> object:
    options = {"compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), Table.metadata)


def _tables(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())
