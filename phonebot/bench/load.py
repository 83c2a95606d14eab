"""
One run: a server under test on one core, and on another this process, which plays its carrier and its model.

    carrier (this process) --media--> server under test --appends--> model (this process)
            ^------------media-----------------'   ^----deltas-------------'
"""

import asyncio
import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import msgspec
import uvloop

from phonebot.bench.carrier import Carrier
from phonebot.bench.model import serve_load
from phonebot.bench.report import MAX_FAULTS, Delays, Run
from phonebot.bench.stamps import Tally
from phonebot.bench.subject import RunningServer, Subject, running
from phonebot.errors import PhonebotError
from phonebot.serving import OLD_ROUNDS, YOUNG_OBJECTS

T = TypeVar("T")
Progress: TypeAlias = Callable[[str], None]
"""Is told, in a sentence, what is being measured now."""

ONE_CORE = "Only one core: the server and its load share it, so delays include the load's own work."
LOAD_TOO_BUSY = 0.85  # of its core: then it is itself what is late
LATE_MS = 5.0  # at p99, behind its own time: likewise
FIRST_CALL_S = 0.5  # what a server does once, it has done with the first call
FEW = 5  # memory is read with one in so many of the calls, and again with all of them
UNDER_WAY_S = 1.0  # after the window: what was sent in it may still arrive
GREETED_WITHIN_S = 10.0


class Terms(msgspec.Struct, frozen=True):
    """
    How to measure: `calls` at once, for `seconds` after `warmup_s`.

    After the first call `greeted` more are made, one at a time, each until its first audio: only for a server that
    greets.
    """

    calls: int
    seconds: float
    warmup_s: float
    greeted: int = 0

    def __post_init__(self) -> None:
        if self.calls < 1 or self.seconds <= 0 or self.warmup_s < 0:
            raise PhonebotError("measure at least one call, for more than 0 s, after a warm-up of 0 s or more")


class Cores(msgspec.Struct, frozen=True):
    """How many cores this process may use, and those of the server and the load. None: the system places them."""

    available: int
    server: int | None = None
    load: int | None = None


@contextmanager
def pinned() -> Iterator[Cores]:
    """
    Keep this process on one core, and another one for the server, while the block runs.

    Raises PhonebotError on a system that does not have what the benchmark is made of.
    """
    with unpinned() as cores:
        if cores.available < 2:
            yield cores
            return
        before = os.sched_getaffinity(0)
        server, load = sorted(before)[:2]
        os.sched_setaffinity(0, {load})
        try:
            yield Cores(cores.available, server, load)
        finally:
            os.sched_setaffinity(0, before)


@contextmanager
def unpinned() -> Iterator[Cores]:
    """The server and this process share all cores while the block runs. Raises as `pinned`."""
    if sys.platform != "linux":
        raise PhonebotError("the benchmark needs Linux: it pins processes to cores and reads /proc")
    with _many_files():
        yield Cores(len(os.sched_getaffinity(0)))


@contextmanager
def _many_files() -> Iterator[None]:
    """What is open at once is bounded by the system alone; a server that is started in here inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run the load to its end in a loop of its own, the fastest there is, as undisturbed as a service's."""
    threshold = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, OLD_ROUNDS)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    finally:
        gc.set_threshold(*threshold)
        gc.unfreeze()


async def measure(subject: Subject, terms: Terms, cores: Cores) -> Run:
    """Put a server under load. Raises PhonebotError when it does not take the calls."""
    to_model, to_caller = Tally(), Tally()
    few = max(1, terms.calls // FEW)
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_load(to_model, to_caller))
        server = await stack.enter_async_context(running(subject, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, terms.calls, to_model, to_caller))
        await carrier.dial()
        await asyncio.sleep(FIRST_CALL_S)
        first_audio_ms = [await _greeted(carrier) for _ in range(terms.greeted)]
        await carrier.dial_until(few)
        await asyncio.sleep(terms.warmup_s)
        few_mb = server.memory_mb()
        await carrier.dial_until(terms.calls)
        await asyncio.sleep(terms.warmup_s)
        to_model.open()
        to_caller.open()
        begin = Usage.now(server, cores)
        carrier.late_ms.clear()
        await asyncio.sleep(terms.seconds)
        end = Usage.now(server, cores)
        to_model.close()
        to_caller.close()
        late_ms = list(carrier.late_ms)
        await asyncio.sleep(UNDER_WAY_S)
    faults = (*carrier.faults, *model.faults)
    used = begin.until(end)
    return Run(
        server=subject.name,
        calls=terms.calls,
        seconds=round(used.at_s, 3),
        cpu_ms=round(used.server_s * 1000 / terms.calls / used.at_s, 3),
        cpu_shares=used.shares,
        memory_mb=round(end.memory_mb, 1),
        call_kb=round((end.memory_mb - few_mb) * 1000 / (terms.calls - few), 1) if terms.calls > few else None,
        to_model=Delays.of(to_model.delays_ms, to_model.lost),
        to_caller=Delays.of(to_caller.delays_ms, to_caller.lost),
        first_audio=Delays.of(first_audio_ms),
        fault_count=len(faults),
        faults=faults[:MAX_FAULTS],
        load_busy=round(used.load_s / used.at_s, 3),
        frames_late_ms=Delays.of(late_ms),
        others_busy=used.others_busy,
    )


async def _greeted(carrier: Carrier) -> float:
    """Call, and hang up at the first audio: how long it took from the webhook to there, in ms."""
    stream = await carrier.dial()
    try:
        async with asyncio.timeout(GREETED_WITHIN_S):
            return await stream.first_audio_ms()
    except TimeoutError:
        raise PhonebotError(f"the server did not greet within {GREETED_WITHIN_S:g} s") from None
    finally:
        await carrier.hang_up(stream)


class Usage(msgspec.Struct, frozen=True):
    """
    What had been used at a time, or between two.

    `each_s`: CPU time by the server's processes; `core_s`: by all on the server's core, None without one.
    """

    at_s: float
    each_s: tuple[float, ...]
    load_s: float
    core_s: float | None
    memory_mb: float

    @classmethod
    def now(cls, server: RunningServer, cores: Cores) -> "Usage":
        core_s = None if cores.server is None else _core_busy_s(cores.server)
        return cls(time.monotonic(), server.cpu_s_each(), time.process_time(), core_s, server.memory_mb())

    @property
    def server_s(self) -> float:
        return sum(self.each_s)

    @property
    def shares(self) -> tuple[float, ...]:
        """Of that, which part each of its processes used, the most first; those that used none are left out."""
        used = self.server_s
        return tuple(sorted((round(part / used, 3) for part in self.each_s if part), reverse=True)) if used else ()

    @property
    def others_busy(self) -> float | None:
        """Between two times: the share of the server's core that other processes took; None without such a core."""
        return None if self.core_s is None else round(max(0.0, self.core_s - self.server_s) / self.at_s, 3)

    def until(self, end: "Usage") -> "Usage":
        """Raises PhonebotError where a process of the server has ended meanwhile, or begun."""
        if len(self.each_s) != len(end.each_s):
            raise PhonebotError("a process of the server under test ended while it was measured")
        core_s = None if self.core_s is None or end.core_s is None else end.core_s - self.core_s
        return Usage(
            end.at_s - self.at_s,
            tuple(after - before for before, after in zip(self.each_s, end.each_s, strict=True)),
            end.load_s - self.load_s,
            core_s,
            end.memory_mb - self.memory_mb,
        )


def _core_busy_s(core: int) -> float:
    """How long a core has been at work since the system started (Linux, proc(5), /proc/stat)."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, *interrupts_and_stolen = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")
