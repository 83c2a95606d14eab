"""
Sees to it that a call which the bot has ended is over for the carrier, too.

The bot leaves the media stream and the carrier asks how to go on; should that request be lost, the call would stay
open, silent and billed. So the status callback that tells of its end is expected within VERIFY_S; without it the
carrier's account is asked, and ends the call if it has to.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self, TypeAlias

from phonebot.call.actions import Outcome
from phonebot.carrier.account import FINAL, CarrierAccount
from phonebot.errors import AccountError
from phonebot.tasks import Tasks
from phonebot.web.callbacks import Statuses

log = logging.getLogger(__name__)

VERIFY_S = 10.0
MAX_WATCHED = 1_000
"""Calls that may wait for their end at the same time."""

HangUp: TypeAlias = Literal["told", "asked", "ended", "unknown"]
"""How it is known that a call is over: the callback told; the account said so; it had to end it. Or it is not."""

GOES_ON: frozenset[Outcome] = frozenset(
    {"caller_hung_up", "transferred", "stream_lost", "model_failed", "carrier_faults", "moved"}
)
"""After these nobody here has ended the call: the caller has, or it may be taken up again."""


class HangUps:
    """
    Of one process. `account` None: nobody can be asked. `counted` is told how it ended, each time.

    Calls are watched while it is entered; those that still are when it is left are given up.
    """

    def __init__(
        self,
        statuses: Statuses,
        account: CarrierAccount | None,
        counted: Callable[[HangUp], object],
        verify_s: float = VERIFY_S,
    ) -> None:
        self._statuses = statuses
        self._account = account
        self._counted = counted
        self._verify_s = verify_s
        self._tasks = Tasks()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tasks.cancel()

    def ended(self, call_sid: str, outcome: Outcome) -> None:
        """A call of the carrier's has left its stream so. Nothing is done where it is not to be over."""
        if outcome in GOES_ON or len(self._tasks) >= MAX_WATCHED:
            return
        self._tasks.begin(self._verify(call_sid), f"see that {call_sid} is over")

    async def _verify(self, call_sid: str) -> None:
        with self._statuses.expecting(call_sid) as told:
            if await told.final(self._verify_s):
                self._counted("told")
                return
        self._counted(await self._ask(call_sid))

    async def _ask(self, call_sid: str) -> HangUp:
        if self._account is None:
            return "unknown"
        try:
            state = await self._account.call_state(call_sid)
            if state is None or state in FINAL:
                return "asked"
            await self._account.hang_up(call_sid)
        except AccountError as error:
            log.error("call %.40r has ended here, and whether it is over at the carrier: %s", call_sid, error)
            return "unknown"
        log.warning("call %.40r was still %s at the carrier after its end here: it was ended", call_sid, state)
        return "ended"
