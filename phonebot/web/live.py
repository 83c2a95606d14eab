"""The calls in progress in this process."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class LiveCalls:
    """
    Owns the tasks that hold calls, so that shutting down can wait for them.

    To stop: set `draining`, and no new call is taken; wait until `idle`, or not; `finish`.
    """

    def __init__(self) -> None:
        self.draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """The current task holds a call while the block runs."""
        task = asyncio.current_task()
        assert task is not None, "only a task can hold a call"
        self._tasks.add(task)
        self._idle.clear()
        try:
            yield
        finally:
            self._tasks.discard(task)
            if not self._tasks:
                self._idle.set()

    def __len__(self) -> int:
        """How many calls are in progress, those included whose stream has yet to start."""
        return len(self._tasks)

    async def idle(self) -> None:
        """Wait until no call is in progress."""
        await self._idle.wait()

    async def finish(self) -> None:
        """End all calls and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
