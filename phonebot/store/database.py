"""
The database: SQLite in a file as long as one machine will do, PostgreSQL beyond it.

    database = Database("sqlite:////var/lib/phonebot/phonebot.db")
    await database.upgrade()
    async with database.begin() as session:
        session.add(...)

SQLite is run with its write-ahead log, so that readers and one writer do not wait for each other. A writing
transaction takes the lock for writing when it begins (BEGIN IMMEDIATE): one that began by reading could not get it
later without failing (SQLite, Transactions, 2.2).
"""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import ColumnElement, Connection, DateTime, TableClause, event, func, literal, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, create_async_engine

from phonebot.errors import StoreError, StoreTooNew, StoreUnavailable
from phonebot.private_folders import make_private
from phonebot.store.tables import Moment, Table

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
# asyncpg's own come as they are where a connection breaks while it is being set up.
_NO_CONNECTION = (
    DBAPIError,
    PoolTimeoutError,
    OSError,
    sqlite3.Error,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
BUSY_S = 10.0  # how long a writer waits for another one of a SQLite file
CONNECT_S = 5.0
COMMAND_S = 30.0
POOL_SIZE = 10  # and as many beyond when they are needed

_UPGRADE_LOCK = 0x70686F6E  # one number for all processes that may upgrade the same PostgreSQL database
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Alembic keeps in modules what it works on: one upgrade at a time in a process.
_one_upgrade = threading.Lock()


class Database:
    """
    A database at a URL: `sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST:PORT/NAME?sslmode=MODE`.

    Its repr and its errors show no password. Raises StoreError for a URL of another kind. Nothing is opened before
    it is used. What a transaction cannot do because the database is away or refuses is StoreUnavailable; what its
    rows forbid is SQLAlchemy's IntegrityError.
    """

    def __init__(self, url: str) -> None:
        self._url = _parse(url)
        self._engine: AsyncEngine | None = None
        # Close connections, some of which nobody waits for any more.
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"Database({self.name})"

    @property
    def name(self) -> str:
        """What people know it by: the file, or host and name."""
        if self.is_sqlite:
            return str(self._url.database)
        return f"{self._url.host or 'localhost'}:{self._url.port or 5432}/{self._url.database}"

    @property
    def is_sqlite(self) -> bool:
        return self._url.get_backend_name() == "sqlite"

    def moment(self, in_s: float = 0.0) -> ColumnElement[datetime]:
        """
        So many seconds from now, for a statement, by a clock that all processes have in common.

        It is the database's; for SQLite the machine's, since there is no other machine.
        """
        if self.is_sqlite:
            return literal(datetime.now(UTC) + timedelta(seconds=in_s), Moment())
        return func.clock_timestamp(type_=DateTime(timezone=True)) + timedelta(seconds=in_s)

    def insert(self, table: type[Table] | TableClause) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that can also say what is done about a row that is there already."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        """A transaction that may write: committed at the end of the block, rolled back when it raises."""
        async with self._session() as session, session.begin():
            await session.connection()  # begins now, and not with the first statement
            yield session

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A transaction that only reads, all of it as it was when it began, and waits for no writer."""
        async with self._session(read_only=True) as session, session.begin():
            yield session

    @asynccontextmanager
    async def in_time(self, deadline_s: float) -> AsyncIterator[None]:
        """What the block asks of the database must be done within `deadline_s`: else raises StoreUnavailable."""
        try:
            async with asyncio.timeout(deadline_s):
                yield
        except TimeoutError:
            raise StoreUnavailable(
                f"the database {self.name} took longer than {deadline_s:g} s: try again"
            ) from None

    async def upgrade(self) -> None:
        """
        Make the tables what this version needs; a SQLite file is created, readable by its owner alone.

        Processes that do so at the same time wait for each other. Raises StoreTooNew for a database of a later
        version, which is left as it is.
        """
        await asyncio.to_thread(self._upgrade)

    async def revision(self) -> str | None:
        """The migration that its tables are at; None: they were never made."""
        if self.is_sqlite and not Path(str(self._url.database)).exists():  # noqa: ASYNC240  (takes no time)
            return None
        async with self._connect() as connection:
            return await connection.run_sync(_revision)

    async def close(self) -> None:
        """Close its connections; those in use once they are not. It may be used again afterwards."""
        engine, self._engine = self._engine, None
        if self._closing:
            await asyncio.wait(self._closing)
        if engine is not None:
            await engine.dispose()

    @asynccontextmanager
    async def _session(self, read_only: bool = False) -> AsyncIterator[AsyncSession]:
        async with (
            self._connect(read_only) as connection,
            AsyncSession(connection, expire_on_commit=False) as session,
        ):
            yield session

    @asynccontextmanager
    async def _connect(self, read_only: bool = False) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            self._engine = _engine(self._url)
        engine = self._engine
        try:
            connection = await self._connected(engine)
        except _NO_CONNECTION as error:
            raise self._unavailable(error) from error
        try:
            await connection.execution_options(phonebot_read_only=read_only)
            if read_only and not self.is_sqlite:
                # Else each statement sees what was committed before it, and a number may be gone in between.
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
        except DBAPIError as error:
            lost = error.connection_invalidated or isinstance(error, OperationalError | InterfaceError)
            if not (lost or _known_reason(error)):
                raise  # a mistake of ours, or what the rows forbid
            raise self._unavailable(error) from error
        finally:
            # Not given up half closed by a user who is cancelled: see `_connected`.
            await asyncio.shield(self._closes(self._give_back(connection, engine)))

    async def _connected(self, engine: AsyncEngine) -> AsyncConnection:
        """
        A connection of the pool's, perhaps a new one.

        Who is cancelled meanwhile need not wait until it is there; but it is not given up half made, since neither
        the pool nor the driver would close it then.
        """
        connecting = asyncio.ensure_future(engine.connect())
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            self._closes(_close(connecting))
            raise

    def _closes(self, closing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Runs to its end, whoever waits for it: `close` does."""
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return task

    async def _give_back(self, connection: AsyncConnection, engine: AsyncEngine) -> None:
        if engine is not self._engine:  # it was closed meanwhile: the pool that takes this back is nobody's
            await connection.invalidate()
        await connection.close()

    def _upgrade(self) -> None:
        with _one_upgrade:
            # In a loop of its own, since this is a thread of its own: so is what is connected there.
            asyncio.run(Database(self._url.render_as_string(hide_password=False))._migrate())

    async def _migrate(self) -> None:
        if self.is_sqlite:
            self._create_file()
        try:
            async with self._connect() as connection, connection.begin():
                if not self.is_sqlite:
                    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})"))
                await connection.run_sync(self._run_migrations)
        finally:
            await self.close()

    def _create_file(self) -> None:
        """The transcripts of calls are nobody else's business; SQLite's other files take over its mode."""
        path = Path(str(self._url.database))
        try:
            make_private(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise StoreUnavailable(
                f"the database {self.name} cannot be opened for writing: {reason}; "
                "give phonebot the right to write there, or set PHONEBOT_DATABASE_URL"
            ) from error

    def _run_migrations(self, connection: Connection) -> None:
        known = revisions()
        revision = _revision(connection)
        if revision == known[0]:
            return
        if revision is not None and revision not in known:
            raise too_new(self.name, revision)
        config = _migrations()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        log.info("the tables of the database %s were brought to %s", self.name, known[0])

    def _unavailable(self, error: Exception) -> StoreError:
        return StoreUnavailable(f"the database {self.name} {_reason(error)}")


async def _close(connecting: "asyncio.Future[AsyncConnection]") -> None:
    with suppress(*_NO_CONNECTION):
        await (await connecting).close()


def too_new(name: str, revision: str) -> StoreTooNew:
    """For the database of this name, whose tables are at a migration that this version does not know."""
    return StoreTooNew(
        f"the database {name} was made by a newer version of phonebot (its tables are at {revision}): "
        "install that version, or restore a backup from before it"
    )


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.port  # noqa: B018  (a port that is none is found here)
    except (ArgumentError, ValueError):
        raise StoreError(_WANTED) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite" if parsed.database and not parsed.query:
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres" | "postgresql+asyncpg" if parsed.database:
            return _with_ssl(parsed.set(drivername="postgresql+asyncpg"))
    raise StoreError(_WANTED)


_WANTED = (
    "PHONEBOT_DATABASE_URL is no address of a database: it must be sqlite:///PATH or "
    "postgresql://USER:PASSWORD@HOST:PORT/NAME; special characters of the password are written %XX"
)


def _with_ssl(url: URL) -> URL:
    """libpq's sslmode, as asyncpg calls it."""
    wrong = sorted(url.query.keys() - {"sslmode", "ssl"})
    mode = url.query.get("sslmode", url.query.get("ssl"))
    if wrong or mode not in (None, *_SSL_MODES):
        raise StoreError(
            f"PHONEBOT_DATABASE_URL may hold one option, sslmode, which is one of {', '.join(_SSL_MODES)}"
        )
    return url.set(query={"ssl": mode} if mode else {})


def _engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        return create_async_engine(
            url,
            pool_size=POOL_SIZE,
            pool_pre_ping=True,  # the server may have been restarted meanwhile
            pool_timeout=CONNECT_S,
            connect_args={"timeout": CONNECT_S, "command_timeout": COMMAND_S},
            hide_parameters=True,  # they hold what callers said
        )
    engine = create_async_engine(
        url, pool_size=POOL_SIZE, pool_timeout=BUSY_S, connect_args={"timeout": BUSY_S}, hide_parameters=True
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # Python's sqlite3 begins no transactions: `_begin_sqlite` does
    try:
        cursor = connection.cursor()
        for pragma in ("foreign_keys = ON", "journal_mode = WAL", "synchronous = NORMAL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
    except BaseException:  # who wanted it may have been cancelled meanwhile
        connection.close()  # nobody else would: it never got into the pool
        raise


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get("phonebot_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def revisions() -> list[str]:
    """The migrations that this version knows, the newest first."""
    return [script.revision for script in ScriptDirectory.from_config(_migrations()).walk_revisions()]


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


# What the drivers say, in part, and what is wrong then, with the remedy. The first that fits.
_REASONS = (
    (("readonly database", "read-only transaction"), "may only be read: give phonebot the right to write to it"),
    (("database is locked",), "is locked by another program: close that program and try again"),
    (("unable to open database file",), "cannot be opened: check that its folder exists and may be written to"),
    (("file is not a database", "malformed"), "is damaged or no database: restore it from a backup"),
    (("database or disk is full", "No space left"), "has no room left: free some on its disk"),
    (("password authentication failed",), "refuses the user or the password: correct PHONEBOT_DATABASE_URL"),
    (("does not exist",), "or its user does not exist: create it, or correct PHONEBOT_DATABASE_URL"),
    (("permission denied",), "denies its user what phonebot needs: make the user the owner of the database"),
    (("too many clients", "remaining connection slots"), "has no connection left: raise its max_connections"),
)


def _reason(error: Exception) -> str:
    """What the driver means, with its remedy. The driver's own words may hold values, so they are not shown."""
    if isinstance(error, PoolTimeoutError):
        return "is busy: no connection came free in time; try again"
    return _known_reason(error) or "cannot be reached: check that it runs and that PHONEBOT_DATABASE_URL is right"


def _known_reason(error: Exception) -> str | None:
    said = str(error.orig) if isinstance(error, DBAPIError) else str(error)
    return next((reason for parts, reason in _REASONS if any(part in said for part in parts)), None)
