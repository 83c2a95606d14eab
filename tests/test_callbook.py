"""Past calls with all that belongs to them: found, read, and deleted without a trace, wherever their logs are."""

from contextlib import nullcontext
from pathlib import Path

import pytest
from filing_driver import FIXTURE, NAME, SAID, SID, Office

from phonebot.errors import NotStored, StoreError
from phonebot.replay.log import EVENTS_FILE
from phonebot.replay.reader import read
from phonebot.replay.spool import Spool, hold
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings

ADA = Actor("ada", "192.0.2.7")


@pytest.fixture
def office(sqlite: Database, storage: str, tmp_path: Path) -> Office:
    return Office(sqlite, storage, tmp_path / "calls")


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
async def test_a_deleted_call_leaves_no_trace(office: Office, is_filed: bool) -> None:
    office.spool()
    if is_filed:
        await office.file()
    await office.book.delete(SID, ADA)
    await office.assert_no_trace()
    with pytest.raises(NotStored):
        await office.book.delete(SID, ADA)


@pytest.mark.parametrize("is_filed", [True, False], ids=["filed", "spooled"])
@pytest.mark.parametrize("step", ["Recordings.delete", "Spool.remove", "CallStore.delete"])
async def test_a_deletion_that_was_cut_off_completes_the_next_time(
    office: Office, monkeypatch: pytest.MonkeyPatch, is_filed: bool, step: str
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
    await office.assert_no_trace()


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
