"""How a process lets others know of its calls: in bounded writes, and all of it, if later."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from databases import PostgresServer, postgres_server

from phonebot.bridge import Journal
from phonebot.call.actions import Ended, Line
from phonebot.call.inputs import Tick, TypedText
from phonebot.carrier.messages import Media
from phonebot.errors import StoreUnavailable
from phonebot.replay.log import About
from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.live import Command, LiveCall, LiveStore
from phonebot.store.tables import CallRow
from phonebot.tools.typist import Typist
from phonebot.web import publishing
from phonebot.web.feed import CallFeed, Feed
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.publishing import Publisher


class Away(LiveStore):
    """A database that is away until it `is_there`; keeps what was written."""

    def __init__(self) -> None:
        self.is_there = False
        self.known = True
        self.commands: list[Command] = []
        self.writes: list[list[LiveCall]] = []
        self.forgotten: list[str] = []
        self.done: dict[int, str] = {}

    async def write(
        self,
        process: str,
        calls: Iterable[LiveCall] = (),
        forget: Iterable[str] = (),
        done: Mapping[int, str] | None = None,
        takes_calls: bool = True,
    ) -> tuple[bool, list[Command]]:
        if not self.is_there:
            raise StoreUnavailable("the database is away: wait")
        self.writes.append(list(calls))
        self.forgotten += forget
        self.done |= done or {}
        return self.known, self.commands

    async def tidy(self) -> None:
        if not self.is_there:
            raise StoreUnavailable("the database is away: wait")

    @property
    def newest(self) -> list[tuple[str, str | None]]:
        return [(call.call_sid, call.outcome) for call in self.writes[-1]]


class Stub:
    """A bridge that notes who hangs up."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.typed: list[TypedText] = []

    def hang_up(self, by: str) -> None:
        self.by.append(by)

    def attach(self, journal: Journal) -> None: ...

    def detach(self, journal: Journal) -> None: ...


class Desk:
    """Holds calls."""

    def __init__(self) -> None:
        self.feed, self.held, self.store = Feed("here"), HeldCalls(), Away()
        self.told: list[tuple[str, str | None]] = []
        self.publisher = Publisher(self.held, self.store, "here", self._tell)
        self._ends: dict[str, ExitStack] = {}

    def _tell(self, command: Command) -> str:
        self.told.append((command.call_sid, command.wish))
        return "done"

    def begin(self, call_sid: str) -> tuple[CallFeed, Stub]:
        told, stub, stack = self.feed.begin(About(call_sid=call_sid)), Stub(), ExitStack()
        bridge: Any = stub
        typist = Typist(call_sid, stub.typed.append)
        stack.enter_context(self.held.holding(HeldCall(told, bridge, typist, audible=True)))
        self._ends[call_sid] = stack
        return told, stub

    def end(self, told: CallFeed) -> None:
        told.happened(90, Tick(), [Ended("caller_hung_up")])
        self._ends.pop(told.call_sid).close()

    async def write(self) -> list[tuple[str, str | None]]:
        self.store.is_there = True
        await self.publisher.write()
        return self.store.newest


def said(told: CallFeed, text: str) -> None:
    told.happened(50, Tick(), [Line("caller", text, text)])


async def test_only_what_has_changed_is_written_and_the_end_once() -> None:
    desk = Desk()
    told, _ = desk.begin("CA1")
    desk.begin("CA2")
    assert await desk.write() == [("CA1", None), ("CA2", None)]
    assert await desk.write() == []
    said(told, "Hello")
    assert await desk.write() == [("CA1", None)]
    assert msgspec.json.decode(desk.store.writes[-1][0].snapshot)["lines"][0]["text"] == "Hello"
    desk.end(told)
    assert await desk.write() == [("CA1", "caller_hung_up")]
    assert await desk.write() == []


async def test_a_call_in_which_only_time_went_on_is_not_written_again() -> None:
    desk = Desk()
    told, _ = desk.begin("CA1")
    await desk.write()
    for at_ms in range(20, 2_000, 20):
        told.happened(at_ms, Media(at_ms // 20, at_ms // 20, at_ms, ""), [])
    assert await desk.write() == []


async def test_what_happened_while_the_database_was_away_is_written_when_it_is_back() -> None:
    desk = Desk()
    told, _ = desk.begin("CA1")
    other, _ = desk.begin("CA2")
    said(told, "Hello")
    with pytest.raises(StoreUnavailable):
        await desk.publisher.write()
    desk.end(other)
    assert await desk.write() == [("CA2", "caller_hung_up"), ("CA1", None)]


async def test_a_process_whose_rows_were_removed_writes_all_it_has() -> None:
    desk = Desk()
    desk.begin("CA1")
    desk.begin("CA2")
    await desk.write()
    desk.store.known = False
    await desk.write()
    desk.store.known = True
    assert len(await desk.write()) == 2
    assert await desk.write() == []


async def test_a_write_is_bounded_and_what_waits_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "MAX_BATCH_BYTES", 1)
    desk = Desk()
    told = [desk.begin(f"CA{n}")[0] for n in range(3)]
    written = []
    for _ in range(3):
        for each in told:
            said(each, "again")
        written += await desk.write()
    assert written == [("CA0", None), ("CA1", None), ("CA2", None)]


async def test_a_command_is_obeyed_once_and_its_outcome_written() -> None:
    desk = Desk()
    _, stub = desk.begin("CA1")
    wanted = [
        Command(1, "CA1", "hang_up", "ada"),
        Command(2, "CA9", "hang_up", "ada"),
        Command(3, "CA1", "sing", "eve"),
    ]
    desk.store.commands = wanted
    await desk.write()
    assert stub.by == ["ada"]
    desk.store.commands = []
    await desk.write()
    assert desk.store.done == {1: "done", 2: "ended", 3: "unknown"}
    assert stub.by == ["ada"]


async def test_a_call_that_comes_back_before_its_end_is_written_goes_on() -> None:
    desk = Desk()
    told, _ = desk.begin("CA1")
    desk.end(told)
    desk.begin("CA1")
    assert await desk.write() == [("CA1", None)]
    assert desk.store.forgotten == []
    assert await desk.write() == []


async def test_the_task_writes_calls_that_begin_and_at_last_how_they_ended(database: Database) -> None:
    feed, held, live = Feed("here"), HeldCalls(), LiveStore(database)
    publisher = Publisher(held, live, "here")
    task = asyncio.create_task(publisher.run())
    bridge: Any = Stub()
    told = feed.begin(About(call_sid="CA1"))
    typist = Typist("CA1", bridge.typed.append)
    with held.holding(HeldCall(told, bridge, typist, audible=True)):
        async with asyncio.timeout(15):
            while not await live.listed():
                await asyncio.sleep(0.05)
        assert (await live.listed())[0].key == ("here", "CA1")
    told.close("time_limit")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await publisher.finish()
    assert [each.outcome for each in await live.listed()] == ["time_limit"]


async def test_what_the_carrier_told_another_process_is_passed_on_once() -> None:
    desk = Desk()
    desk.begin("CA1")
    desk.store.commands = [
        Command(1, "CA1", "carrier", "carrier", "{}"),
        Command(2, "CA2", "carrier", "carrier", "{}"),
    ]
    await desk.write()
    desk.store.commands.clear()
    await desk.write()
    assert desk.told == [("CA1", "{}")]
    assert desk.store.done == {1: "done", 2: "ended"}


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    """One that nobody else uses."""
    with postgres_server() as server:
        yield server


async def test_calls_are_written_again_when_a_crash_of_the_server_took_their_rows(
    own_server: PostgresServer,
) -> None:
    """They are not in its write-ahead log (migrations); a call that was filed is."""
    database = Database(own_server.url(own_server.create()))
    await database.upgrade()
    live, calls = LiveStore(database), CallStore(database)
    desk = Desk()
    publisher = Publisher(desk.held, live, "here")
    told, _ = desk.begin("CA1")
    await publisher.write()
    filed = CallRow(call_sid="CA0", from_number="", to_number="", number="", started_at=datetime.now(UTC))
    await calls.file(filed)
    own_server.run_sql("CHECKPOINT")  # it is started without waiting for disks: what is said before has to be there
    own_server.stop()
    own_server.start()
    assert await live.listed() == []
    assert await calls.sids_ending("CA0") == ["CA0"]
    said(told, "Hello")
    await publisher.write()
    await publisher.write()
    assert [each.key for each in await live.listed()] == [("here", "CA1")]
    await database.close()
