"""Tasks that somebody began and sees to the end of."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """Those that have not ended. The event loop alone would hold them so loosely that they could vanish."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def cancel(self) -> None:
        """End all of them, and wait until they have."""
        for task in self._running:
            task.cancel()
        await self.finish()

    async def finish(self) -> None:
        """Wait until all have ended, whatever comes of them."""
        await asyncio.gather(*self._running, return_exceptions=True)
