"""
What becomes of callers who have left the bot: the carrier asks, and is told.

Who was to be put through is. Whose connection broke off comes back to the bot, also to that of another process when
his own was killed, and goes on where he was. Who can do neither is put through to a person, if the profile says so,
or is told that it cannot go on: nobody is left to a dead line.

    step = await transfers.go_on(call, stream, profile)         # the stream has ended: TwiML, Returned, or None
    step = await transfers.came_back(ticket, profile, form)     # who was put through is back: TwiML or Returned
    await transfers.caller_told(form)                           # how his call stands

Of the calls to colleagues who are asked first its `colleagues` are told.
"""

import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.agents.transfers import DEFAULT
from phonebot.audio.canned import LAST_RESORT, Clips
from phonebot.call.actions import Outcome
from phonebot.call.plan import EarlierLine
from phonebot.carrier import twiml
from phonebot.carrier.account import FINAL
from phonebot.carrier.languages import spoken_language
from phonebot.transfers.colleagues import Colleagues
from phonebot.transfers.continuations import Continuation, Continuations, Standing
from phonebot.transfers.legs import Legs
from phonebot.transfers.urls import Ticket
from phonebot.transfers.wording import broke_off, came_to_nothing

log = logging.getLogger(__name__)

BROKE_OFF = "broke_off"
GONE = "process_gone"
NOT_BEGUN = "not_begun"
"""In place of an outcome: no process has had the call on a stream."""
ANEW = "anew"
TRANSFERS: frozenset[str | None] = frozenset(
    {"transferred", "model_failed", "stream_lost", "carrier_faults", "moved", None}
)
"""After these a call goes on as was decided before. None: another process held it."""
BROKEN_OFF: frozenset[str | None] = frozenset({"stream_lost", "moved", None})
"""After these it comes back to the bot, where nothing was decided."""
MAX_RESUMED = 3
"""So often it does in one call, not counting when its process was told to stop."""
COMES_BACK_S = 20.0
"""So long a call is sent back whose stream is refused, as by a process that stops; the caller is told to wait."""
MAX_REMEMBERED = 1_000
"""Calls that left their stream here, until the carrier asks."""


@dataclass(frozen=True, slots=True)
class Returned:
    """
    The caller comes back to the bot: the transfer to a destination of this name came to nothing, and why.

    `to` "": he was put through to nobody, but his connection broke off, or the call `is_new`: it was on no stream
    yet. `held_up`: he was sent back before, and no stream came of it.
    """

    to: str
    why: str
    held_up: bool = False

    @property
    def is_new(self) -> bool:
        return self.why == ANEW

    @property
    def text(self) -> str:
        """For a stream's token."""
        return f"{self.to} {self.why}"

    @classmethod
    def of(cls, text: str) -> "Returned":
        to, _, why = text.partition(" ")
        return cls(to, why)


@dataclass(frozen=True, slots=True)
class Left:
    """
    What is known of a call on one of its streams: how it had ended, None: it had not; and how far it had come.

    Its outcome is NOT_BEGUN where it is known that no process has had it.
    """

    outcome: str | None
    standing: Standing


@dataclass(frozen=True, slots=True)
class Resumed:
    """A call is back on a stream: what the model is to know, and how far the call had come."""

    earlier: tuple[EarlierLine, ...]
    standing: Standing


async def nothing_left(call_sid: str, stream: str) -> Left | None:
    """Nothing is known of calls that other processes held."""
    return None


class Transfers:
    """
    `elsewhere`: see Colleagues. `left` says what is known of a call's stream in another process. `clips` have the
    words for a caller whose call cannot go on. `counted` is told of each call that comes back since its connection
    broke off, why: its outcome, or GONE. `clock` is time.time but in tests.
    """

    def __init__(
        self,
        continuations: Continuations,
        legs: Legs,
        elsewhere: Callable[[str, str], Awaitable[bool]],
        left: Callable[[str, str], Awaitable[Left | None]] = nothing_left,
        clips: Clips | None = None,
        counted: Callable[[str], object] = lambda why: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.urls = legs.urls
        self.colleagues = Colleagues(continuations, legs, elsewhere)
        self._continuations, self._legs = continuations, legs
        self._left, self._clips, self._counted = left, clips or Clips(), counted
        self._clock = clock
        # Of calls that left a stream here: the name of the latest, and how.
        self._left_here: OrderedDict[str, tuple[str, Left]] = OrderedDict()

    async def go_on(self, call: Ticket, stream: str, profile: Profile) -> str | Returned | None:
        """How a call goes on whose stream of this name has ended; None: it ends. `call` names no destination."""
        here = self._left_on(call.call_sid, stream)
        if here and here.outcome not in TRANSFERS:
            return None
        continuation = await self._continuations.of(call.call_sid)
        if continuation is None or not continuation.to:
            return await self._without_transfer(call, stream, profile, here, continuation)
        ticket = call._replace(to=continuation.to)
        how = here.outcome if here else None
        if not continuation.room or (how == "model_failed" and not continuation.leg):
            return self._ring(ticket, profile, say="" if how == "transferred" else profile.transfer.say)
        if not continuation.leg:
            return await self._returned(ticket, profile, "declined")
        action = self.urls.after(ticket._replace(leg="met"))
        return twiml.meet(continuation.room, action, limit_s=profile.transfer.limit_s)

    def _left_on(self, call_sid: str, stream: str) -> Left | None:
        """How a call has left a stream here; None: it has not, or that is forgotten."""
        latest, left = self._left_here.get(call_sid, ("", None))
        return left if latest == stream else None

    async def _without_transfer(
        self, call: Ticket, stream: str, profile: Profile, here: Left | None, continuation: Continuation | None
    ) -> str | Returned | None:
        """
        The same where nobody was to be put through. `continuation`: it was to come back already; on this stream it
        has not, unless it was `here`.
        """
        if continuation and here is None:
            return self._held_up(call, profile, continuation)
        left = here or await self._left(call.call_sid, stream)
        if left is None:
            return self.fails(call, profile)
        how, standing = left.outcome, left.standing
        if how == NOT_BEGUN:
            log.info("call %.40r is sent to the bot again: no stream came", call.call_sid)
            await self._continuations.keep(call.call_sid, Continuation("", since_s=self._clock(), is_new=True))
            return Returned("", ANEW)
        if how not in TRANSFERS:
            return None
        # One that was moved had no trouble: it may be as often as processes are replaced.
        resumed = standing.resumed + (how != "moved")
        if how not in BROKEN_OFF or resumed > MAX_RESUMED:
            return self.fails(call, profile, standing)
        self._left_here.pop(call.call_sid, None)  # what is asked once more is not answered by it
        self._counted(how or GONE)
        log.info("call %.40r comes back to the bot: %s", call.call_sid, how or GONE)
        kept = Continuation("", standing=replace(standing.cut(), resumed=resumed), since_s=self._clock())
        await self._continuations.keep(call.call_sid, kept)
        return Returned("", BROKE_OFF)

    def _held_up(self, call: Ticket, profile: Profile, kept: Continuation) -> str | Returned:
        """A call that was to come back, and has not: its stream was refused. Another process may take it."""
        if self._clock() - kept.since_s > COMES_BACK_S:
            return self.fails(call, profile, kept.standing)
        log.info("call %.40r is sent back to the bot again: no stream came", call.call_sid)
        return Returned("", ANEW if kept.is_new else BROKE_OFF, held_up=True)

    def fails(self, call: Ticket, profile: Profile, standing: Standing | None = None) -> str:
        """What becomes of a caller with whom the bot cannot go on. `standing`: how far his call had come."""
        if profile.transfer_to and profile.transfer.when_failed:
            ringing = self._ring(call._replace(to=DEFAULT), profile, say=profile.transfer.say)
            if isinstance(ringing, str):
                return ringing
        if standing and self._has_parted(standing, profile):
            return twiml.hang_up()
        return twiml.say_and_hang_up(*self._told(profile, "goodbye"))

    def _has_parted(self, standing: Standing, profile: Profile) -> bool:
        """The caller has heard from the bot already that his call cannot go on, as the last that it said."""
        said = next((text for role, text in reversed(standing.lines) if role == "bot"), "")
        return said == self._clips.of(standing.language or profile.language).goodbye.text

    def hold_on(self, profile: Profile) -> tuple[str, str | None]:
        """What a caller is told who has to wait, and in which language: a tag that the carrier knows, or None."""
        return self._told(profile, "wait")

    def _told(self, profile: Profile, words: Literal["wait", "goodbye"]) -> tuple[str, str | None]:
        language = profile.language
        text: str = getattr(self._clips.of(language), words).text
        # Words in another language, said by a voice of this one, nobody would understand.
        if text == getattr(self._clips.of(LAST_RESORT), words).text and not language.startswith(LAST_RESORT):
            language = LAST_RESORT
        return text, spoken_language(language)

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

    async def begun(self, call_sid: str) -> None:
        """A call that `is_new` is on its first stream."""
        await self._continuations.forget(call_sid)

    async def resumed(self, call_sid: str, returned: Returned, profile: Profile) -> Resumed:
        """A call is back on a stream: what was said before, and why it is, are to be told to the model, once."""
        continuation = await self._continuations.of(call_sid)
        await self._continuations.forget(call_sid)
        standing = continuation.standing if continuation else Standing()
        why = came_to_nothing(returned.to, returned.why, profile) if returned.to else broke_off(standing)
        said = (EarlierLine(role, text) for role, text in standing.lines)
        return Resumed((*said, EarlierLine("instruction", why)), standing)

    def ended(self, call_sid: str, stream: str, outcome: Outcome, standing: Standing) -> None:
        """A call of this process has left a stream so, and had come so far."""
        goes_on = outcome in TRANSFERS
        self._left_here[call_sid] = stream, Left(outcome, standing.cut() if goes_on else Standing())
        while len(self._left_here) > MAX_REMEMBERED:
            self._left_here.popitem(last=False)
        if goes_on:
            if self._continuations.expected_here(call_sid):
                self._legs.later(self._continuations.add(call_sid, standing), "keep what was said")
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
        self._left_here.pop(call_sid, None)
        continuation = await self._continuations.of(call_sid)
        if continuation is None:
            return
        await self._continuations.forget(call_sid)
        waiting = self._legs.taken_for(call_sid)
        for leg in waiting:
            self._legs.end(leg)
        if continuation.leg and not waiting and self._legs.account:
            self._legs.later(self._legs.hang_up(continuation.leg), "hang up on a colleague")
