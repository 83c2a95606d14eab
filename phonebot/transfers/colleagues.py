"""
Colleagues who are asked, before the caller is connected, whether they take him: what they hear and decide.

    document = await colleagues.whisper(ticket, profile)        # one has answered: TwiML
    document = await colleagues.key_pressed(ticket, form)       # he has decided: TwiML
    await colleagues.leg_told(ticket, form)                     # how the call to him stands

The carrier asks whichever process it reaches; the one that has the caller waits for the answer (legs.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.carrier import twiml
from phonebot.carrier.account import FINAL
from phonebot.carrier.languages import spoken_language
from phonebot.errors import AccountError, StoreError
from phonebot.transfers.continuations import Continuations
from phonebot.transfers.legs import TAKES, Leg, Legs
from phonebot.transfers.urls import Ticket
from phonebot.transfers.wording import whispered

log = logging.getLogger(__name__)

CALLER_GONE = "The caller has hung up. Goodbye."
MEETS_S = 3.0
"""So long after a colleague has gone his room's end may take to be told of."""


class Told(Struct, frozen=True, omit_defaults=True):
    """What the carrier told of a leg, for the process that waits for it."""

    leg: str
    digits: str = ""
    status: str = ""


_TOLD = msgspec.json.Decoder(Told)


class Colleagues:
    """`elsewhere` passes on what the carrier told of a call that another process holds; False: none does."""

    def __init__(
        self, continuations: Continuations, legs: Legs, elsewhere: Callable[[str, str], Awaitable[bool]]
    ) -> None:
        self._continuations, self._legs, self._elsewhere = continuations, legs, elsewhere

    async def whisper(self, ticket: Ticket, profile: Profile) -> str:
        """What the colleague hears who has answered."""
        language = spoken_language(profile.language)
        leg = self._legs.get(ticket.leg)
        if leg:
            return twiml.ask_for_key(leg.whisper, self._legs.urls.key(ticket), language=language)
        continuation = await self._continuations.of(ticket.call_sid)
        text = whispered(profile, ticket, continuation.summary if continuation else "")
        if not ticket.leg:
            return twiml.whisper(text, language)
        if continuation is None:
            return twiml.hang_up(CALLER_GONE)
        return twiml.ask_for_key(text, self._legs.urls.key(ticket), language=language)

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
        if self._heard(ticket.call_sid, told):
            return True
        try:
            return await self._elsewhere(ticket.call_sid, msgspec.json.encode(told).decode())
        except StoreError as error:
            log.warning("what a colleague did about call %.40r cannot be passed on: %s", ticket.call_sid, error)
            return False

    def passed_on(self, call_sid: str, text: str) -> bool:
        """Another process was told this of a leg; False: nobody in this process waits for it."""
        try:
            return self._heard(call_sid, _TOLD.decode(text))
        except msgspec.DecodeError:  # a process of another version wrote it
            return False

    def _heard(self, call_sid: str, told: Told) -> bool:
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
            document = twiml.redirect(self._legs.urls.after(ticket))
            await self._legs.account.update_call(ticket.call_sid, twiml=document)
        except AccountError as error:
            log.error("call %.40r waits for a colleague who has gone: %s", ticket.call_sid, error)
