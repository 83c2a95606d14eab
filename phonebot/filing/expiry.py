"""
Deletes calls when their time is over: as many days after their end as their number keeps them.

Every process of a deployment does so, by and by: each takes some of those whose time is over, and the others leave
them to it. What is kept beside calls, such as the orders for those that we made, goes after as many days.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from phonebot.callbook import CallBook
from phonebot.errors import StoreError, StoreUnavailable
from phonebot.store.audit import Actor
from phonebot.store.calls import CallStore
from phonebot.store.retention import AT_ONCE

log = logging.getLogger(__name__)

EVERY_S = 600.0
RETENTION = Actor("retention")


class Expiry:
    """
    `besides` has what is kept beside calls, by its name: deletes what is over by a moment, so many rows at most,
    and tells how many it deleted. `clock` gives the time in UTC.
    """

    def __init__(
        self,
        calls: CallStore,
        book: CallBook,
        besides: Mapping[str, Callable[[datetime, int], Awaitable[int]]],
        every_s: float = EVERY_S,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._calls, self._book, self._besides = calls, book, besides
        self._every_s, self._clock = every_s, clock

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Calls are deleted when their time is over, while the block runs."""
        task = asyncio.create_task(self._run(), name="expiry")
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def delete_expired(self) -> int:
        """
        Delete the calls whose time is over now; how many this process deleted.

        Raises StoreUnavailable when the database or the storage is away: the rest goes another time.
        """
        deleted = 0
        while sids := await self._calls.claim_expired(self._clock(), AT_ONCE):
            for sid in sids:
                deleted += await self._delete(sid)
        return deleted

    async def delete_besides(self) -> None:
        """The same of what is kept beside calls. Raises StoreUnavailable."""
        for name, delete in self._besides.items():
            deleted = 0
            while gone := await delete(self._clock(), AT_ONCE):
                deleted += gone
            if deleted:
                log.info("%s deleted, since their number keeps them no longer: %d", name, deleted)

    async def _delete(self, call_sid: str) -> bool:
        try:
            await self._book.delete(call_sid, RETENTION)
        except StoreUnavailable:
            raise
        except StoreError:  # somebody else was faster, or the call has another stream in progress
            return False
        return True

    async def _run(self) -> None:
        while True:
            try:
                await self.delete_besides()
                if deleted := await self.delete_expired():
                    log.info("calls deleted, since their number keeps them no longer: %d", deleted)
            except StoreError as error:
                log.warning("calls whose time is over are not deleted yet: %s", error)
            except Exception:
                # A fault of ours in deleting must not end the calls in progress.
                log.exception("calls whose time is over are not deleted yet")
            await asyncio.sleep(self._every_s)
