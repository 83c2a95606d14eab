"""
The carrier's time outside the media streams, which may run faster than real time.

A stream runs in real time, since the server on its other end does. All else that takes time at a carrier (ringing,
Say, the patience of a Gather, two people talking) is counted in frames of this clock, so that a test at
`speed` 40 waits 50 ms where a caller waits two seconds, and what comes first in one comes first in the other.
"""

import asyncio
import heapq
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Protocol

from phonebot.simulator.carrier import FRAME_MS

HELD_AT_MOST_S = 2.0  # a server that takes longer for its TwiML costs the others' patience after all
CAUGHT_UP = 5  # frames; a clock that is later than this stays late


class Line(Protocol):
    """Somebody who is on the line outside a stream: each frame he is given what he hears."""

    def frame(self) -> bytes:
        """What he is to hear next, by what the others said in the frame before."""

    def hear(self, frame: bytes) -> None:
        """He hears it."""


class Clock:
    """
    Ticks every 20 ms of the carrier's time while somebody is on a line or sleeps; `run()` is a task of its owner.

    `speed` is how many seconds of the carrier's pass in one of ours. Faster than 1, the clock stands still while it
    is held: nobody loses patience over the time that the server takes for its TwiML.
    """

    def __init__(self, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"a clock that runs {speed} times as fast as ours would not run")
        self.now_ms = 0
        self.speed = speed
        self._lines: list[Line] = []
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []  # a heap: when due, order, who
        self._order = count()
        self._wanted = asyncio.Event()  # somebody is on a line or sleeps
        self._holds = 0
        self._held_until_s = 0.0  # then it ticks in spite of them
        self._released = asyncio.Event()
        self._released.set()

    async def run(self) -> None:
        """Tick until cancelled."""
        period_s = FRAME_MS / 1000 / self.speed
        due_s = time.monotonic()
        while True:
            if not self._lines and not self._sleepers:
                self._wanted.clear()
                await self._wanted.wait()
                due_s = time.monotonic()
            if self._holds and self.speed > 1:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(self._held_until_s - time.monotonic(), 0)):
                        await self._released.wait()
            now_s = time.monotonic()
            due_s = max(due_s + period_s, now_s - CAUGHT_UP * period_s)
            await asyncio.sleep(max(due_s - now_s, 0))
            self._tick()

    async def sleep(self, ms: float) -> None:
        """Until so much of the carrier's time has passed."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now_ms + ms, next(self._order), future))
        self._wanted.set()
        await future

    def add(self, line: Line) -> None:
        """From now on he hears a frame with each tick."""
        self._lines.append(line)
        self._wanted.set()

    def remove(self, line: Line) -> None:
        self._lines.remove(line)

    @contextmanager
    def held(self) -> Iterator[None]:
        """The server is asked for TwiML while the block runs."""
        if not self._holds:
            self._held_until_s = time.monotonic() + HELD_AT_MOST_S
        self._holds += 1
        self._released.clear()
        try:
            yield
        finally:
            self._holds -= 1
            if not self._holds:
                self._released.set()

    def _tick(self) -> None:
        self.now_ms += FRAME_MS
        # All hear what was said in the frame before, whoever is asked first.
        for line, frame in [(line, line.frame()) for line in self._lines]:
            if line in self._lines:  # otherwise another one's frame took him off the line
                line.hear(frame)
        while self._sleepers and self._sleepers[0][0] <= self.now_ms:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)
