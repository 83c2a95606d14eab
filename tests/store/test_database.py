"""Transactions, on both databases; what is said when a database is not there, or not ours."""

import asyncio
import logging
import os
import stat
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import asyncpg
import pytest
from databases import PostgresServer
from faulty_relay import Relay, relaying
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import IntegrityError

from phonebot.errors import StoreError, StoreTooNew, StoreUnavailable
from phonebot.store.database import Database
from phonebot.store.tables import AuditRow, CallRow, Counter, NumberRow, TurnRow

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
UPGRADE = """
import asyncio, sys
from phonebot.store.database import Database
asyncio.run(Database(sys.argv[1]).upgrade())
"""


async def test_what_a_block_did_is_there_afterwards(database: Database) -> None:
    async with database.begin() as session:
        session.add(Counter(name="test", value=3))
    async with database.read() as session:
        assert await session.scalar(select(Counter.value).where(Counter.name == "test")) == 3


async def test_what_a_block_did_that_raised_is_not(database: Database) -> None:
    async def fail() -> None:
        async with database.begin() as session:
            session.add(Counter(name="test", value=3))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.read() as session:
        assert await session.scalar(select(Counter.value).where(Counter.name == "test")) is None


async def test_what_is_read_in_a_block_is_of_one_moment(database: Database) -> None:
    counted = select(func.count()).select_from(Counter)
    async with database.read() as reading:
        before = await reading.scalar(counted)
        async with database.begin() as writing:
            writing.add(Counter(name="test", value=3))
        assert await reading.scalar(counted) == before
    async with database.read() as reading:
        assert await reading.scalar(counted) == (before or 0) + 1


async def test_what_the_rows_forbid_is_told_as_such(database: Database) -> None:
    with pytest.raises(IntegrityError):
        async with database.begin() as session:
            session.add(TurnRow(call_id=7, sequence=1, who="bot", text="of no call"))


async def test_the_rows_of_a_call_go_with_it(database: Database) -> None:
    call = CallRow(call_sid="CA1", from_number="+15550100001", to_number="+1", number="+1", started_at=NOON)
    call.turns = [TurnRow(sequence=1, who="bot", text="Hello")]
    async with database.begin() as session:
        session.add(call)
    async with database.begin() as session:
        await session.delete(await session.get_one(CallRow, call.id))
    async with database.read() as session:
        assert (await session.scalars(select(TurnRow))).all() == []


async def test_a_moment_comes_back_in_utc_and_one_without_a_zone_is_refused(database: Database) -> None:
    there = NOON.astimezone(timezone(timedelta(hours=-5)))
    async with database.begin() as session:
        session.add(AuditRow(at=there, who="ada", what="test", target=""))
    async with database.read() as session:
        kept = await session.scalar(select(AuditRow.at))
        assert (kept, str(kept)) == (NOON, "2026-11-27 12:00:00+00:00")
    with pytest.raises(Exception, match="without a time zone"):
        async with database.begin() as session:
            session.add(AuditRow(at=NOON.replace(tzinfo=None), who="ada", what="test", target=""))


async def test_a_table_keeps_the_order_of_its_keys_and_none_is_null(database: Database) -> None:
    table = {"voice": "marin", "name": "Café", "greeting": "Hi"}
    async with database.begin() as session:
        session.add(AuditRow(at=NOON, who="ada", what="test", target="", before=None, after=table))
    async with database.read() as session:
        kept = await session.scalar(select(AuditRow.after).where(AuditRow.before.is_(None)))
        assert kept is not None
        assert list(kept.items()) == list(table.items())


async def test_writers_at_once_wait_for_each_other(database: Database) -> None:
    """Each reads what it then raises by one: none may work with what another is about to change."""
    async with database.begin() as session:
        session.add(Counter(name="test", value=0))

    async def count() -> None:
        async with database.begin() as session:
            counter = await session.scalar(select(Counter).where(Counter.name == "test").with_for_update())
            assert counter is not None
            await asyncio.sleep(0)
            counter.value += 1

    await asyncio.gather(*(count() for _ in range(20)))
    async with database.read() as session:
        assert await session.scalar(select(Counter.value).where(Counter.name == "test")) == 20


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    async with database.begin() as writing:
        await writing.execute(insert(Counter).values(name="test", value=3))
        async with database.read() as session:
            assert await session.scalar(select(Counter.value).where(Counter.name == "test")) is None


def test_processes_that_start_at_once_make_the_tables_once(empty_database_url: str) -> None:
    command = [sys.executable, "-c", UPGRADE, empty_database_url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(5)]
    assert [process.communicate()[1] for process in processes] == [""] * 5
    assert [process.returncode for process in processes] == [0] * 5


async def test_upgrades_at_once_in_one_process_make_the_tables_once(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    await asyncio.gather(*(Database(empty_database_url).upgrade() for _ in range(3)))
    assert await database.revision() is not None
    await database.close()


async def test_an_upgrade_keeps_what_is_there(database: Database) -> None:
    async with database.begin() as session:
        session.add(NumberRow(number="default", created_at=NOON))
    await database.upgrade()
    async with database.read() as session:
        assert await session.scalar(select(NumberRow.number)) == "default"


async def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    async with database.begin() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew) as caught:
        await database.upgrade()
    assert str(caught.value) == (
        f"the database {database.name} was made by a newer version of phonebot (its tables are at 9999): "
        "install that version, or restore a backup from before it"
    )
    assert await database.revision() == "9999"


async def test_the_file_of_a_database_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "phonebot.db"
    database = Database(f"sqlite:///{path}")
    await database.upgrade()
    async with database.begin() as session:
        session.add(Counter(name="test", value=3))
        await session.flush()
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    await database.close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "phonebot.db",
        "sqlite://",
        "mysql://host/name",
        "postgresql://host",
        "postgresql://h:x/name",
        "sqlite:///a?b=c",
    ],
)
def test_a_url_of_another_kind_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(StoreError) as caught:
        Database(url)
    assert str(caught.value) == (
        "PHONEBOT_DATABASE_URL is no address of a database: it must be sqlite:///PATH or "
        "postgresql://USER:PASSWORD@HOST:PORT/NAME; special characters of the password are written %XX"
    )


def test_an_option_that_is_not_known_is_refused() -> None:
    with pytest.raises(StoreError, match="may hold one option, sslmode, which is one of disable, allow"):
        Database("postgresql://phonebot:secret@db/phonebot?sslrootcert=x")


def test_a_database_shows_no_password() -> None:
    database = Database("postgres://phonebot:secret@db.example.com/calls?sslmode=require")
    assert repr(database) == "Database(db.example.com:5432/calls)"


async def problem_of(database: Database) -> str:
    with pytest.raises(StoreUnavailable) as caught:
        await database.upgrade()
    assert "secret" not in str(caught.value)
    return str(caught.value).removeprefix(f"the database {database.name} ")


async def test_a_server_that_is_away_is_told_as_such() -> None:
    database = Database("postgresql://phonebot:secret@127.0.0.1:1/calls")
    assert await problem_of(database) == (
        "cannot be reached: check that it runs and that PHONEBOT_DATABASE_URL is right"
    )


async def test_a_wrong_password_is_told_as_such(postgres: PostgresServer) -> None:
    postgres.run_sql("CREATE ROLE ada LOGIN PASSWORD 'right'")
    database = Database(postgres.url("postgres", "ada:secret"))
    assert await problem_of(database) == "refuses the user or the password: correct PHONEBOT_DATABASE_URL"


async def test_a_database_that_does_not_exist_is_told_as_such(postgres: PostgresServer) -> None:
    assert await problem_of(Database(postgres.url("nowhere"))) == (
        "or its user does not exist: create it, or correct PHONEBOT_DATABASE_URL"
    )


async def test_a_user_who_may_not_make_tables_is_told_so(postgres: PostgresServer) -> None:
    postgres.run_sql("CREATE ROLE eve LOGIN PASSWORD 'secret'")
    assert await problem_of(Database(postgres.url(postgres.create(), "eve:secret"))) == (
        "denies its user what phonebot needs: make the user the owner of the database"
    )


async def test_a_file_that_is_no_database_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "phonebot.db").write_text("Dear diary, " * 100)
    assert await problem_of(Database(f"sqlite:///{tmp_path}/phonebot.db")) == (
        "is damaged or no database: restore it from a backup"
    )


async def test_a_folder_that_is_none_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert await problem_of(Database(f"sqlite:///{tmp_path}/file/phonebot.db")) == (
        "cannot be opened for writing: File exists; give phonebot the right to write there, or set "
        "PHONEBOT_DATABASE_URL"
    )


async def test_a_writer_that_waited_too_long_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/phonebot.db"
    await Database(url).upgrade()
    holder, other = Database(url), Database(url)
    monkeypatch.setattr("phonebot.store.database.BUSY_S", 0.05)
    async with holder.begin():
        with pytest.raises(StoreUnavailable, match="is locked by another program: close that program"):
            async with other.begin():
                raise AssertionError("it had the lock too")
    await holder.close()
    await other.close()


READ_ONLY = """
import asyncio, os, sys
from phonebot.errors import StoreError
from phonebot.store.database import Database
from phonebot.store.tables import Counter

async def write():
    database = Database(sys.argv[1])
    await database.revision()
    await database.close()
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        async with database.begin() as session:
            session.add(Counter(name="test", value=3))
    except StoreError as error:
        print(error, end="")

asyncio.run(write())
"""


async def test_a_file_that_may_only_be_read_is_told_as_such() -> None:
    """Root may write anything: it becomes nobody, once it has imported what nobody might not be able to read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = Path(folder, "phonebot.db")
        await Database(f"sqlite:///{path}").upgrade()
        os.chmod(path, 0o444)
        os.chmod(folder, 0o555)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, f"sqlite:///{path}"], capture_output=True, text=True, check=True
        )
        os.chmod(folder, 0o755)
    assert done.stdout == f"the database {path} may only be read: give phonebot the right to write to it"


async def test_a_connection_that_broke_is_replaced(postgres: PostgresServer, migrated_postgresql: str) -> None:
    name = postgres.create(migrated_postgresql)
    database = Database(postgres.url(name))
    assert await database.revision() is not None
    postgres.run_sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    async with database.begin() as session:
        session.add(Counter(name="test", value=3))
    await database.close()


async def test_a_connection_that_breaks_while_it_is_set_up_means_that_the_database_is_away(
    postgres: PostgresServer, migrated_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*args: object, **terms: object) -> None:
        raise asyncpg.InterfaceError("connection is closed")

    database = Database(postgres.url(postgres.create(migrated_postgresql)))
    monkeypatch.setattr(asyncpg.Connection, "set_type_codec", broken)
    with pytest.raises(StoreUnavailable):
        await database.revision()
    monkeypatch.undo()
    assert await database.revision() is not None
    await database.close()


async def test_nothing_of_a_url_or_a_row_is_logged(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(IntegrityError) as caught:
        async with database.begin() as session:
            session.add(TurnRow(call_id=7, sequence=1, who="bot", text="my card is 4111"))
    assert "4111" not in str(caught.value)
    assert caplog.text == ""


async def test_a_connection_in_use_while_the_database_is_closed_is_closed_after_it(database: Database) -> None:
    """And the database can be used on: that nothing stays open is checked after each test."""
    async with database.read() as session:
        await database.close()
        assert await session.scalar(text("SELECT 1")) == 1
        async with database.begin() as other:
            assert await other.scalar(text("SELECT 2")) == 2


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_who_is_cancelled_while_he_connects_leaves_no_connection(sqlite: Database, turns: int) -> None:
    async def read() -> None:
        async with sqlite.read() as session:
            await session.execute(text("SELECT 1"))

    reading = asyncio.create_task(read())
    for _ in range(turns):
        await asyncio.sleep(0.0001)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("when", ["in a statement", "at the commit"])
async def test_a_connection_that_breaks_meanwhile_is_told_as_a_database_that_is_away(
    postgres: PostgresServer, migrated_postgresql: str, when: str
) -> None:
    name = postgres.create(template=migrated_postgresql)
    async with relaying(postgres.port) as relay:
        database = Database(f"postgresql://phonebot@127.0.0.1:{relay.port}/{name}?sslmode=disable")
        with pytest.raises(StoreUnavailable, match="cannot be reached"):
            await _broken(database, relay, when)
        async with database.read() as session:
            assert await session.scalar(text("SELECT 1")) == 1
        await database.close()


async def _broken(database: Database, relay: Relay, when: str) -> None:
    async with database.begin() as session:
        await session.execute(text("SELECT 1"))
        if when == "at the commit":
            relay.links[-1].cut()
        else:
            asyncio.get_running_loop().call_later(0.1, relay.links[-1].cut)
            await session.execute(text("SELECT pg_sleep(15)"))
