"""
Proof of closure: what a block opened is closed when it ends, and nothing failed unseen.

    async with leaving_nothing():
        ...                         # afterwards no task, socket, file, thread or timer of the block's is left

Each test that runs in an event loop is such a block (conftest.py).
"""

import asyncio
import gc
import logging
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import uvloop

uvloop.new_event_loop().close()  # with its first loop it opens a pipe that the process keeps

SOON_S = 1.0
PATIENCE_S = 15.0  # for what must happen, though nobody knows when
# Pools that keep their threads for what comes next, and end with their owner: the loop, a storage.
POOLS = ("asyncio_", "AnyIO worker thread", "recordings_")
# uvicorn forgets it when it closes an idle connection: it looks once more, seconds later, and finds it closed.
SERVERS_OWN = "timeout_keep_alive_handler"

Descriptor = tuple[int, int, int]
"""A descriptor of this process: its number, device and inode, so that one that is used again is another."""


@dataclass(frozen=True, slots=True)
class Held:
    """What this process holds open: sockets, pipes and files, and threads."""

    descriptors: frozenset[Descriptor]
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> "Held":
        threads = (thread for thread in threading.enumerate() if not thread.name.startswith(POOLS))
        return cls(frozenset(_descriptors()), frozenset(threads))

    def __or__(self, other: "Held") -> "Held":
        return Held(self.descriptors | other.descriptors, self.threads | other.threads)

    def beyond(self, earlier: "Held") -> list[str]:
        """What of it was not held then, as one reads it."""
        return [
            *(
                _name(number)
                for number, _, _ in sorted(self.descriptors - earlier.descriptors)
                if _peer(number) not in _Lasting.ports
            ),
            *(f"thread {thread.name}" for thread in self.threads - earlier.threads),
        ]


class _Lasting:
    """
    What is held for more than one test: by fixtures of a wider scope, wherever they are set up.

    `ports` are those of servers to which a library of ours may keep connections for what comes next.
    """

    held = Held(frozenset(), frozenset())
    ports: ClassVar[set[int]] = set()


@contextmanager
def lasting() -> Iterator[None]:
    """What the block opens may be left: a test that needs it first does not own it."""
    before = Held.now()
    yield
    now = Held.now()
    _Lasting.held |= Held(now.descriptors - before.descriptors, now.threads - before.threads)


def pooled(port: int) -> None:
    """Connections to this port of loopback may be left: a library pools them until its client is collected."""
    _Lasting.ports.add(port)


class Complaints(logging.Handler):
    """Collects what is said of exceptions that nobody caught: by uvicorn, and by the loop."""

    SOURCES = ("uvicorn.error", "asyncio")

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        # In this way a client is left that takes nothing of an answer that goes on: there is no other.
        if record.getMessage() != "ASGI callable returned without completing response.":
            self.texts.append(self.format(record))

    @contextmanager
    def collected(self) -> Iterator[None]:
        for source in self.SOURCES:
            logging.getLogger(source).addHandler(self)
        try:
            yield
        finally:
            for source in self.SOURCES:
                logging.getLogger(source).removeHandler(self)


@asynccontextmanager
async def leaving_nothing(within_s: float = PATIENCE_S) -> AsyncIterator[None]:
    """
    Checks that the block leaves nothing: no task, no socket, pipe or file, no thread and no timer of the loop's,
    and that no exception reached the server or the loop. Raises AssertionError, naming what there is.
    """
    tasks, timers, held, complaints = asyncio.all_tasks(), set(_timers()), Held.now(), Complaints()

    def left() -> list[str]:
        """What is left, cheapest first; it may take some turns of the loop until a closed transport is gone."""
        own = tasks | {asyncio.current_task()}
        return [
            *(repr(task) for task in asyncio.all_tasks() if task not in own),
            *(repr(timer) for timer in _timers() if timer not in timers),
            *Held.now().beyond(held | _Lasting.held),
        ]

    with complaints.collected():
        yield
        with suppress(TimeoutError):
            await until(lambda: not left(), min(within_s, SOON_S))
        if left():  # SQLite closes a file with its last statement: one that was given up may be in a cycle
            with suppress(TimeoutError):
                await until(lambda: gc.collect() >= 0 and not left(), within_s)
        remains = left()
    assert not remains, "left behind: " + "; ".join(remains)
    assert not complaints.texts, "nobody caught: " + "; ".join(complaints.texts)


async def until(is_so: Callable[[], object], within_s: float = PATIENCE_S) -> None:
    """Wait until it is so. Raises TimeoutError when it does not become so."""
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + within_s
    while not is_so():
        if loop.time() > give_up_s:
            raise TimeoutError
        await asyncio.sleep(0.005)


def _descriptors() -> Iterator[Descriptor]:
    for number, kind in _open_files():
        # The rest is what the loop and the interpreter keep for themselves: epoll, events, /dev/urandom.
        if stat.S_ISSOCK(kind) or stat.S_ISFIFO(kind) or stat.S_ISREG(kind):
            with suppress(OSError):
                found = os.fstat(number)
                yield number, found.st_dev, found.st_ino


def _open_files() -> Iterator[tuple[int, int]]:
    """The number and mode of each descriptor that is open."""
    for name in os.listdir("/dev/fd"):
        with suppress(OSError):  # the listing's own descriptor is closed by now
            yield int(name), os.fstat(int(name)).st_mode


def _peer(number: int) -> int | None:
    """The port that a socket is connected to; None: it is none, or not connected."""
    with suppress(OSError):
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            with socket.socket(fileno=os.dup(number)) as same:
                return int(same.getpeername()[1])
    return None


def _name(number: int) -> str:
    try:
        return f"descriptor {number}: {Path(f'/dev/fd/{number}').readlink()}"
    except OSError:
        return f"descriptor {number}"


def _timers() -> list[asyncio.TimerHandle]:
    """What the loop will do later, as far as it tells: uvloop does not."""
    scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return [timer for timer in scheduled if not timer.cancelled() and SERVERS_OWN not in repr(timer)]
