"""
Work whose queue is in the database, done by all processes: each takes jobs that are due, under a lease.

    class Deliveries(LeasedWork[Job]):
        async def _do(self, job: Job) -> None: ...

    async with Deliveries(queue, terms) as work:
        work.wake()                     # there is a new job

While the database is away the work waits. At the end what is under way has a moment; the rest is given back.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from phonebot.errors import StoreError, StoreUnavailable

log = logging.getLogger(__name__)

FLUSH_S = 5.0

Job = TypeVar("Job")


class Queue(Protocol[Job]):
    """Of jobs; all of it raises StoreUnavailable."""

    async def claim(self, who: str, most: int, /) -> list[Job]: ...

    async def release(self, job: Job, /) -> object: ...

    async def waiting(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """
    `who` takes jobs, `at_once` at most; every `poll_s` it looks for what other processes left, or is due by now.

    `name` is what one job is called, `are_left` and `are_not_begun` are sentences for the log.
    """

    who: str
    at_once: int
    poll_s: float
    name: str
    are_left: str
    are_not_begun: str


class LeasedWork(ABC, Generic[Job]):
    """Jobs are done by `_do`, at once and each in a task of its own, while the work is entered."""

    def __init__(self, queue: Queue[Job], terms: Terms) -> None:
        self.waiting = 0
        """Jobs of all processes that are not done, as of the last look."""
        self._queue, self._terms = queue, terms
        self._came = asyncio.Event()
        self._is_away = False
        self._jobs: dict[asyncio.Task[None], Job] = {}
        self._task: asyncio.Task[None] | None = None

    @abstractmethod
    async def _do(self, job: Job) -> None:
        """Do a job. Raises nothing."""

    async def _may_begin(self) -> bool:
        """Whether jobs may be taken: asked before each look. Raises StoreUnavailable."""
        return True

    def wake(self) -> None:
        """There is a new job."""
        self._came.set()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"{self._terms.name}s")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What is under way may end, if it does so soon; the rest is given back, for another process."""
        assert self._task is not None, "it was entered"
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        if not self._jobs:
            return
        _, late = await asyncio.wait(self._jobs, timeout=FLUSH_S)
        left = [self._jobs[task] for task in late]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        with suppress(StoreError):
            for job in left:
                await self._queue.release(job)

    async def _run(self) -> None:
        while True:
            self._came.clear()
            is_more = False
            try:
                is_more = await self._begin()
            except StoreUnavailable as error:
                if not self._is_away:
                    log.warning("%s: %s", self._terms.are_left, error)
                self._is_away = True
            except Exception:
                # A fault of ours in this must not end the calls in progress.
                log.exception("%s", self._terms.are_not_begun)
            with suppress(TimeoutError):
                if not is_more:
                    async with asyncio.timeout(self._terms.poll_s):
                        await self._came.wait()

    async def _begin(self) -> bool:
        """Take what is due, as far as there is room; whether there may be more of it."""
        if not await self._may_begin():
            return False
        room = self._terms.at_once - len(self._jobs)
        jobs = await self._queue.claim(self._terms.who, room) if room else []
        self.waiting = await self._queue.waiting()
        self._is_away = False
        for job in jobs:
            task = asyncio.create_task(self._do(job), name=self._terms.name)
            self._jobs[task] = job
            task.add_done_callback(self._ended)
        return 0 < room == len(jobs)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._jobs[task]
        self._came.set()
