"""
What becomes of callers who have left the bot: the carrier asks, and is told.

    step = await transfers.go_on(call, profile, outcome)        # the stream has ended: TwiML, Returned, or None
    step = await transfers.came_back(ticket, profile, form)     # who was put through is back: TwiML or Returned
    await transfers.leg_told(ticket, form)                      # how the call to a colleague stands
    await transfers.caller_told(form)                           # how any other call stands
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.agents.transfers import DEFAULT
from phonebot.call.actions import LineRole, Outcome
from phonebot.call.plan import EarlierLine
from phonebot.carrier import twiml
from phonebot.carrier.languages import spoken_language
from phonebot.errors import AccountError, StoreError
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.legs import TAKES, Leg, Legs
from phonebot.transfers.urls import Ticket
from phonebot.transfers.wording import came_to_nothing, whispered

log = logging.getLogger(__name__)

FINAL = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})  # Twilio, Call resource, Status
CALLER_GONE = "The caller has hung up. Goodbye."
MEETS_S = 3.0
"""So long after a colleague has gone his room's end may take to be told of."""
TRANSFERS: frozenset[Outcome | None] = frozenset(
    {"transferred", "model_failed", "stream_lost", "carrier_faults", None}
)
"""After these a call goes on as was decided before. None: another process held it."""


class Told(Struct, frozen=True, omit_defaults=True):
    """What the carrier told of a leg, for the process that waits for it."""

    leg: str
    digits: str = ""
    status: str = ""


_TOLD = msgspec.json.Decoder(Told)


@dataclass(frozen=True, slots=True)
class Returned:
    """The caller comes back to the bot: the transfer to a destination of this name came to nothing, and why."""

    to: str
    why: str

    @property
    def text(self) -> str:
        """For a stream's token."""
        return f"{self.to} {self.why}"

    @classmethod
    def of(cls, text: str) -> "Returned":
        to, _, why = text.partition(" ")
        return cls(to, why)


class Transfers:
    """`elsewhere` passes on what the carrier told of a call that another process holds; False: none does."""

    def __init__(
        self,
        continuations: Continuations,
        legs: Legs,
        elsewhere: Callable[[str, str], Awaitable[bool]],
    ) -> None:
        self.urls = legs.urls
        self._continuations, self._legs, self._elsewhere = continuations, legs, elsewhere

    # ------------------------------------------------------------------------------ the caller's call

    async def go_on(self, call: Ticket, profile: Profile, outcome: Outcome | None) -> str | Returned | None:
        """How a call goes on whose stream has ended so; None: nothing was decided. `call` names no destination."""
        if outcome not in TRANSFERS:
            return None
        continuation = await self._continuations.of(call.call_sid)
        if continuation is None:
            if outcome == "model_failed" and profile.transfer_to and profile.transfer.when_failed:
                return self._ring(call._replace(to=DEFAULT), profile, say=profile.transfer.say)
            return None
        ticket = call._replace(to=continuation.to)
        if not continuation.room or (outcome == "model_failed" and not continuation.leg):
            return self._ring(ticket, profile, say="" if outcome == "transferred" else profile.transfer.say)
        if not continuation.leg:
            return await self._returned(ticket, profile, "declined")
        action = self.urls.after(ticket._replace(leg="met"))
        return twiml.meet(continuation.room, action, limit_s=profile.transfer.limit_s)

    async def came_back(self, ticket: Ticket, profile: Profile, form: Mapping[str, str]) -> str | Returned:
        """How a call goes on that was put through: he talked, or nobody took the call."""
        status = form.get("DialCallStatus")
        if ticket.leg and status is None:  # redirected: the colleague had gone before they met
            return await self._returned(ticket, profile, "declined")
        if ticket.leg or (status in ("completed", "answered") and form.get("DialBridged") != "false"):
            await self._continuations.forget(ticket.call_sid)
            return twiml.hang_up()
        log.info("call %.40r: the transfer to %r came to nothing: %.20s", ticket.call_sid, ticket.to, status)
        tried = [*filter(None, ticket.tried.split(",")), ticket.to]
        destination = profile.reachable.get(ticket.to)
        following = destination.fallback if destination else None
        if following in profile.reachable and following not in tried:
            return self._ring(ticket._replace(to=following, tried=",".join(tried)), profile)
        return await self._returned(ticket._replace(to=tried[0]), profile, status or "failed")

    def _ring(self, ticket: Ticket, profile: Profile, say: str = "") -> str | Returned:
        destination = profile.reachable.get(ticket.to)
        if destination is None:  # the profile was changed meanwhile
            return Returned(ticket.to, "failed")
        transfer = profile.transfer
        shows_caller = transfer.caller_id == "caller" or not ticket.number
        whispers = transfer.whisper is not None
        return twiml.put_through(
            destination.to,
            self.urls.after(ticket),
            say=say,
            language=spoken_language(profile.language),
            ring_s=transfer.ring_s,
            limit_s=transfer.limit_s,
            caller_id=None if shows_caller else ticket.number,
            whisper_url=self.urls.whisper(ticket) if whispers else None,
        )

    async def _returned(self, ticket: Ticket, profile: Profile, why: str) -> str | Returned:
        if profile.transfer.when_unanswered == "say":
            await self._continuations.forget(ticket.call_sid)
            return twiml.say_and_hang_up(profile.transfer.sorry, spoken_language(profile.language))
        if continuation := await self._continuations.of(ticket.call_sid):
            await self._continuations.keep(ticket.call_sid, replace(continuation, room="", leg=""))
        return Returned(ticket.to, why)

    async def earlier(self, call_sid: str, returned: Returned, profile: Profile) -> tuple[EarlierLine, ...]:
        """What was said before a call came back, and why it has: it is to be told to the model, once."""
        continuation = await self._continuations.of(call_sid)
        await self._continuations.forget(call_sid)
        lines = continuation.lines if continuation else ()
        why = EarlierLine("instruction", came_to_nothing(returned.to, returned.why, profile))
        return (*(EarlierLine(role, text) for role, text in lines), why)

    def ended(self, call_sid: str, outcome: Outcome, lines: Iterable[tuple[LineRole, str]]) -> None:
        """A call of this process has left its stream so, and this was said in it."""
        if outcome in TRANSFERS:
            if self._continuations.expected_here(call_sid):
                self._legs.later(self._continuations.add_lines(call_sid, lines), "keep what was said")
            return
        for leg in self._legs.taken_for(call_sid):
            self._legs.end(leg)
        if self._continuations.expected_here(call_sid):
            self._legs.later(self._continuations.forget(call_sid), "forget a transfer")

    async def caller_told(self, form: Mapping[str, str]) -> None:
        """A call is over, and was perhaps about to be transferred: then nobody waits for it any more."""
        call_sid = form.get("CallSid", "")
        if form.get("CallStatus") not in FINAL:
            return
        continuation = await self._continuations.of(call_sid)
        if continuation is None:
            return
        await self._continuations.forget(call_sid)
        waiting = self._legs.taken_for(call_sid)
        for leg in waiting:
            self._legs.end(leg)
        if continuation.leg and not waiting and self._legs.account:
            self._legs.later(self._legs.hang_up(continuation.leg), "hang up on a colleague")

    # ------------------------------------------------------------------------------ the colleague's call

    async def whisper(self, ticket: Ticket, profile: Profile) -> str:
        """What the colleague hears who has answered."""
        language = spoken_language(profile.language)
        leg = self._legs.get(ticket.leg)
        if leg:
            return twiml.ask_for_key(leg.whisper, self.urls.key(ticket), language=language)
        continuation = await self._continuations.of(ticket.call_sid)
        text = whispered(profile, ticket, continuation.summary if continuation else "")
        if not ticket.leg:
            return twiml.whisper(text, language)
        if continuation is None:
            return twiml.hang_up(CALLER_GONE)
        return twiml.ask_for_key(text, self.urls.key(ticket), language=language)

    async def key_pressed(self, ticket: Ticket, form: Mapping[str, str]) -> str:
        """The colleague has decided: he meets the caller, or is let go."""
        digits = form.get("Digits", "")[:1] or "0"
        leg = self._legs.get(ticket.leg)
        continuation = None if leg else await self._continuations.of(ticket.call_sid)
        room = leg.room if leg else continuation.room if continuation else ""
        is_waited_for = await self._tell(ticket, Told(ticket.leg, digits=digits))
        if digits != TAKES:
            return twiml.hang_up()
        if not room or not is_waited_for or (leg and leg.answer != "taken"):
            return twiml.hang_up(CALLER_GONE)
        return twiml.meet(room)

    async def leg_told(self, ticket: Ticket, form: Mapping[str, str]) -> None:
        """How the call to a colleague stands."""
        status = form.get("CallStatus", "")
        if status in FINAL and not await self._tell(ticket, Told(ticket.leg, status=status)):
            self._legs.later(self._colleague_left(ticket), "see whether a caller is alone")

    async def _tell(self, ticket: Ticket, told: Told) -> bool:
        """Let whoever waits for the leg know; False: nobody does."""
        if self.heard(ticket.call_sid, told):
            return True
        try:
            return await self._elsewhere(ticket.call_sid, msgspec.json.encode(told).decode())
        except StoreError as error:
            log.warning("what a colleague did about call %.40r cannot be passed on: %s", ticket.call_sid, error)
            return False

    def passed_on(self, call_sid: str, text: str) -> bool:
        """As `heard`, of what another process was told."""
        try:
            return self.heard(call_sid, _TOLD.decode(text))
        except msgspec.DecodeError:  # a process of another version wrote it
            return False

    def heard(self, call_sid: str, told: Told) -> bool:
        """The carrier tells of a leg; False: nobody in this process waits for it."""
        leg: Leg | None = self._legs.get(told.leg)
        if leg is None or leg.ticket.call_sid != call_sid:
            return False
        if told.status and leg.answer == "taken":
            self._legs.later(self._colleague_left(leg.ticket), "see whether a caller is alone")
        return self._legs.told(told.leg, told.digits, told.status)

    async def _colleague_left(self, ticket: Ticket) -> None:
        """He took the call, and is gone. If they never met, the caller is not to wait for him for ever."""
        continuation = await self._continuations.of(ticket.call_sid)
        if continuation is None or not continuation.room:
            return
        await self._continuations.keep(ticket.call_sid, replace(continuation, leg=""))
        await asyncio.sleep(MEETS_S)
        continuation = await self._continuations.of(ticket.call_sid)
        if continuation is None or not continuation.room or self._legs.account is None:
            return
        try:
            document = twiml.redirect(self.urls.after(ticket))
            await self._legs.account.update_call(ticket.call_sid, twiml=document)
        except AccountError as error:
            log.error("call %.40r waits for a colleague who has gone: %s", ticket.call_sid, error)
