"""
How a process that is told to stop lets go of its calls.

No new ones come, and those in progress may end by themselves until a limit. Then they go on in another process, if
there is one that takes calls: each at a moment in which nobody speaks, since its stream is closed and the carrier
opens another one there (transfers/after.py). Where there is none, the bot says that it has to end the call.
"""

import asyncio
import logging

from phonebot.call.winding_up import GRACE_MS
from phonebot.web.board import Board
from phonebot.web.held import HeldCall, HeldCalls
from phonebot.web.live import LiveCalls

log = logging.getLogger(__name__)

MOVES_S = 10.0
"""So long calls wait for a moment in which nobody speaks; then they are moved in any case."""
POLL_S = 0.1
ENDS_S = 5.0
"""For sockets to be closed, once a call has ended."""


class Draining:
    """Of one process: the calls that are `held`, and those in `live` whose stream has yet to start."""

    def __init__(self, live: LiveCalls, held: HeldCalls, board: Board) -> None:
        self._live, self._held, self._board = live, held, board

    async def drain(self, limit_s: float) -> bool:
        """
        Take no new calls, and wait until there are none. They have `limit_s` to end by themselves.

        What comes back: whether there were any. Some are left only where they ended neither with words nor without.
        """
        self._live.draining = True
        self._board.stops_taking()
        if not self._live:
            return False
        log.info("stopping: calls in progress: %d; they have %g s to end", len(self._live), limit_s)
        if not await self._are_over(limit_s):
            if await self._board.others_take_calls():
                log.info("stopping: calls that go on in another process: %d", len(self._live))
                await self._move()
            else:
                log.info("stopping: calls that end with a farewell: %d", len(self._live))
                await self._part(list(self._held))
        if self._live:
            log.warning("stopping: calls cut off: %d", len(self._live))
        return True

    async def _move(self) -> None:
        staying = [call for call in self._held if not call.may_move]
        parting = asyncio.create_task(self._part(staying))
        until_s = asyncio.get_running_loop().time() + MOVES_S
        moved: set[HeldCall] = set()
        while True:
            is_late = asyncio.get_running_loop().time() >= until_s
            left = [call for call in self._held if call.may_move and call not in moved]
            for call in left:
                if is_late or call.is_quiet:
                    moved.add(call)
                    call.stop(goes_on=True)
            if not left or is_late:
                break
            await asyncio.sleep(POLL_S)
        await parting
        await self._are_over(ENDS_S)

    async def _part(self, calls: list[HeldCall]) -> None:
        """Let these say that they have to end."""
        for call in calls:
            call.stop(goes_on=False)
        if calls:
            await self._are_over(GRACE_MS / 1000 + ENDS_S)

    async def _are_over(self, within_s: float) -> bool:
        try:
            async with asyncio.timeout(within_s):
                await self._live.idle()
        except TimeoutError:
            return False
        return True
