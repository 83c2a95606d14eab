"""The calls of other processes, by their rows: those of another version, and more than are listed."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from phonebot.hooks.events import USUAL, CallEnd, CallStart, Event
from phonebot.store import live
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.live import LiveCall, LiveStore
from phonebot.store.relay import Key
from phonebot.web import others
from phonebot.web.board import Board
from phonebot.web.feed import Feed
from phonebot.web.following import followed
from phonebot.web.held import HeldCalls
from phonebot.web.live_events import CallEnded, Snapshot
from phonebot.web.subscription import Subscription

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def row(call_sid: str, *, nth: int = 0, outcome: str | None = None) -> LiveCall:
    started = NOW + timedelta(seconds=nth)
    snapshot = Snapshot(
        call_sid=call_sid,
        kind="twilio",
        started=started,
        caller="+15550100001",
        number="+15550100002",
        profile="Desk",
        profile_version="1",
        process="there",
    )
    text = msgspec.json.encode(snapshot).decode()
    return LiveCall(call_sid, "+15550100002", "+15550100001", started, 2 if outcome else 1, text, outcome)


@pytest.fixture
def store(sqlite: Database) -> LiveStore:
    return LiveStore(sqlite)


@pytest.fixture
def board(store: LiveStore) -> Board:
    return Board(Feed("here"), HeldCalls(), store)


@pytest.fixture
async def watching(board: Board, store: LiveStore, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Subscription]:
    """Somebody watches, and one call is in progress there."""
    monkeypatch.setattr(others, "POLL_S", 0.02)
    await store.write("there", [row("CA1")])
    async with board.watch() as events:
        assert (await anext(events)) == (await board.call("CA1"))
        yield events


async def test_an_end_that_only_a_newer_version_knows_is_passed_on_and_the_watching_goes_on(
    store: LiveStore, watching: Subscription
) -> None:
    await store.write("there", [row("CA1", outcome="beamed_up")])
    assert isinstance(await anext(watching), Snapshot)
    assert await anext(watching) == CallEnded(call_sid="CA1", outcome="beamed_up")  # type: ignore[arg-type]
    await store.write("there", [row("CA2")])
    begun = await anext(watching)
    assert isinstance(begun, Snapshot)
    assert begun.call_sid == "CA2"


async def test_an_event_that_only_a_newer_version_knows_is_left_out_of_what_is_followed(
    store: LiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    follows, newest_events = asyncio.Event(), store.relay.newest_events

    async def noted(key: Key) -> int:
        newest = await newest_events(key)
        follows.set()
        return newest

    monkeypatch.setattr(store.relay, "newest_events", noted)
    await store.write("there", [row("CA1")])
    key, command = await store.ask("CA1", "follow", Actor("ada"), 8.0)
    first, last = CallStart(t_ms=1), CallEnd(t_ms=9, outcome="time_limit")
    lines = (msgspec.json.encode(first), b'{"type":"levitated","t_ms":5}', msgspec.json.encode(last))
    events = followed(store, key, command, USUAL)
    told = asyncio.ensure_future(_all(events))
    await follows.wait()  # he is told what comes from now on
    await store.relay.put_events(key, 1, b"\n".join(lines).decode() + "\n")
    assert await told == [first, last]


async def _all(events: AsyncIterator[Event]) -> list[Event]:
    return [event async for event in events]


async def test_a_call_is_found_by_its_name_though_more_are_in_progress_than_are_listed(
    board: Board, store: LiveStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_LISTED", 2)
    await store.write("there", [row(f"CA{nth}", nth=nth) for nth in range(3)])
    assert [call.call_sid for call in await board.calls()] == ["CA0", "CA1"]
    newest = await board.call("CA2")
    assert newest is not None
    assert newest.started == NOW + timedelta(seconds=2)
    assert await board.call("CA3") is None
