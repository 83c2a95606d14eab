"""
The load that processes with calls in progress put on their database, played in one process of the system.

    python -m phonebot.bench.database_load < ORDER      # one line of JSON

Each played process has a pool of connections of its own and does what `phonebot serve` does, by the same code: it
publishes its calls (web/publishing.py), lets streams in and calls end, files calls one after another, tells and
asks what calls cost, looks for changes, and shows the calls of the others. What it leaves out is all that is no
database: sound, sockets, logs, and the process that reads a log.

It prints `ready` when all calls are in progress and written, waits for a line, measures, prints a Played, and goes
on until there is another line. It ends as soon as none can come.
"""

import asyncio
import heapq
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from types import ModuleType
from typing import Any

import msgspec
import uvloop

from phonebot.bench.database_calls import RESPONSE_USD, ScriptedCall, about_call
from phonebot.bench.timings import Timed, Timings
from phonebot.caps import watch
from phonebot.caps.watch import DayCaps
from phonebot.errors import StoreError
from phonebot.filing.rows import rows_of
from phonebot.store.admissions import AdmissionStore
from phonebot.store.after import AfterStore
from phonebot.store.calls import CallStore
from phonebot.store.continuations import ContinuationStore
from phonebot.store.database import Database
from phonebot.store.greetings import GreetingStore
from phonebot.store.live import Command, Listed, LiveCall, LiveStore
from phonebot.store.numbers import NumberStore
from phonebot.store.outbound import OutboundStore
from phonebot.store.relay import Key
from phonebot.store.spending import SpendingStore
from phonebot.web import others, publishing
from phonebot.web.feed import Feed
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.others import OtherCalls
from phonebot.web.publishing import Publisher
from phonebot.web.subscription import Subscription

ROWS, ROUNDS, AT_ONCE = "live calls, rows", "live calls, rounds", "live calls, at once"
LET_IN, ENDED, FILED = "streams let in", "calls ended", "calls filed"
SPENT, LOOKS, CONSOLES = "costs told, asked", "looks for changes", "consoles"
LATE = "late"
"""How far behind its time the load itself was."""

TICK_S = 0.1
RETRY_S = 1.0
WRITTEN_S = 240.0
"""How long the first write of all calls may take."""
LOOKS_EVERY_S = {"profiles": 1.0, "greetings": 1.0, "outbound": 1.0, "after": 5.0}
"""web/profiles.py, web/greetings.py, outbound/dialler.py, after/work.py: POLL_S of each."""
NUMBERS = 100
"""Of ours, over which the calls are spread."""
JOBS_AT_ONCE = 4
TOKEN = timedelta(minutes=2)


class Order(msgspec.Struct, frozen=True):
    """
    `processes` are the numbers of those played here, of `of` in all, among which `calls` are spread. `call_s` is
    how long each lasts. In the first `consoles` of all processes somebody looks at the calls. All goes on `slower`
    times slower than in earnest, but for deadlines.
    """

    url: str
    processes: tuple[int, ...]
    of: int
    calls: int
    call_s: float
    seconds: float
    consoles: int
    slower: float = 1.0


class Played(msgspec.Struct, frozen=True):
    """What was done, within `seconds`; `cpu_s` is the CPU time that this process took for it."""

    timed: Timed
    seconds: float
    cpu_s: float
    waiting: int  # calls that have ended and are not filed


class PlayedProcess:
    """One process with calls in progress. `index` is its number among all."""

    def __init__(self, index: int, order: Order, timings: Timings) -> None:
        self._order, self._timings, self._index = order, timings, index
        self.name = f"bench-host-{index:04}/{os.getpid()}-{index:06x}"
        self._database = Database(order.url)
        self._feed = Feed(self.name)
        self._held = HeldCalls()
        self._live = _TimedLive(self._database, timings, self._share)
        self._publisher = _TimedPublisher(self._held, self._live, self.name)
        self._publisher.timings = timings
        self._calls = CallStore(self._database)
        self._admissions = AdmissionStore(self._database)
        self._continuations = ContinuationStore(self._database)
        self._spending = _TimedSpending(self._database, timings)
        self._caps = DayCaps(None, self.name, self._spending, alarm=lambda alarm: None)
        self._made = 0
        self._began_s = 0.0  # loop.time() from which on its calls go on
        # Calls in progress, by when something happens in them next, in s since then.
        self._due: list[tuple[float, int, float, ScriptedCall, ExitStack]] = []
        self._ended: asyncio.Queue[ScriptedCall] = asyncio.Queue()
        self._short: set[asyncio.Task[None]] = set()  # what is asked when a call begins or ends

    @property
    def waiting(self) -> int:
        """Calls that have ended and are not filed."""
        return self._ended.qsize()

    @property
    def written(self) -> asyncio.Event:
        """All calls that it began with are in the database."""
        return self._live.written

    @property
    def _now_s(self) -> float:
        """By the time of its calls."""
        return (asyncio.get_running_loop().time() - self._began_s) / self._order.slower

    @property
    def _share(self) -> int:
        return _share(self._order.calls, self._order.of, self._index)

    def begin(self) -> None:
        """The calls in progress at the start: their ages are spread evenly. To make them takes a while."""
        offset = (self._index + 0.5) / self._order.of
        for number in range(self._share):
            age_s = (number + offset) / self._share * self._order.call_s
            self._hold(self._call(), -age_s, 0.0)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It does all that it does while the block runs."""
        looks = {
            "profiles": NumberStore(self._database).changes,
            "greetings": GreetingStore(self._database).changes,
            "outbound": lambda: OutboundStore(self._database).claim(self.name, JOBS_AT_ONCE),
            "after": lambda: AfterStore(self._database).claim(self.name, JOBS_AT_ONCE),
        }
        works = [self._publisher.run(), self._talk(), self._file()]
        works += [self._look(LOOKS_EVERY_S[name] * self._order.slower, look) for name, look in looks.items()]
        if self._index < self._order.consoles:
            works.append(self._watch())
        async with self._caps.running():
            self._began_s = asyncio.get_running_loop().time()
            tasks = [asyncio.create_task(work) for work in works]
            try:
                yield
                for task in tasks:
                    if task.done():
                        task.result()  # raises what has ended it
            finally:
                everything = [*tasks, *self._short]
                for task in everything:
                    task.cancel()
                await asyncio.gather(*everything, return_exceptions=True)
                await self._database.close()

    # ------------------------------------------------------------------------------ calls

    def _call(self) -> ScriptedCall:
        self._made += 1
        number = f"+1555010{self._made % NUMBERS:04}"
        call_sid = f"CA{self._index:08x}{time.time_ns():016x}{self._made:08x}"
        about = about_call(call_sid, number, f"+1555{self._made % 10_000_000:07}")
        return ScriptedCall(self._feed, about, self._order.call_s)

    def _hold(self, call: ScriptedCall, began_s: float, now_s: float) -> None:
        holding = ExitStack()
        holding.enter_context(self._held.holding(_Unconnected(call)))
        self._go_on(call, began_s, now_s, holding)

    def _go_on(self, call: ScriptedCall, began_s: float, now_s: float, holding: ExitStack) -> None:
        """Let happen what is due; then the call waits for what comes next, or has ended."""
        answered = call.advance((now_s - began_s) * 1000)
        if answered:
            self._caps.add(call.about.to_number or "", answered * RESPONSE_USD)
        if now_s >= began_s + call.length_s:
            call.told.close("caller_hung_up")
            holding.close()
            self._soon(self._end(call))
            self._soon(self._begin())
            return
        due_ms = call.length_s * 1000 if call.due_ms is None else call.due_ms
        due_s = max(began_s + due_ms / 1000, now_s)
        heapq.heappush(self._due, (due_s, id(call), began_s, call, holding))

    async def _talk(self) -> None:
        next_s = self._now_s
        while True:
            now_s = self._now_s
            self._timings.note(LATE, max(now_s - next_s, 0.0))
            due = []
            while self._due and self._due[0][0] <= now_s:
                due.append(heapq.heappop(self._due))
            for _, _, began_s, call, holding in due:
                self._go_on(call, began_s, now_s, holding)
            next_s = max(next_s + TICK_S, self._now_s)
            await asyncio.sleep((next_s - self._now_s) * self._order.slower)

    def _soon(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        assert isinstance(task, asyncio.Task), "a coroutine was given"
        self._short.add(task)
        task.add_done_callback(self._short.discard)

    async def _begin(self) -> None:
        """A stream comes; it is let in, whether or not the database says so in time."""
        call = self._call()
        sid = call.about.call_sid
        with suppress(StoreError), self._timings.timing(LET_IN):
            await self._admissions.take(f"nonce-{sid}", sid, datetime.now(UTC) + TOKEN)
        now_s = self._now_s
        self._hold(call, now_s, now_s)

    async def _end(self, call: ScriptedCall) -> None:
        """The carrier asks how the call goes on, and tells that it is over: of any process."""
        sid = call.about.call_sid
        self._ended.put_nowait(call)
        with suppress(StoreError), self._timings.timing(ENDED):
            await self._live.standing(sid, "")
            await self._continuations.get(sid)
            await self._admissions.over(sid)

    async def _file(self) -> None:
        """One call after the other, each until it is filed."""
        while True:
            call = await self._ended.get()
            summary = call.summary(datetime.now(UTC))
            key = f"20261127T120000-{call.about.call_sid}"
            while True:
                with suppress(StoreError), self._timings.timing(FILED):
                    await self._calls.owners([key])
                    rows = rows_of(summary, key, call.about.call_sid)
                    await self._calls.file(rows.call, rows.turns, rows.tool_calls, rows.usage, rows.text)
                    break
                await asyncio.sleep(RETRY_S)

    # ------------------------------------------------------------------------------ everything else

    async def _look(self, every_s: float, look: Callable[[], Awaitable[Any]]) -> None:
        # Not all processes at the same moment: they were not started at one either.
        await asyncio.sleep(every_s * self._index / self._order.of)
        while True:
            with suppress(StoreError), self._timings.timing(LOOKS):
                await look()
            await asyncio.sleep(every_s)

    async def _watch(self) -> None:
        """Somebody has the page of live calls open."""
        other_calls = OtherCalls(self._live, self._feed)
        subscription = Subscription(None, closed=lambda closed: None)
        await other_calls.watch(subscription)
        try:
            async for _ in subscription:
                pass
            await asyncio.Event().wait()  # it was told of more than it may be at once: the database is asked on
        finally:
            await other_calls.leave(subscription)


class _Unconnected(HeldCall):
    """No sockets are behind it: what is asked of it is what is told of it."""

    def __init__(self, call: ScriptedCall) -> None:
        self.call_sid, self.told, self.audible = call.about.call_sid, call.told, False
        self._taps = []


class _TimedLive(LiveStore):
    def __init__(self, database: Database, timings: Timings, rows: int) -> None:
        """`written` is set as soon as so many rows are."""
        super().__init__(database)
        self._timings = timings
        self._rows_left = rows
        self.written = asyncio.Event()

    async def write(
        self, process: str, calls: Iterable[LiveCall] = (), *further: Any, **named: Any
    ) -> tuple[bool, list[Command]]:
        rows = list(calls)
        written = await super().write(process, rows, *further, **named)
        self._rows_left -= len(rows)
        if self._rows_left <= 0:
            self.written.set()
        self._timings.count(ROWS, len(rows))
        return written

    async def listed(self, besides: str = "", call_sid: str | None = None) -> list[Listed]:
        with self._timings.timing(CONSOLES):
            return await super().listed(besides, call_sid)

    async def snapshots(self, keys: Iterable[Key]) -> dict[Key, str]:
        with self._timings.timing(CONSOLES):
            return await super().snapshots(keys)


class _TimedPublisher(Publisher):
    timings: Timings

    async def write(self, urgent: bool = False) -> None:
        with self.timings.timing(AT_ONCE if urgent else ROUNDS):
            await super().write(urgent)


class _TimedSpending(SpendingStore):
    def __init__(self, database: Database, timings: Timings) -> None:
        super().__init__(database)
        self._timings = timings

    async def put(self, process: str, day: date, usd: Any) -> None:
        with self._timings.timing(SPENT):
            await super().put(process, day, usd)

    async def of_others(self, process: str, day: date) -> dict[str, float]:
        with self._timings.timing(SPENT):
            return await super().of_others(process, day)


def _slow_down(slower: float) -> None:
    """What a process does at intervals of its own it does less often by so much."""
    for module, names in _INTERVALS.items():
        for name in names:
            setattr(module, name, getattr(module, name) * slower)


_INTERVALS: dict[ModuleType, tuple[str, ...]] = {
    publishing: ("ROUND_S", "HEARTBEAT_S", "TIDY_S"),
    others: ("POLL_S",),
    watch: ("ROUND_S",),
}


def _share(calls: int, processes: int, index: int) -> int:
    return calls // processes + (index < calls % processes)


async def play(
    order: Order, ready: Callable[[], Awaitable[None]], measured: Callable[[Played], Awaitable[None]]
) -> None:
    """
    `ready` is called when all calls are written; when it returns, measuring begins. The load goes on until
    `measured` has returned. Raises StoreError.
    """
    timings = Timings()
    processes = [PlayedProcess(index, order, timings) for index in order.processes]
    for process in processes:
        process.begin()
    async with AsyncExitStack() as running:
        for process in processes:
            await running.enter_async_context(process.running())
        await _all_written(processes)
        await ready()
        timings.reset()
        at_s, cpu_s = time.perf_counter(), time.process_time()
        await asyncio.sleep(order.seconds)
        seconds = time.perf_counter() - at_s
        waiting = sum(process.waiting for process in processes)
        await measured(Played(timings.taken, seconds, time.process_time() - cpu_s, waiting))


async def _all_written(processes: list[PlayedProcess]) -> None:
    try:
        async with asyncio.timeout(WRITTEN_S):
            await asyncio.gather(*(process.written.wait() for process in processes))
    except TimeoutError:
        raise StoreError(
            f"the database has not taken the calls in progress once within {WRITTEN_S:g} s: try fewer calls"
        ) from None


async def _say(line: bytes) -> None:
    """And wait for an answer."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()
    if not await asyncio.to_thread(sys.stdin.readline):
        raise StoreError("nobody asks for the load any more")


def main() -> None:
    order = msgspec.json.decode(sys.stdin.readline(), type=Order)
    _slow_down(order.slower)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(play(order, partial(_say, b"ready"), lambda played: _say(msgspec.json.encode(played))))
        except StoreError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
