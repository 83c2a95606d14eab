"""
Calls to colleagues who are asked, before the caller is connected, whether they take him.

    leg = legs.begin(ticket, whisper="A call from ...")
    legs.dial(leg, to="+15550100009", from_="+15550100002", ring_s=20, limit_s=7200)
    answer = await leg.answered(within_s=60)        # "taken", or why not
    legs.end(leg)                                   # unless it was taken

What the carrier tells of a leg comes in by `told`, in this process or passed on by another one.
"""

import asyncio
import logging
import secrets
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from phonebot.carrier.account import CarrierAccount
from phonebot.errors import AccountError, CarrierRefused
from phonebot.transfers.urls import Ticket, TransferUrls

Answer: TypeAlias = Literal["taken", "declined", "busy", "no-answer", "failed", "refused"]

log = logging.getLogger(__name__)

TAKES = "1"
_ENDS: dict[str, Answer] = {  # by CallStatus (Twilio, Call resource, Status)
    "completed": "declined",  # he heard of it and hung up, or a machine did
    "busy": "busy",
    "no-answer": "no-answer",
    "canceled": "no-answer",
    "failed": "failed",
}


class Leg:
    """One attempt to reach a colleague. `whisper` is what he is asked; `room` is where the two would meet."""

    def __init__(self, ticket: Ticket, whisper: str, room: str) -> None:
        self.ticket, self.whisper, self.room = ticket, whisper, room
        self.call_sid = ""  # once the carrier has placed it
        self.is_abandoned = False  # nobody waits for its answer any more
        self._answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

    @property
    def answer(self) -> Answer | None:
        """None: there is none yet."""
        return self._answer.result() if self._answer.done() else None

    def settle(self, answer: Answer) -> None:
        """The first word counts."""
        if not self._answer.done():
            self._answer.set_result(answer)

    async def answered(self, within_s: float) -> Answer:
        """What has become of it; "no-answer" after that time, which is then its answer."""
        await asyncio.wait({self._answer}, timeout=within_s)
        self.settle("no-answer")
        return self._answer.result()


class Legs:
    """Those of this process, and what is done beside calls about them. They are dialled while it is entered."""

    def __init__(self, account: CarrierAccount | None, urls: TransferUrls) -> None:
        self.account = account
        self.urls = urls
        self._legs: dict[str, Leg] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for leg in list(self._legs.values()):
            self.end(leg)
        if self._tasks:  # each has the deadline of the account
            await asyncio.wait(self._tasks)

    def begin(self, ticket: Ticket, whisper: str) -> Leg:
        """A leg that is about to be dialled for the caller's call; its own ticket has its name."""
        ticket = ticket._replace(leg=secrets.token_urlsafe(9))
        leg = self._legs[ticket.leg] = Leg(ticket, whisper, f"phonebot-{secrets.token_urlsafe(12)}")
        return leg

    def dial(self, leg: Leg, to: str, from_: str, ring_s: int, limit_s: int) -> None:
        """Have the carrier ring. That goes on even if nobody waits any more, so that what was placed is ended."""
        self.later(self._dial(leg, to, from_, ring_s, limit_s), f"ring {leg.ticket.to}")

    def get(self, leg_id: str) -> Leg | None:
        return self._legs.get(leg_id)

    def taken_for(self, call_sid: str) -> list[Leg]:
        """The legs whose colleagues wait for this caller, or talk to him."""
        return [leg for leg in self._legs.values() if leg.ticket.call_sid == call_sid and leg.answer == "taken"]

    def told(self, leg_id: str, digits: str, status: str) -> bool:
        """A key was pressed, or a status told. False: it is no leg of this process."""
        leg = self._legs.get(leg_id)
        if leg is None:
            return False
        if digits:
            leg.settle("taken" if digits == TAKES and not leg.is_abandoned else "declined")
        elif status in _ENDS:
            leg.settle(_ENDS[status])
            self._legs.pop(leg_id, None)
        return True

    def end(self, leg: Leg) -> None:
        """It is not wanted any more: hang up on whoever is there, or is being rung."""
        leg.is_abandoned = True
        self._legs.pop(leg.ticket.leg, None)
        if leg.call_sid and leg.answer in (None, "taken", "declined", "no-answer"):
            self.later(self.hang_up(leg.call_sid), f"hang up on {leg.ticket.to}")

    def later(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Do it beside all calls; the end of the service waits for it."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def hang_up(self, call_sid: str) -> None:
        """End a call, and log if that cannot be done."""
        assert self.account is not None, "without an account no call was placed"
        try:
            await self.account.hang_up(call_sid)
        except AccountError as error:
            log.error("the call %.40r to a colleague is not ended: %s", call_sid, error)

    async def _dial(self, leg: Leg, to: str, from_: str, ring_s: int, limit_s: int) -> None:
        assert self.account is not None, "who has no account asks nobody first"
        try:
            leg.call_sid = await self.account.create_call(
                to,
                from_,
                url=self.urls.whisper(leg.ticket),
                status_callback=self.urls.status(leg.ticket),
                ring_s=ring_s,
                limit_s=limit_s,
            )
        except AccountError as error:
            log.error("call %.40r is not transferred to %r: %s", leg.ticket.call_sid, leg.ticket.to, error)
            leg.settle("refused" if isinstance(error, CarrierRefused) else "failed")
            return
        if leg.is_abandoned:
            await self.hang_up(leg.call_sid)
