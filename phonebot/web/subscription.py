"""
Who watches calls, and what waits for him.

    with feed.subscribe(call_sid) as events:
        async for event in events: ...
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from phonebot.web.live_events import CallEnded, Event, Lost, Snapshot

MAX_QUEUED = 500
"""Events that may wait for a subscriber: some minutes of one call."""


class Subscription:
    """
    The events of one call, or of all, in order: iterate over it within its `with` block.

    It ends after CallEnded, if it is of one call, and after `Lost`. A Snapshot that waits when there is a newer one
    of its call, and nothing of that call between them, gives way to it: so there are no more of them than of calls,
    however many these are, and they are not counted among the events that may wait.
    """

    def __init__(self, call_sid: str | None, closed: "Callable[[Subscription], None]") -> None:
        """`closed` is told when nobody reads it any more."""
        self.call_sid = call_sid
        self._closed = closed
        self._queue: deque[_Waiting] = deque()
        # Snapshots that wait, by CallSid, as long as nothing of the call has come after them.
        self._newest: dict[str, _Waiting] = {}
        self._filled = asyncio.Event()
        self._over = False  # nothing more is put into the queue

    def put(self, event: Event) -> None:
        """Never waits."""
        if self._over:
            return
        if isinstance(event, Snapshot):
            if known := self._newest.get(event.call_sid):
                known.event = event
                return
        elif len(self._queue) - len(self._newest) >= MAX_QUEUED:
            self._queue.clear()
            self._newest.clear()
            event = Lost()
        waits = _Waiting(event)
        self._queue.append(waits)
        if isinstance(event, Snapshot):
            self._newest[event.call_sid] = waits
        elif not isinstance(event, Lost):
            self._newest.pop(event.call_sid, None)
        self._over = isinstance(event, Lost) or (isinstance(event, CallEnded) and self.call_sid is not None)
        self._filled.set()

    def close(self) -> None:
        """Nothing more comes. What waits can still be read."""
        self._over = True
        self._closed(self)
        self._filled.set()

    @property
    def waiting(self) -> tuple[Event, ...]:
        """What can be read at once."""
        return tuple(waits.event for waits in self._queue)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._over:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        waits = self._queue.popleft()
        event = waits.event
        if isinstance(event, Snapshot) and self._newest.get(event.call_sid) is waits:
            del self._newest[event.call_sid]
        return event


@dataclass(eq=False, slots=True)
class _Waiting:
    """An event until it is read."""

    event: Event
