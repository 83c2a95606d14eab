"""Finished calls, on both databases: filed once, found, deleted with all that belongs to them."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import func, select

from phonebot.errors import NotStored, StoreError
from phonebot.store.audit import Actor
from phonebot.store.calls import LEASE, CallStore, Filed, Filters
from phonebot.store.database import Database
from phonebot.store.tables import AuditRow, CallRow, CallText, NumberRow, ToolCallRow, TurnRow, UsageRow

ADA = Actor("ada", "192.0.2.7")
DESK, SHOP, CALLER = "+15550100000", "+15550100001", "+15550100009"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
def calls(database: Database) -> CallStore:
    return CallStore(database)


def row(sid: str, started_at: datetime = NOON, **terms: Any) -> CallRow:
    values = {"from_number": CALLER, "to_number": DESK, "number": DESK, "outcome": "caller_hung_up", **terms}
    return CallRow(call_sid=sid, started_at=started_at, ended_at=started_at + timedelta(minutes=1), **values)


async def file(calls: CallStore, sid: str, said: str = "Hello", **terms: Any) -> Filed:
    return await calls.file(
        row(sid, **terms),
        [TurnRow(sequence=1, who="caller", text=said)],
        [ToolCallRow(sequence=1, name="book", start_ms=900)],
        [UsageRow(sequence=1, at_ms=800, input_text=7)],
        [said],
    )


async def sids(calls: CallStore, **terms: Any) -> list[str]:
    return [call.call_sid for call in (await calls.page(Filters(**terms))).calls]


async def test_a_filed_call_comes_back_whole(calls: CallStore) -> None:
    assert await file(calls, "CA1") == "new"
    found = await calls.get("CA1")
    assert (found.started_at, found.outcome) == (NOON, "caller_hung_up")
    assert [(turn.who, turn.text) for turn in found.turns] == [("caller", "Hello")]
    assert [(tool.name, tool.start_ms) for tool in found.tool_calls] == [("book", 900)]
    assert [(usage.at_ms, usage.input_text) for usage in found.usage] == [(800, 7)]


async def test_a_call_filed_twice_stays_as_it_was(calls: CallStore) -> None:
    await file(calls, "CA1", "first")
    assert await file(calls, "CA1", "second") == "known"
    assert [turn.text for turn in (await calls.get("CA1")).turns] == ["first"]
    assert await sids(calls) == ["CA1"]


async def test_a_log_is_filed_once_whatever_sid_it_is_filed_under(calls: CallStore) -> None:
    await file(calls, "CA1", storage_key="20261127T120000Z-CA1")
    assert await file(calls, "CA1-2", storage_key="20261127T120000Z-CA1") == "known"
    assert await calls.owners(["20261127T120000Z-CA1", "20261127T120000Z-CA2"]) == {"20261127T120000Z-CA1": "CA1"}
    assert await calls.storage_key("CA1") == "20261127T120000Z-CA1"


async def test_a_call_filed_by_many_at_once_is_filed_once(calls: CallStore) -> None:
    done = await asyncio.gather(*(file(calls, "CA1", str(number)) for number in range(8)))
    assert sorted(done) == ["known"] * 7 + ["new"]
    assert await sids(calls) == ["CA1"]


async def test_a_call_that_is_filed_and_deleted_at_once_is_not_there_afterwards(calls: CallStore) -> None:
    for number in range(20):
        await asyncio.gather(file(calls, f"CA{number}"), calls.delete(f"CA{number}", ADA))
    assert await sids(calls) == []


async def test_calls_are_found_by_each_filter(calls: CallStore) -> None:
    await file(calls, "CA1", "Zoë is calling")
    await file(calls, "CA2", started_at=NOON + timedelta(hours=1), number=SHOP, outcome="stream_lost")
    await file(calls, "CA3", started_at=NOON + timedelta(hours=2), from_number="+15550100008")
    assert await sids(calls) == ["CA3", "CA2", "CA1"]
    assert await sids(calls, number=SHOP) == ["CA2"]
    assert await sids(calls, caller=CALLER) == ["CA2", "CA1"]
    assert await sids(calls, caller_part="0100009") == ["CA2", "CA1"]
    assert await sids(calls, caller_part="%") == []
    assert await sids(calls, outcome="stream_lost") == ["CA2"]
    assert await sids(calls, since=NOON + timedelta(hours=1)) == ["CA3", "CA2"]
    assert await sids(calls, until=NOON + timedelta(hours=1)) == ["CA1"]
    assert await sids(calls, text="zoe") == ["CA1"]


async def test_numbers_are_those_that_have_calls(calls: CallStore) -> None:
    for sid, number in (("CA1", SHOP), ("CA2", DESK), ("CA3", SHOP)):
        await file(calls, sid, number=number)
    assert await calls.numbers() == [DESK, SHOP]


async def test_pages_follow_each_other_through_calls_of_one_moment(calls: CallStore) -> None:
    for number in range(5):
        await file(calls, f"CA{number}")
    seen, cursor = [], None
    for _ in range(3):
        page = await calls.page(Filters(), cursor, limit=2)
        seen.append([call.call_sid for call in page.calls])
        cursor = page.cursor
    assert (seen, cursor) == ([["CA4", "CA3"], ["CA2", "CA1"], ["CA0"]], None)


async def test_moments_at_the_ends_of_the_calendar_can_be_asked_for(calls: CallStore) -> None:
    await file(calls, "CA1")
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))
    last = datetime.max.replace(tzinfo=timezone(timedelta(hours=-12)))
    assert await sids(calls, since=first, until=last) == ["CA1"]


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "nonsense", "2026-11-27T12:00:00/1", "2026-11-27T12:00:00+00:00/x"),
        *(f"2026-11-27T12:00:00+00:00/{number}" for number in (-1, 2**63)),
    ],
)
async def test_a_wrong_cursor_is_refused(calls: CallStore, cursor: str) -> None:
    with pytest.raises(StoreError, match="is no cursor"):
        await calls.page(Filters(), cursor)


async def test_a_deleted_call_leaves_only_who_deleted_it(calls: CallStore, database: Database) -> None:
    await file(calls, "CA1")
    assert await calls.delete("CA1", ADA)
    assert not await calls.delete("CA1", ADA)
    async with database.read() as session:
        for table in (CallRow, CallText, TurnRow, ToolCallRow, UsageRow):
            assert await session.scalar(select(func.count()).select_from(table)) == 0
        noted = (await session.scalars(select(AuditRow))).one()
    assert (noted.who, noted.what, noted.target, noted.before) == ("ada", "call.delete", "CA1", None)


async def test_a_call_that_is_not_there_is_not_shown(calls: CallStore) -> None:
    with pytest.raises(NotStored, match="there is no call CA1"):
        await calls.get("CA1")
    with pytest.raises(NotStored, match="there is no call CA1"):
        await calls.storage_key("CA1")


@pytest.mark.parametrize("was_filed", [True, False])
async def test_a_call_that_was_deleted_is_never_filed(calls: CallStore, was_filed: bool) -> None:
    if was_filed:
        await file(calls, "CA1")
    assert await calls.delete("CA1", ADA) == was_filed
    assert await file(calls, "CA1") == "deleted"
    assert await sids(calls) == []


async def test_calls_expire_by_their_numbers_days_or_the_defaults(calls: CallStore, database: Database) -> None:
    async with database.begin() as session:
        for number, days in (("default", 1), (DESK, 30), (SHOP, None)):
            session.add(NumberRow(number=number, created_at=NOON, retention_days=days))
    for sid, number in (("CA1", DESK), ("CA2", SHOP), ("CA3", "+15550100002")):
        await file(calls, sid, number=number)
    assert await calls.claim_expired(NOON + timedelta(hours=1)) == []
    assert await calls.claim_expired(NOON + timedelta(days=2)) == ["CA3"]
    assert await calls.claim_expired(NOON + timedelta(days=31)) == ["CA1", "CA3"]


async def test_calls_of_any_count_of_numbers_expire(calls: CallStore, database: Database) -> None:
    async with database.begin() as session:
        for nth in range(1_200):
            session.add(NumberRow(number=f"+1555{nth:07}", created_at=NOON, retention_days=1 + nth % 2))
    for sid, number in (("CA1", "+15550000000"), ("CA2", "+15550001199"), ("CA3", "+15550001200")):
        await file(calls, sid, number=number)
    assert await calls.claim_expired(NOON + timedelta(days=2)) == ["CA1"]
    assert await calls.claim_expired(NOON + timedelta(days=3)) == ["CA1", "CA2"]


async def test_calls_whose_time_is_over_are_left_to_who_deletes_them_for_a_while(
    calls: CallStore, database: Database
) -> None:
    async with database.begin() as session:
        session.add(NumberRow(number="default", created_at=NOON, retention_days=1))
    for number in range(6):
        await file(calls, f"CA{number}", started_at=NOON + timedelta(minutes=number))
    later = NOON + timedelta(days=2)
    claims = await asyncio.gather(*(CallStore(database).claim_expired(later, 2) for _ in range(3)))
    assert sorted(sid for claimed in claims for sid in claimed) == [f"CA{number}" for number in range(6)]
    assert await calls.claim_expired(later) == []
    await calls.delete("CA0", ADA)
    assert await calls.claim_expired(later + LEASE + timedelta(seconds=1), 2) == ["CA1", "CA2"]


async def test_the_streams_of_a_call_are_its_parts_in_their_order(calls: CallStore) -> None:
    await file(calls, "CA1", started_at=NOON + timedelta(minutes=2))
    assert await calls.parts("CA1") == []
    await file(calls, "CA1-2", started_at=NOON)
    await file(calls, "CA1-3", started_at=NOON + timedelta(minutes=1))
    await file(calls, "CA11")
    for sid in ("CA1", "CA1-2", "CA1-3"):
        assert await calls.parts(sid) == ["CA1-2", "CA1-3", "CA1"]
    assert await calls.parts("CA11") == []
