"""
Conferences: legs that hear each other, or wait with music until they do (Twilio, TwiML Conference).

A conference starts when two are in it, of whom one at least may start it. It ends when the last one leaves, or
one does whose leaving ends it; the others then go on with what stands after their Dial.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal

from phonebot.simulator.announcing import announce, play_music
from phonebot.simulator.carrier import SILENCE
from phonebot.simulator.leg import Leg, new_sid
from phonebot.simulator.recording import mix
from phonebot.simulator.signing import Fields
from phonebot.simulator.terms import Over

EVENTS = frozenset({"start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"})


@dataclass(frozen=True, slots=True)
class Seat:
    """How a leg takes part: the attributes of its Conference noun, or the parameters of its Participant."""

    label: str = ""
    muted: bool = False
    beep: str = "true"
    starts: bool = True
    ends: bool = False
    wait_url: str | None = None  # None: the carrier's music; "": silence
    wait_method: str = "POST"
    callback_url: str | None = None
    callback_method: str = "POST"
    callback_events: frozenset[str] = frozenset()
    most: int = 250


@dataclass(slots=True, eq=False)
class Participant:
    """A leg in a conference."""

    leg: Leg
    seat: Seat
    muted: bool
    ends: bool
    hold: bool = False
    hold_music: tuple[str | None, str] = (None, "POST")  # URL as of a seat's wait_url, method
    removed: asyncio.Future[str] = field(default_factory=asyncio.Future)  # why it has to leave
    music: asyncio.Task[None] | None = None  # what it is played while it waits or is held
    musics: list[asyncio.Task[None]] = field(default_factory=list)  # all that were, until it leaves


class Conference:
    """
    One conference. `tell` is given each change that its callback is to be told: lane, purpose, method, URL,
    fields.
    """

    def __init__(self, account_sid: str, name: str, tell: Callable[[str, str, str, str, Fields], None]) -> None:
        self.sid = new_sid("CF")
        self.name = name
        self.status: Literal["init", "in-progress", "completed"] = "init"
        self.created = datetime.now(UTC)
        self.participants: list[Participant] = []
        self.ended_reason: str | None = None  # ReasonConferenceEnded; None: it has not
        self.ended_by: str | None = None  # the CallSid of whoever ended it
        self._account_sid, self._tell = account_sid, tell
        self._first: Seat | None = None  # whose callback it is: the first one's; None: nobody has come yet
        self._sequence = 0
        self._announcements: set[asyncio.Task[None]] = set()  # under way; each ends with those who hear it
        self._bridged: set[tuple[Participant, Participant]] = set()  # who hear each other, both ways round

    # ------------------------------------------------------------------ coming and going

    async def attend(self, leg: Leg, seat: Seat) -> None:
        """Take part until the leg is removed or the conference ends. Cancelled, the leg leaves."""
        me = Participant(leg, seat, seat.muted, seat.ends)
        try:
            with leg.on_line(lambda: self._mix_for(me)):
                self._join(me)
                reason = await me.removed
        except asyncio.CancelledError:
            hung_up = isinstance(leg.interrupted_by, Over)
            reason = "participant_hung_up" if hung_up else "participant_updated_via_api"
            raise
        finally:
            for music in me.musics:
                music.cancel()
            await asyncio.gather(*me.musics, return_exceptions=True)
            self._leave(me, reason)

    def remove(self, participant: Participant) -> None:
        """Have one leave; he goes on with what stands after his Dial."""
        self._dismiss(participant, "participant_updated_via_api")

    def end(self, reason: str, by: Participant | None = None) -> None:
        """Have all leave, for a ReasonConferenceEnded."""
        if self.status == "completed":
            return
        self.status, self.ended_reason = "completed", reason
        self.ended_by = None if by is None else by.leg.sid
        via_api = reason == "conference-ended-via-api"
        for participant in self.participants:
            self._dismiss(participant, "conference_ended_via_api" if via_api else "moderator_ended_conference")
        if not self.participants:
            self._notify_end()

    def not_joined(self, leg: Leg, seat: Seat, status: str) -> None:
        """One who was called into the conference was not reached, which is told as if he had left."""
        self._first = self._first or seat
        failed = (("ParticipantCallStatus", status), ("ReasonParticipantLeft", "participant_add_failed"))
        self._notify("leave", "participant-leave", Participant(leg, seat, seat.muted, seat.ends), failed)

    def find(self, call_sid_or_label: str) -> Participant | None:
        return next(
            (each for each in self.participants if call_sid_or_label in (each.leg.sid, each.seat.label)), None
        )

    def _dismiss(self, participant: Participant, reason: str) -> None:
        if not participant.removed.done():
            participant.removed.set_result(reason)

    def _join(self, me: Participant) -> None:
        self._first = self._first or me.seat
        self.participants.append(me)
        me.leg.tell("joins conference", self.name)
        self._notify("join", "participant-join", me)
        if self.status == "init" and len(self.participants) > 1 and any(p.seat.starts for p in self.participants):
            self.status = "in-progress"
            self._notify("start", "conference-start")
        self._settle()
        if self.status == "in-progress" and me.seat.beep in ("true", "onEnter"):
            self._beep()

    def _leave(self, me: Participant, reason: str) -> None:
        self.participants.remove(me)
        self._settle()
        me.leg.tell("leaves conference", self.name)
        if me.seat.beep in ("true", "onExit"):
            self._beep()
        left = (("ParticipantCallStatus", self._status_of(me.leg)), ("ReasonParticipantLeft", reason))
        self._notify("leave", "participant-leave", me, left)
        kicked = "kicked" if me.removed.done() and not me.removed.cancelled() else "left"
        if self.status == "completed":
            if not self.participants:
                self._notify_end()
        elif me.ends:
            self.end(f"participant-with-end-conference-on-exit-{kicked}", me)
        elif not self.participants:
            self.end(f"last-participant-{kicked}", me)

    def _status_of(self, leg: Leg) -> str:
        return "completed" if isinstance(leg.interrupted_by, Over) else leg.status

    def _beep(self) -> None:
        for participant in self.participants:
            participant.leg.tell("plays", "beep")

    # ------------------------------------------------------------------ who hears whom

    def change(self, participant: Participant, *, muted: bool | None = None, hold: bool | None = None) -> None:
        """Mute or hold one, or no longer."""
        if muted is not None and muted != participant.muted:
            participant.muted = muted
            participant.leg.tell("muted" if muted else "unmuted")
            self._notify("mute", "participant-mute" if muted else "participant-unmute", participant)
        if hold is not None and hold != participant.hold:
            participant.hold = hold
            participant.leg.tell("held" if hold else "unheld")
            self._notify("hold", "participant-hold" if hold else "participant-unhold", participant)
            self._settle()

    def modified(self, participant: Participant) -> None:
        """An attribute of one's has been changed."""
        self._notify("modify", "participant-modify", participant)

    def announce(self, url: str, method: str, participant: Participant | None = None) -> None:
        """Play what a URL answers to one, or to all, beside whatever else he or they hear."""
        to = self.participants if participant is None else [participant]
        tasks = [asyncio.create_task(_play(each.leg, announce(each.leg, url, method))) for each in to]
        for each, task in zip(to, tasks, strict=True):
            each.musics.append(task)
        ended = asyncio.create_task(self._tell_when_announced(tasks, url, participant))
        self._announcements.add(ended)
        ended.add_done_callback(self._announcements.discard)

    async def _tell_when_announced(
        self, tasks: Sequence[asyncio.Task[None]], url: str, participant: Participant | None
    ) -> None:
        await asyncio.gather(*tasks, return_exceptions=True)  # one who leaves has his cancelled
        self._notify("announcement", "announcement-end", participant, (("AnnounceUrl", url),))

    def _mix_for(self, me: Participant) -> bytes:
        voices = [
            other.leg.handset.said
            for other in self.participants
            if (me, other) in self._bridged and not other.muted and other.leg.handset.said != SILENCE
        ]
        return (voices[0] if len(voices) == 1 else mix(*voices)) if voices else SILENCE

    def _settle(self) -> None:
        """Connect those who now hear each other, part those who no longer do, and play music to who waits."""
        together = [each for each in self.participants if self._takes_part(each)]
        bridged = {(one, other) for one in together for other in together if one is not other}
        for one, other in sorted(self._bridged - bridged, key=self._order):
            one.leg.tell("parted from", other.leg.record.number)
        for one, other in sorted(bridged - self._bridged, key=self._order):
            one.leg.tell("bridged with", other.leg.record.number)
        self._bridged = bridged
        for each in self.participants:
            self._play_or_stop(each, waits=not self._takes_part(each))

    def _order(self, pair: tuple[Participant, Participant]) -> tuple[str, str]:
        return pair[0].leg.record.number, pair[1].leg.record.number

    def _takes_part(self, participant: Participant) -> bool:
        return self.status == "in-progress" and not participant.hold and not participant.removed.done()

    def _play_or_stop(self, participant: Participant, waits: bool) -> None:
        if waits and participant.music is None and not participant.removed.done():
            seat = participant.seat
            url, method = participant.hold_music if participant.hold else (seat.wait_url, seat.wait_method)
            participant.music = asyncio.create_task(
                _play(participant.leg, play_music(participant.leg, url, method))
            )
            participant.musics.append(participant.music)
        elif not waits and participant.music is not None:
            participant.music.cancel()
            participant.music = None

    # ------------------------------------------------------------------ callbacks

    def _notify_end(self) -> None:
        reason = self.ended_reason or ""
        by = (("CallSidEndingConference", self.ended_by),) if self.ended_by else ()
        self._notify("end", "conference-end", None, (("ReasonConferenceEnded", reason), *by, ("Reason", reason)))

    def _notify(
        self, subscribed: str, event: str, participant: Participant | None = None, extra: Fields = ()
    ) -> None:
        """
        Tell the first participant's callback, if it wants to know. (Twilio, TwiML Conference, statusCallback.)
        """
        first = self._first
        self._sequence += 1
        if first is None or first.callback_url is None or subscribed not in first.callback_events:
            return
        fields: list[tuple[str, str]] = [
            ("AccountSid", self._account_sid),
            ("ConferenceSid", self.sid),
            ("FriendlyName", self.name),
            ("SequenceNumber", str(self._sequence)),
            ("StatusCallbackEvent", event),
            ("Timestamp", format_datetime(datetime.now(UTC))),
        ]
        if participant is not None:
            fields += _participant_fields(participant)
        self._tell(self.sid, "conference", first.callback_method, first.callback_url, (*fields, *extra))


async def _play(leg: Leg, sound: Coroutine[Any, Any, object]) -> None:
    try:
        await sound
    except Over as over:  # its TwiML names an address that is none
        leg.interrupt(over)


def _participant_fields(participant: Participant) -> Fields:
    return (
        ("CallSid", participant.leg.sid),
        ("Coaching", "false"),
        ("EndConferenceOnExit", _text(participant.ends)),
        ("Hold", _text(participant.hold)),
        ("Muted", _text(participant.muted)),
        ("StartConferenceOnEnter", _text(participant.seat.starts)),
        *((("ParticipantLabel", participant.seat.label),) if participant.seat.label else ()),
    )


def _text(flag: bool) -> str:
    return "true" if flag else "false"
