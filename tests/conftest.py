"""For all tests."""

import asyncio
import inspect
import logging
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from closure import lasting, leaving_nothing
from databases import KINDS, PostgresServer, postgres_server
from hypothesis import settings
from s3_driver import S3Server, s3_server
from service_driver import Service, StartService

from phonebot.discretion import DiscreetFormatter, Personal
from phonebot.store.database import Database

# No test depends on how fast the machine is.
settings.register_profile("phonebot", deadline=None)
settings.load_profile("phonebot")


@pytest.fixture(autouse=True)
def closes_all(request: pytest.FixtureRequest) -> None:
    """Whatever a test does in its event loop, nothing is left of it: this is set up first, and so looks last."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_closure")


@pytest.fixture(autouse=True)
def leaves_the_log() -> Iterator[None]:
    """A command sets up the log of its process: of a test that runs one nothing of that is left."""
    loggers = logging.getLogger(), logging.getLogger("phonebot")
    levels = [each.level for each in loggers]
    yield
    for handler in list(loggers[0].handlers):
        if isinstance(handler.formatter, DiscreetFormatter):
            loggers[0].removeHandler(handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    Personal.shown = False


@pytest.fixture
async def _closure() -> AsyncIterator[None]:
    async with leaving_nothing():
        yield


@pytest.fixture
async def services() -> AsyncIterator[AsyncExitStack]:
    """Stops those that a test has started, when it is closed: at the end, or before what they use."""
    async with AsyncExitStack() as services:
        yield services


@pytest.fixture
async def start_service(services: AsyncExitStack, tmp_path: Path) -> StartService:
    """Starts a service on given terms, and stops it at the end."""

    async def start(**terms: Any) -> Service:
        service = await Service.start(tmp_path, **terms)
        services.push_async_callback(service.stop)
        return service

    return start


@pytest.fixture
async def service(start_service: StartService) -> Service:
    """The service as most tests need it."""
    return await start_service()


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


@pytest.fixture
async def sqlite(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """The same in SQLite alone, for what makes no difference to the database."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    opened = Database(f"sqlite:///{tmp_path}/phonebot.db")
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with ExitStack() as running:
        with lasting():  # the first test that needs it need not stop it
            server = running.enter_context(s3_server())
        yield server


@pytest.fixture(params=["kept here", "in another folder", "in s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a storage of recordings, empty: where logs are written (`calls` in `tmp_path`), and elsewhere."""
    if request.param == "kept here":
        return (tmp_path / "calls").as_uri()
    if request.param == "in another folder":
        return (tmp_path / "elsewhere").as_uri()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server: S3Server = request.getfixturevalue("s3")
    return f"s3://{server.bucket()}/some/prefix?region=us-east-1&endpoint={server.endpoint}"
