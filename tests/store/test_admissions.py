"""Which tokens were taken, by whichever process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from phonebot.errors import StoreUnavailable
from phonebot.store import admissions, spent_tokens
from phonebot.store.admissions import AdmissionStore
from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.tables import CallRow, SpentToken


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(minutes=1)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine may be busy with other tests for longer than a caller should wait."""
    monkeypatch.setattr(admissions, "DEADLINE_S", 10.0)


async def test_of_all_processes_that_take_a_token_one_has_it(database: Database) -> None:
    stores = [AdmissionStore(database) for _ in range(5)]
    taken = await asyncio.gather(*(store.take("a", "CA1", soon()) for store in stores))
    assert sorted(taken) == ["taken", "used", "used", "used", "used"]
    assert await stores[0].take("b", "CA1", soon()) == "taken"


async def test_a_call_that_is_over_opens_no_stream_whatever_token_is_brought(database: Database) -> None:
    store = AdmissionStore(database)
    await asyncio.gather(*(AdmissionStore(database).over("CA1") for _ in range(5)))  # all are told at once
    await store.over("CA1")
    assert await AdmissionStore(database).take("a", "CA1", soon()) == "over"
    assert await store.take("b", "CA2", soon()) == "taken"


@pytest.mark.parametrize(("hours", "taken"), [(1, "taken"), (25, "over")])
async def test_a_call_that_was_filed_longer_ago_than_calls_last_is_over(
    database: Database, hours: int, taken: str
) -> None:
    """One that was filed an hour ago may have been put through since, and be on its way back."""
    ended = datetime.now(UTC) - timedelta(hours=hours)
    call = CallRow(call_sid="CA1", from_number="", to_number="", number="", started_at=ended, ended_at=ended)
    await CallStore(database).file(call, [], [], [])
    assert await AdmissionStore(database).take("a", "CA1", soon()) == taken


async def test_what_is_void_by_itself_is_kept_no_longer(database: Database) -> None:
    await AdmissionStore(database).take("old", "CA1", datetime.now(UTC) - timedelta(seconds=1))
    store = AdmissionStore(database)
    for nonce in ("new", "newer"):
        await store.take(nonce, "CA2", soon())
    async with database.read() as session:
        assert sorted(await session.scalars(select(SpentToken.nonce))) == ["new", "newer"]


async def test_nobody_waits_until_all_is_gone_that_is_void(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spent_tokens, "AT_ONCE", 3)
    past = datetime.now(UTC) - timedelta(hours=1)
    async with database.begin() as session:
        session.add_all(SpentToken(nonce=f"old-{number}", expires_at=past) for number in range(8))
    for number, left in enumerate((5, 2, 0)):
        assert await AdmissionStore(database).take(f"new-{number}", "CA1", soon()) == "taken"
        async with database.read() as session:
            kept = list(await session.scalars(select(SpentToken.nonce)))
        assert sum(nonce.startswith("old-") for nonce in kept) == left


async def test_a_slow_database_is_not_waited_for(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def slow(_: Database) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield

    monkeypatch.setattr(admissions, "DEADLINE_S", 0.01)
    monkeypatch.setattr(Database, "begin", slow)
    store = AdmissionStore(sqlite)
    with pytest.raises(StoreUnavailable, match="took longer than"):
        await store.take("a", "CA1", soon())
    with pytest.raises(StoreUnavailable, match="took longer than"):
        await store.over("CA1")
