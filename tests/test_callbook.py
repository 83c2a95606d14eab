"""Past calls with all that belongs to them: found, read, and deleted without a trace, wherever their logs are."""

import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from s3_driver import S3Server, s3_server
from sqlalchemy import select

from phonebot.callbook import CallBook
from phonebot.errors import NotStored, StoreError
from phonebot.replay.log import EVENTS_FILE
from phonebot.replay.reader import read
from phonebot.replay.spool import Spool, hold
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings
from phonebot.store.tables import AuditRow, CallRow, Table, TurnRow

ADA = Actor("ada", "192.0.2.7")
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
FIXTURE = Path(__file__).parent.parent / "fixtures/calls/interrupted-twice"
SID = "CA00000000000000000000000000000001"
NAME = f"20261127T120000Z-{SID}"
SAID = "Where is the xylophone"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(params=["kept here", "in another folder", "in s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "kept here":
        return (tmp_path / "calls").as_uri()
    if request.param == "in another folder":
        return (tmp_path / "elsewhere").as_uri()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server: S3Server = request.getfixturevalue("s3")
    return f"s3://{server.bucket()}/some/prefix?region=us-east-1&endpoint={server.endpoint}"


@pytest.fixture
async def database(migrated_sqlite: Path, tmp_path: Path) -> AsyncIterator[Database]:
    """What the databases do differently is in store/test_calls.py."""
    shutil.copy(migrated_sqlite, tmp_path / "phonebot.db")
    opened = Database(f"sqlite:///{tmp_path}/phonebot.db")
    yield opened
    await opened.close()


class Office:
    """A book with its parts, and calls for it."""

    def __init__(self, database: Database, storage: str, folder: Path) -> None:
        self.calls, self.recordings, self.folder = CallStore(database), Recordings(storage), folder
        self.book = CallBook(self.calls, self.recordings, folder)

    def spool(self, name: str = NAME, sid: str = SID, ended: bool = True) -> Path:
        """A log where it was written."""
        log = self.folder / name
        shutil.copytree(FIXTURE, log)
        header = (log / "call.json").read_text().replace(read(log).header.call_sid, sid)
        (log / "call.json").write_text(header if ended else header.replace('"ended": "', '"ended": null, "was": "'))
        return log

    async def file(self, name: str = NAME, sid: str = SID) -> None:
        """Make a row of a spooled log, which goes to the storage."""
        await self.recordings.put(name, self.folder / name)
        if not self.recordings.are_in(self.folder):
            shutil.rmtree(self.folder / name)
        call = CallRow(
            call_sid=sid, started_at=NOON, ended_at=NOON + timedelta(minutes=1), storage_key=name,
            from_number="+15550100001", to_number="+15550100002", number="+15550100002",
        )  # fmt: skip
        await self.calls.file(call, [TurnRow(sequence=1, who="caller", text=SAID)], text=[SAID])


@pytest.fixture
def office(database: Database, storage: str, tmp_path: Path) -> Office:
    return Office(database, storage, tmp_path / "calls")


async def assert_no_trace(office: Office, database: Database, tmp_path: Path) -> None:
    """Nothing of the call is in a table, in the storage, or in a folder: only who deleted it."""
    assert [key async for key in office.recordings.all_keys()] == []
    assert list(office.folder.glob("*")) == []
    async with database.read() as session:
        for table in Table.metadata.sorted_tables:
            told = [str(tuple(row)) for row in await session.execute(select(table))]
            assert not any(SAID.lower() in text.lower() for text in told)
            assert table.name == "audit" or not any(SID in text for text in told)
        (noted,) = await session.scalars(select(AuditRow))
    assert (noted.who, noted.what, noted.target, noted.before, noted.after) == (
        "ada",
        "call.delete",
        SID,
        None,
        None,
    )


async def test_a_filed_call_is_found_and_its_log_read(office: Office) -> None:
    office.spool()
    await office.file()
    (found,) = (await office.book.page(Filters(text="xylophone"))).calls
    assert [turn.text for turn in (await office.book.get(found.call_sid)).turns] == [SAID]
    async with office.book.log(SID) as folder:
        assert read(folder).steps == read(FIXTURE).steps
    assert folder.exists() == office.recordings.are_in(office.folder)


async def test_a_log_that_is_not_filed_yet_is_read_where_it_lies(office: Office) -> None:
    log = office.spool()
    async with office.book.log(SID) as folder:
        assert folder == log
    assert log.exists()


async def test_a_log_that_is_gone_is_said_to_be(office: Office) -> None:
    office.spool()
    await office.file()
    await office.book.remove(NAME)
    with pytest.raises(NotStored, match="is not in the storage any more"):
        async with office.book.log(SID):
            pass


async def test_a_call_that_nobody_knows_is_neither_read_nor_deleted(office: Office) -> None:
    with pytest.raises(NotStored, match="there is no call CA1"):
        async with office.book.log("CA1"):
            pass
    with pytest.raises(NotStored, match="there is no call CA1"):
        await office.book.delete("CA1", ADA)


@pytest.mark.parametrize("is_filed", [True, False], ids=["filed", "spooled"])
async def test_a_deleted_call_leaves_no_trace(
    office: Office, database: Database, tmp_path: Path, is_filed: bool
) -> None:
    office.spool()
    if is_filed:
        await office.file()
    await office.book.delete(SID, ADA)
    await assert_no_trace(office, database, tmp_path)
    with pytest.raises(NotStored):
        await office.book.delete(SID, ADA)


@pytest.mark.parametrize("is_filed", [True, False], ids=["filed", "spooled"])
@pytest.mark.parametrize("step", ["Recordings.delete", "Spool.remove", "CallStore.delete"])
async def test_a_deletion_that_was_cut_off_completes_the_next_time(
    office: Office,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_filed: bool,
    step: str,
) -> None:
    """The process is killed as it is about to take one of the steps."""
    office.spool()
    if is_filed:
        await office.file()
    owner, _, method = step.partition(".")
    at = {"Recordings": Recordings, "Spool": Spool, "CallStore": CallStore}[owner]

    def killed(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(at, method, killed)
        reaches = not (owner == "Recordings" and office.recordings.are_in(office.folder))
        with pytest.raises(KeyboardInterrupt) if reaches else nullcontext():
            await office.book.delete(SID, ADA)
    if reaches:
        await office.book.delete(SID, ADA)
    await assert_no_trace(office, database, tmp_path)


async def test_a_call_in_progress_is_neither_read_nor_deleted(office: Office) -> None:
    log = office.spool(ended=False)
    with (log / EVENTS_FILE).open("ab") as events:
        hold(events)
        with pytest.raises(StoreError, match="is in progress: delete it when it has ended"):
            await office.book.delete(SID, ADA)
        with pytest.raises(NotStored, match="is in progress"):
            async with office.book.log(SID):
                pass
    assert log.exists()
    await office.book.delete(SID, ADA)
    assert not log.exists()


async def test_a_second_log_of_a_call_that_has_a_row_of_its_own_stays(office: Office) -> None:
    """The carrier opened two streams for one call."""
    office.spool()
    await office.file()
    office.spool(f"{NAME}-2")
    await office.file(f"{NAME}-2", f"{SID}-2")
    await office.book.delete(SID, ADA)
    async with office.book.log(f"{SID}-2") as folder:
        assert read(folder).header.call_sid == SID
