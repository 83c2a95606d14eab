"""The calls in progress in this process, and how the latest ended."""

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from phonebot.call.actions import Outcome

REMEMBERED = 1_000  # outcomes kept for the request that follows a stream's end


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
        self._outcomes: OrderedDict[str, Outcome] = OrderedDict()

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

    def ended(self, call_sid: str, outcome: Outcome) -> None:
        """
        Say how a call ended as soon as that is known.

        The carrier asks how to go on once its stream is closed, and does not wait until the model's socket is too.
        """
        self._outcomes[call_sid] = outcome
        while len(self._outcomes) > REMEMBERED:
            self._outcomes.popitem(last=False)

    def begun(self, call_sid: str) -> None:
        """A call is on a stream, perhaps again: how an earlier one ended counts no more."""
        self._outcomes.pop(call_sid, None)

    def outcome(self, call_sid: str) -> Outcome | None:
        """How a call ended; None if it has not, or is not known here."""
        return self._outcomes.get(call_sid)

    async def finish(self) -> None:
        """End all calls and wait for them."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
