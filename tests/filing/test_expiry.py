"""Calls are deleted when their number keeps them no longer."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from filing_driver import NAME, NOON, SID, Office
from service_driver import PATIENCE_S
from sqlalchemy import select

from phonebot.callbook import CallBook
from phonebot.errors import StoreUnavailable
from phonebot.filing.expiry import Expiry
from phonebot.replay.log import EVENTS_FILE
from phonebot.replay.spool import hold
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore, Filters
from phonebot.store.database import Database
from phonebot.store.messages import MessageFilters, MessageStore
from phonebot.store.outbound import OutboundStore
from phonebot.store.tables import AuditRow, MessageRow, NumberRow

pytestmark = pytest.mark.slow

NUMBER = "+15550100002"


@pytest.fixture
async def office(sqlite: Database, storage: str, tmp_path: Path) -> Office:
    office = Office(sqlite, storage, tmp_path / "calls")
    async with sqlite.begin() as session:
        session.add(NumberRow(number=NUMBER, created_at=NOON, retention_days=30))
    return office


def expiry(office: Office, days: float, **terms: Any) -> Expiry:
    orders, messages = OutboundStore(office.database), MessageStore(office.database)
    besides = {"orders": orders.delete_expired, "messages": messages.delete_expired}
    return Expiry(office.calls, office.book, besides, clock=lambda: NOON + timedelta(days=days), **terms)


async def test_a_call_whose_time_is_over_is_deleted_without_a_trace(office: Office) -> None:
    office.spool()
    await office.file()
    assert await expiry(office, 30).delete_expired() == 0
    assert await expiry(office, 31).delete_expired() == 1
    await office.assert_no_trace(who="retention")


async def test_more_calls_than_are_asked_for_at_once_go_in_one_round(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phonebot.filing.expiry.AT_ONCE", 2)
    for number in range(5):
        office.spool(f"{NAME}{number}", f"{SID}{number}")
        await office.file(f"{NAME}{number}", f"{SID}{number}")
    assert await expiry(office, 31).delete_expired() == 5
    assert [key async for key in office.recordings.all_keys()] == []


async def test_more_messages_than_are_asked_for_at_once_go_in_one_round(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whose calls were never filed: no call takes them with it."""
    monkeypatch.setattr("phonebot.filing.expiry.AT_ONCE", 2)
    messages = MessageStore(office.database)
    for nth in range(5):
        left = MessageRow(message_id=f"{nth}", call_sid=f"CA{nth}", taken_at=NOON, number=NUMBER)
        left.from_number, left.text = "+15550100001", "Call me back."
        await messages.keep(left)
    await expiry(office, 31.1).delete_besides()
    assert (await messages.page(MessageFilters())).messages == ()


async def test_orders_for_calls_go_too_and_while_the_storage_is_away(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*arguments: object) -> int:
        raise StoreUnavailable("the storage cannot be reached: check that it runs")

    office.spool()
    await office.file()
    orders = OutboundStore(office.database)
    ordered = await orders.add("+15550100009", NUMBER, Actor("ada"), "Remind her.")
    await orders.cancel(ordered.id, Actor("ada"))
    monkeypatch.setattr(CallBook, "delete", away)
    async with expiry(office, 31 + days_since_noon(), every_s=0.01).running(), asyncio.timeout(PATIENCE_S):
        while await orders.page():
            await asyncio.sleep(0.01)
    assert len((await office.calls.page(Filters())).calls) == 1


def days_since_noon() -> float:
    return (datetime.now(UTC) - NOON) / timedelta(days=1)


async def test_two_that_delete_at_once_delete_each_call_once_between_them(office: Office) -> None:
    for number in range(5):
        office.spool(f"{NAME}{number}", f"{SID}{number}")
        await office.file(f"{NAME}{number}", f"{SID}{number}")
    deleted = await asyncio.gather(expiry(office, 31).delete_expired(), expiry(office, 31).delete_expired())
    assert sum(deleted) == 5
    assert (await office.calls.page(Filters())).calls == ()
    async with office.database.read() as session:
        assert len((await session.scalars(select(AuditRow))).all()) == 5


async def test_a_call_with_a_stream_in_progress_stays_and_keeps_no_other(office: Office) -> None:
    office.spool()
    await office.file()
    again = office.spool(f"{NAME}-2", ended=False)
    office.spool("20261127T110000Z-CA2", "CA2")
    await office.file("20261127T110000Z-CA2", "CA2")
    with (again / EVENTS_FILE).open("ab") as events:
        hold(events)
        assert await expiry(office, 31).delete_expired() == 1
    assert [call.call_sid for call in (await office.calls.page(Filters())).calls] == [SID]


async def test_the_task_goes_on_after_the_storage_was_away(
    office: Office, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    office.spool()
    await office.file()
    away, gone = 2, asyncio.Event()
    delete = CallStore.delete
    claim_expired = CallStore.claim_expired

    async def away_at_first(calls: CallStore, *arguments: object) -> list[str]:
        nonlocal away
        away -= 1
        if away >= 0:
            raise StoreUnavailable("the database cannot be reached: check that it runs")
        return await claim_expired(calls, *arguments)  # type: ignore[arg-type]

    async def deleted(*arguments: object) -> bool:
        try:
            return await delete(*arguments)  # type: ignore[arg-type]
        finally:
            gone.set()

    monkeypatch.setattr(CallStore, "claim_expired", away_at_first)
    monkeypatch.setattr(CallStore, "delete", deleted)
    async with expiry(office, 31, every_s=0.01).running():
        await gone.wait()
    assert sum("are not deleted yet" in record.message for record in caplog.records) == 2
    await office.assert_no_trace(who="retention")
