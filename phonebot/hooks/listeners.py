"""
Who listens to the events of a call, and how much may wait for him.

    with events.listen({"tool_end", "handoff"}) as heard:
        async for event in heard: ...

A call is never delayed by who listens. A listener that is too slow loses the oldest events, and is told how many
(`Dropped`). Audio and raw events are made while somebody wants them, and not else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Self

from phonebot.call.actions import Action, Outcome
from phonebot.call.inputs import Input
from phonebot.call.plan import CallPlan
from phonebot.hooks.events import ON_REQUEST, CallEnd, Dropped, Event, HistoryItem, HistoryUpdated
from phonebot.hooks.translator import Translator

MAX_QUEUED = 500
"""Events that wait for a listener: minutes of a call, and with its audio some 2 MB."""


class Listener:
    """The events that one listener wants, in order: iterate over them. They end after CallEnd, and when closed."""

    def __init__(self, names: Collection[str], closed: "Callable[[Listener], None]") -> None:
        self.names = frozenset(names)
        self._closed = closed
        self._queue: deque[Event] = deque()
        self._dropped = 0
        self._filled = asyncio.Event()
        self._over = False

    def put(self, event: Event) -> None:
        """Never waits."""
        if self._over or event.type not in self.names:
            return
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self._dropped += 1
        self._queue.append(event)
        self._filled.set()

    def finish(self) -> None:
        """Nothing more comes. What waits can still be read."""
        self._over = True
        self._filled.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._over:
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return Dropped(t_ms=self._queue[0].t_ms, count=dropped)
        return self._queue.popleft()

    def take(self) -> list[Event]:
        """All that waits, at once."""
        events: list[Event] = [Dropped(t_ms=self._queue[0].t_ms, count=self._dropped)] if self._dropped else []
        events += self._queue
        self._dropped = 0
        self._queue.clear()
        return events

    @property
    def over(self) -> bool:
        """Nothing more comes, and nothing waits."""
        return self._over and not self._queue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()
        self._closed(self)


class CallEvents:
    """A bridge's journal that tells the call's events to those who listen."""

    def __init__(self, plan: CallPlan) -> None:
        self._translator = Translator(plan)
        self._listeners: list[Listener] = []
        self.now_ms = 0  # when something last happened
        self._over = False

    @property
    def history(self) -> tuple[HistoryItem, ...]:
        """What was said and done so far."""
        return self._translator.history

    def listen(self, names: Collection[str]) -> Listener:
        """Hear the events of these names from now on; first of all the history, if there is one already."""
        listener = Listener(names, self._leave)
        if self.history:
            listener.put(HistoryUpdated(t_ms=self.now_ms, history=self.history))
        if self._over:
            listener.finish()
            return listener
        self._listeners.append(listener)
        self._note_wanted()
        return listener

    def happened(self, now: int, received: Input, actions: Sequence[Action]) -> None:
        events = self._translator.happened(now, received, actions)
        self.now_ms = now
        if self._listeners:
            self._tell(events)
        if events and isinstance(events[-1], CallEnd):
            self._finish()

    def close(self, outcome: Outcome) -> None:
        """The call is over, perhaps without a word of its own."""
        if not self._over:
            self._tell([CallEnd(t_ms=self.now_ms, outcome=outcome)])
            self._finish()

    def _tell(self, events: Sequence[Event]) -> None:
        for event in events:
            for listener in self._listeners:
                listener.put(event)

    def _finish(self) -> None:
        self._over = True
        for listener in self._listeners:
            listener.finish()

    def _leave(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._note_wanted()

    def _note_wanted(self) -> None:
        wanted = {name for listener in self._listeners for name in listener.names}
        self._translator.on_request = ON_REQUEST & wanted
