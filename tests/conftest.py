"""For all tests."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from databases import KINDS, PostgresServer, postgres_server
from hypothesis import settings

from phonebot.store.database import Database

# No test depends on how fast the machine is.
settings.register_profile("phonebot", deadline=None)
settings.load_profile("phonebot")


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("migrated") / "phonebot.db"
    _upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgresql(postgres: PostgresServer) -> str:
    name = postgres.create()
    _upgrade(postgres.url(name))
    return name


def _upgrade(url: str) -> None:
    asyncio.run(Database(url).upgrade())


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables, of each kind; SQLite's file is not there yet."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/phonebot.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.create())


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database that has its tables, all empty, of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "phonebot.db")
        return f"sqlite:///{tmp_path}/phonebot.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.create(template=request.getfixturevalue("migrated_postgresql")))


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database that has its tables, all empty, of each kind."""
    opened = Database(database_url)
    yield opened
    await opened.close()
