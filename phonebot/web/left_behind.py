"""
What is known of a call that left its stream, though this process did not hold it.

The carrier asks how such a call goes on, and the process that held it may have ended it, lost it, or be dead. Its
row in the database tells which; where it does not yet, that process is asked, and given a moment: an end is written
at once, and a process of this machine that is dead is known to be (roster.py). A beginning is written at once, too,
and given a moment where some process has taken the stream's token: how the call left an earlier stream says nothing
of this one. A stream whose token nobody has taken has never begun, and asking sees to it that it never will.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from phonebot.errors import NotStored, StoreError
from phonebot.store.calls import CallStore
from phonebot.store.live import CARRIER, LiveStore, Standing
from phonebot.transfers.after import NOT_BEGUN, Left
from phonebot.transfers.continuations import Standing as HowFar
from phonebot.web.live_events import Snapshot, standing_of
from phonebot.web.roster import Roster

DEAD_S = 3.0
"""A process that holds calls says something each second: one that was silent for so long is gone."""
PATIENCE_S = 1.5
"""How long a caller waits for the process that held his call to say what became of it."""
POLL_S = 0.1

log = logging.getLogger(__name__)
_SNAPSHOT = msgspec.json.Decoder(Snapshot)


class LeftBehind:
    """
    Of the calls of other processes.

    `shut` lets no process have a call on a stream any more; whether none has had it until now (admission.py, Gate).
    """

    def __init__(
        self, live: LiveStore, calls: CallStore, roster: Roster, shut: Callable[[str, str], Awaitable[bool]]
    ) -> None:
        self._live, self._calls, self._roster, self._shut = live, calls, roster, shut

    async def of(self, call_sid: str, stream: str) -> Left | None:
        """What is known of a call on the stream of this name; None: nothing."""
        try:
            standing = await self._settled(call_sid, stream)
            if standing is None:
                return None if await self._is_filed(call_sid) else Left(NOT_BEGUN, HowFar())
            outcome = standing.outcome if standing.stream == stream else None
            return Left(outcome, standing_of(_SNAPSHOT.decode(standing.snapshot)))
        except (StoreError, msgspec.DecodeError) as error:
            log.warning("what became of call %.40r in another process is not known: %s", call_sid, error)
            return None

    async def _is_filed(self, call_sid: str) -> bool:
        """Raises StoreError."""
        try:
            await self._calls.storage_key(call_sid)
        except NotStored:
            return False
        return True

    async def _settled(self, call_sid: str, stream: str) -> Standing | None:
        """
        How it stood on the stream, once that is not to change any more; on an earlier one, where no process had it
        on this one, or the one that had it wrote nothing. Raises StoreError.
        """
        loop = asyncio.get_running_loop()
        until_s = loop.time() + PATIENCE_S
        is_asked = False
        standing = await self._live.standing(call_sid, stream)
        if (standing is None or standing.stream != stream) and await self._shut(call_sid, stream):
            return standing
        while loop.time() < until_s:
            if standing and standing.stream == stream:
                if standing.outcome or await self._is_dead(standing):
                    return standing
                if not is_asked:
                    is_asked = True
                    await self._ask(call_sid)
            await asyncio.sleep(POLL_S)
            standing = await self._live.standing(call_sid, stream)
        return standing

    async def _is_dead(self, standing: Standing) -> bool:
        return standing.silent_s >= DEAD_S or await self._roster.has_ended(standing.process)

    async def _ask(self, call_sid: str) -> None:
        """Should it hold the call still, its stream has ended unnoticed there."""
        try:
            await self._live.ask(call_sid, "lost", CARRIER)
        except NotStored:
            return
