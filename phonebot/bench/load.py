"""
One run: a server under test on one core, and on another this process, which plays its carrier and its model.

    carrier (this process) --media--> server under test --appends--> model (this process)
            ^------------media-----------------'   ^----deltas-------------'
"""

import asyncio
import gc
import os
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
FIRST_CALL_S = 0.5  # what a server does once, it has done with the first call
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
    if sys.platform != "linux":
        raise PhonebotError("the benchmark needs Linux: it pins processes to cores and reads /proc")
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        yield Cores(1)
        return
    server, load = sorted(before)[:2]
    os.sched_setaffinity(0, {load})
    try:
        yield Cores(len(before), server, load)
    finally:
        os.sched_setaffinity(0, before)


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
    async with AsyncExitStack() as stack:
        model = await stack.enter_async_context(serve_load(to_model, to_caller))
        server = await stack.enter_async_context(running(subject, model.url, cores.server))
        carrier = await stack.enter_async_context(Carrier(server.url, terms.calls, to_model, to_caller))
        await carrier.dial()
        await asyncio.sleep(FIRST_CALL_S)
        first_audio_ms = [await _greeted(carrier) for _ in range(terms.greeted)]
        memory_mb = server.memory_mb()
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
        memory_mb=round((end.memory_mb - memory_mb) / (terms.calls - 1), 3) if terms.calls > 1 else None,
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
    """What had been used at a time, or between two. `core_s`: by all on the server's core, None without one."""

    at_s: float
    server_s: float
    load_s: float
    core_s: float | None
    memory_mb: float

    @classmethod
    def now(cls, server: RunningServer, cores: Cores) -> "Usage":
        core_s = None if cores.server is None else _core_busy_s(cores.server)
        return cls(time.monotonic(), server.cpu_s(), time.process_time(), core_s, server.memory_mb())

    @property
    def others_busy(self) -> float | None:
        """Between two times: the share of the server's core that other processes took; None without such a core."""
        return None if self.core_s is None else round(max(0.0, self.core_s - self.server_s) / self.at_s, 3)

    def until(self, end: "Usage") -> "Usage":
        core_s = None if self.core_s is None or end.core_s is None else end.core_s - self.core_s
        return Usage(
            end.at_s - self.at_s,
            end.server_s - self.server_s,
            end.load_s - self.load_s,
            core_s,
            end.memory_mb - self.memory_mb,
        )


def _core_busy_s(core: int) -> float:
    """How long a core has been at work since the system started (Linux, proc(5), /proc/stat)."""
    line = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith(f"cpu{core} "))
    user, nice, system, _idle, _iowait, *interrupts_and_stolen = map(int, line.split()[1:9])
    return (user + nice + system + sum(interrupts_and_stolen)) / os.sysconf("SC_CLK_TCK")
