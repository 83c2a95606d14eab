"""Calls that have ended are filed: once, whatever happens meanwhile, wherever their logs are kept."""

import asyncio
import errno
import logging
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from filing_driver import FIXTURE, NAME, SID, Office

from phonebot.errors import NotStored, StoreUnavailable
from phonebot.filing.reader import LogReader
from phonebot.replay.log import EVENTS_FILE
from phonebot.replay.reader import read
from phonebot.replay.spool import Spool, State, hold, reading
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.recordings import Recordings

ADA = Actor("ada")
QUICK_S = 0.01


@pytest.fixture
def office(sqlite: Database, storage: str, tmp_path: Path) -> Office:
    return Office(sqlite, storage, tmp_path / "calls")


@pytest.fixture
def one_office(sqlite: Database, tmp_path: Path) -> Office:
    """One that keeps its logs where they were written, for what makes no difference elsewhere."""
    return Office(sqlite, (tmp_path / "calls").as_uri(), tmp_path / "calls")


async def test_a_log_is_filed_with_all_its_figures(database: Database, tmp_path: Path) -> None:
    office = Office(database, (tmp_path / "calls").as_uri(), tmp_path / "calls")
    office.spool()
    (call,) = await office.filed()
    log = read(FIXTURE)
    assert (call.call_sid, call.kind, call.outcome) == (SID, "twilio", "caller_hung_up")
    assert (call.started_at, call.ended_at, call.duration_ms) == (log.header.started, log.header.ended, 22_383)
    assert (call.from_number, call.to_number, call.number) == ("+15550100001", "+15550100002", "+15550100002")
    assert (call.profile_name, call.model, call.provider) == ("Northwind Dental", "embedded", "embedded")
    assert (call.interruptions, call.corrections, call.errors) == (2, 2, 0)
    assert (call.generated_ms, call.heard_ms) == (20_870, 12_622)
    assert (call.latency_p50_ms, call.latency_p95_ms, call.cost_usd) == (820, 900, None)
    assert (call.has_audio, call.storage_key) == (True, NAME)
    assert [turn.who for turn in call.turns] == ["bot", "caller", "bot", "caller", "bot", "caller", "bot"]
    assert [turn.latency_ms for turn in call.turns if turn.latency_ms] == [820, 820, 900]
    cut = call.turns[2]
    assert (cut.cut, cut.heard_ms, cut.of_ms) == (True, 3200, 7958)
    assert cut.unheard_text.startswith("with Doctor Rivera")
    assert [usage.input_text > 0 for usage in call.usage] == [True] * 4


async def test_a_call_is_found_by_its_words_and_its_log_is_in_the_storage(office: Office) -> None:
    office.spool()
    await office.filed()
    assert len((await office.book.page(Filters(text="doctor rivera tuesday"))).calls) == 0  # never heard
    (call,) = (await office.book.page(Filters(text="opening hours"))).calls
    async with office.book.log(call.call_sid) as folder:
        assert read(folder).steps == read(FIXTURE).steps
    is_here = office.recordings.are_in(office.folder)
    assert (office.folder / NAME).exists() == is_here
    assert [key async for key in office.recordings.all_keys()] == [NAME]


async def test_logs_that_end_while_it_runs_are_filed_when_they_have(one_office: Office) -> None:
    async with one_office.filer() as filer:
        await filer.idle()
        log = one_office.spool()
        await asyncio.to_thread(filer.finished, log)
        await asyncio.sleep(0)
        await filer.idle()
    assert (await one_office.calls.get(SID)).call_sid == SID


async def test_several_filers_of_a_folder_file_each_call_once(database: Database, tmp_path: Path) -> None:
    office = Office(database, (tmp_path / "elsewhere").as_uri(), tmp_path / "calls")
    names = [f"20261127T12000{number}Z-CA{number}" for number in range(3)]
    for number, name in enumerate(names):
        office.spool(name, f"CA{number}")
    filers = [office.filer() for _ in range(3)]
    for filer in filers:
        await filer.__aenter__()
    for filer in filers:
        await filer.idle()
    for filer in filers:
        await filer.__aexit__(None, None, None)
    calls = (await office.calls.page(Filters())).calls
    assert sorted((call.call_sid, call.storage_key) for call in calls) == [
        (f"CA{number}", name) for number, name in enumerate(names)
    ]
    assert sorted([key async for key in office.recordings.all_keys()]) == names


async def test_a_log_in_progress_is_left_alone_until_its_process_is_gone(one_office: Office) -> None:
    log = one_office.spool(ended=False)
    with (log / EVENTS_FILE).open("ab") as events:
        hold(events)
        assert await one_office.filed() == []
    (call,) = await one_office.filed()
    assert call.call_sid == SID
    assert call.ended_at is not None


async def test_a_log_that_a_killed_process_left_is_filed_as_a_lost_stream(one_office: Office) -> None:
    log = one_office.spool(ended=False)
    lines = (log / EVENTS_FILE).read_bytes().splitlines(keepends=True)
    (log / EVENTS_FILE).write_bytes(b"".join(lines[:400]) + lines[400][:20])
    (call,) = await one_office.filed()
    assert call.outcome == "stream_lost"
    assert call.duration_ms
    assert call.turns[0].text.startswith("Hello")


async def test_a_log_that_cannot_be_read_is_filed_with_what_its_header_says(one_office: Office) -> None:
    log = one_office.spool()
    (log / EVENTS_FILE).write_bytes(b"[]\n")
    (call,) = await one_office.filed()
    assert (call.outcome, call.turns, call.has_audio) == ("caller_hung_up", [], True)
    assert "The log cannot be read: " in call.note


async def test_what_has_no_header_that_can_be_read_is_told_once_and_keeps_no_other_call(
    one_office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    broken = one_office.spool("20261127T110000Z-CA9", "CA9")
    (broken / "call.json").write_text("{}")
    one_office.spool()
    assert [call.call_sid for call in await one_office.filed()] == [SID]
    assert [record.message for record in caplog.records if "is not filed" in record.message] != []
    assert broken.exists()


async def test_the_second_stream_of_a_call_is_filed_beside_the_first(one_office: Office) -> None:
    one_office.spool()
    one_office.spool(f"{NAME}-2")
    for _ in range(2):  # the second time changes nothing
        assert [call.call_sid for call in await one_office.filed()] == [f"{SID}-2", SID]


@pytest.mark.parametrize(
    ("owner", "step"),
    [(Recordings, "put"), (CallStore, "file"), (Spool, "remove")],
    ids=["before its files are stored", "before its rows are filed", "before the copy is removed"],
)
async def test_a_filing_that_was_cut_off_is_completed_by_the_next_process(
    office: Office, monkeypatch: pytest.MonkeyPatch, owner: type, step: str
) -> None:
    def cut_off(*arguments: object) -> None:
        raise RuntimeError("cut off")

    office.spool()
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, cut_off)
        await office.filed()
    (call,) = await office.filed()
    assert call.storage_key == NAME
    assert [key async for key in office.recordings.all_keys()] == [NAME]
    assert (office.folder / NAME).exists() == office.recordings.are_in(office.folder)


async def test_calls_wait_while_the_database_is_away(
    one_office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked, waiting = 0, list[int]()
    file = CallStore.file

    async def away(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        waiting.append(filer.waiting)
        if asked < 4:
            raise StoreUnavailable("the database cannot be reached: check that it runs")
        return await file(*arguments)

    monkeypatch.setattr(CallStore, "file", away)
    one_office.spool()
    async with one_office.filer(retry_s=QUICK_S) as filer:
        await filer.idle()
        waiting.append(filer.waiting)
    assert (await one_office.calls.get(SID)).call_sid == SID
    assert waiting == [1, 1, 1, 1, 0]
    told = [record.message for record in caplog.records if record.name.endswith("filer")]
    assert len(told) == 2
    assert "the database cannot be reached" in told[0]
    assert told[1] == "calls are filed again"


async def test_a_process_that_ends_while_the_database_is_away_leaves_the_log_for_the_next(
    one_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*arguments: Any) -> Any:
        raise StoreUnavailable("the database cannot be reached: check that it runs")

    one_office.spool()
    with monkeypatch.context() as patched:
        patched.setattr(CallStore, "owners", away)
        async with one_office.filer(retry_s=QUICK_S):
            await asyncio.sleep(5 * QUICK_S)
    assert [call.call_sid for call in await one_office.filed()] == [SID]


async def test_what_was_finished_just_before_the_end_is_filed_still(one_office: Office) -> None:
    async with one_office.filer() as filer:
        await filer.idle()
        filer.finished(one_office.spool())
    assert (await one_office.calls.get(SID)).call_sid == SID


async def test_a_call_that_was_deleted_before_it_was_filed_is_taken_away(office: Office) -> None:
    """On another machine, say: its log is here."""
    office.spool()
    await office.calls.delete(SID, ADA)
    assert await office.filed() == []
    await office.assert_no_trace()


async def test_a_call_deleted_while_it_is_filed_leaves_no_trace(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.spool()
    put = Recordings.put

    async def put_late(recordings: Recordings, key: str, folder: Path) -> int:
        copy = folder.parent.parent / "copy" / key
        shutil.copytree(folder, copy)
        await office.book.delete(SID, ADA)
        return await put(recordings, key, folder if folder.exists() else copy)

    monkeypatch.setattr(Recordings, "put", put_late)
    assert await office.filed() == []
    await office.assert_no_trace()


async def test_a_copy_that_somebody_reads_stays_until_the_next_look(sqlite: Database, tmp_path: Path) -> None:
    office = Office(sqlite, (tmp_path / "elsewhere").as_uri(), tmp_path / "calls")
    log = office.spool()
    with reading(log) as is_mine:
        assert is_mine
        assert len(await office.filed()) == 1
        assert log.exists()
    await office.filed()
    assert not log.exists()


async def test_a_log_over_which_the_reading_process_ends_is_tried_twice(one_office: Office) -> None:
    one_office.spool()
    reader = LogReader(deadline_s=0)
    async with one_office.filer(reader=reader) as filer:
        await filer.idle()
    call = await one_office.calls.get(SID)
    assert "was not read within 0 s" in call.note
    assert call.outcome == "caller_hung_up"


async def test_nothing_is_filed_of_a_log_that_vanished(one_office: Office) -> None:
    async with one_office.filer() as filer:
        await filer.idle()
        filer.finished(one_office.folder / NAME)
    with pytest.raises(NotStored):
        await one_office.calls.get(SID)


async def test_a_folder_that_cannot_be_looked_through_keeps_no_later_call_from_being_filed(
    one_office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stale(spool: Spool) -> list[Path]:
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "logs", stale)
        async with one_office.filer() as filer:
            await filer.idle()
            filer.finished(one_office.spool())
            await asyncio.sleep(0)
            await filer.idle()
    assert (await one_office.calls.get(SID)).call_sid == SID
    assert [record.levelname for record in caplog.records if "are not looked for" in record.message] == ["ERROR"]


async def test_a_log_that_ends_while_it_is_looked_at_is_filed_at_once(
    one_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = one_office.spool()
    state = Spool.state
    told = asyncio.Event()

    def ends_meanwhile(spool: Spool, name: str) -> State:
        if told.is_set():
            return state(spool, name)
        told.set()
        filer.finished(log)
        return "written"

    monkeypatch.setattr(Spool, "state", ends_meanwhile)
    async with one_office.filer() as filer:
        await filer.idle()
        assert (await one_office.calls.get(SID)).call_sid == SID
