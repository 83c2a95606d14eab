import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from phonebot.simulator.clock import Clock


class Person:
    """Somebody on the line who says what he has heard, and a letter more."""

    def __init__(self, letter: bytes) -> None:
        self.said = self._letter = letter
        self.other: Person | None = None
        self.heard: list[bytes] = []

    def frame(self) -> bytes:
        assert self.other is not None
        return self.other.said

    def hear(self, frame: bytes) -> None:
        self.heard.append(frame)
        self.said = frame + self._letter


@asynccontextmanager
async def ticking(speed: float) -> AsyncIterator[Clock]:
    clock = Clock(speed)
    task = asyncio.create_task(clock.run())
    try:
        yield clock
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_those_on_the_line_hear_what_was_said_in_the_frame_before_whoever_comes_first() -> None:
    async with ticking(100) as clock:
        one, other = Person(b"1"), Person(b"2")
        one.other, other.other = other, one
        clock.add(one)
        clock.add(other)
        await clock.sleep(40)
        clock.remove(one)
        clock.remove(other)
        assert (one.heard[:2], other.heard[:2]) == ([b"2", b"12"], [b"1", b"21"])


async def test_sleepers_wake_in_the_order_of_their_time_however_fast_it_runs() -> None:
    woken: list[int] = []

    async def sleep(clock: Clock, ms: int) -> None:
        await clock.sleep(ms)
        woken.append(ms)

    async with ticking(1000) as clock:
        await asyncio.gather(*(sleep(clock, ms) for ms in (3000, 20, 600, 2000)))
        assert woken == [20, 600, 2000, 3000]
        assert clock.now_ms >= 3000


async def test_a_clock_that_is_held_stands_still_until_all_let_go() -> None:
    async with ticking(100) as clock:
        sleeper = asyncio.create_task(clock.sleep(20))
        with clock.held():
            with clock.held():
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
            assert (clock.now_ms, sleeper.done()) == (0, False)
        await sleeper
        assert clock.now_ms >= 20


async def test_a_clock_in_real_time_is_not_held() -> None:
    async with ticking(1) as clock:
        with clock.held():
            await clock.sleep(20)


def test_a_clock_that_would_not_run_is_refused() -> None:
    with pytest.raises(ValueError, match="0 times as fast"):
        Clock(0)
