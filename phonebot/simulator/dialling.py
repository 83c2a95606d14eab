"""
Dial: the leg is connected with others, by number or in a conference (Twilio, TwiML Dial, Number, Conference).

A number is called by a leg of its own. Who answers first hears the Number's `url` alone (the whisper) and is then
bridged with the one who dialled; the others' phones stop ringing.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, TypeAlias

from phonebot.simulator.account import E164, SIP, Account
from phonebot.simulator.conference import Seat
from phonebot.simulator.document import Document, Element
from phonebot.simulator.leg import Leg
from phonebot.simulator.racing import first_of
from phonebot.simulator.ringing import Ring, find_out, party_of, ring
from phonebot.simulator.signing import Fields
from phonebot.simulator.terms import Over, Replaced, Source, StatusCallback

MOST_NUMBERS = 10
PERFORMED = {
    "Dial": frozenset({"action", "method", "timeout", "timeLimit", "callerId", "hangupOnStar", "answerOnBridge"}),
    "Number": frozenset(
        {"url", "method", "sendDigits", "statusCallback", "statusCallbackMethod", "statusCallbackEvent"}
    ),
    "Sip": frozenset({"url", "method", "statusCallback", "statusCallbackMethod", "statusCallbackEvent"}),
    "Conference": frozenset(
        {
            "participantLabel",
            "muted",
            "beep",
            "startConferenceOnEnter",
            "endConferenceOnExit",
            "waitUrl",
            "waitMethod",
            "maxParticipants",
            "statusCallback",
            "statusCallbackMethod",
            "statusCallbackEvent",
        }
    ),
}
RINGS_S, LASTS_S = 30, 14_400  # Twilio, TwiML Dial, timeout and timeLimit


Run: TypeAlias = Callable[[Account, Leg, Source], Coroutine[Any, Any, None]]
"""How a leg runs TwiML: `performing.run`."""


async def dial(account: Account, leg: Leg, verb: Element, document: Document, run: Run) -> Document | None:
    """
    Connect the leg; return the document of the action, None when there is none: the next verb is due.

    `run` is for the TwiML of the legs that are called.
    """
    leg.tell("dials", verb.whole_text())
    for element in (verb, *verb.children):
        _pass_over(leg, element)
    conference = next((child for child in verb.children if child.name == "Conference"), None)
    work = _Dial(account, leg, verb, document, run)
    try:
        if conference is None:
            result = await work.dial_numbers()
        else:
            await _attend(account, leg, verb, conference, document)
            result = (("DialCallStatus", "answered"),)
    except asyncio.CancelledError:
        action = verb.attributes.get("action")
        if action is not None and isinstance(leg.interrupted_by, Over):
            # Twilio tells the action all the same, but nobody is there to hear its TwiML.
            leg.record.status = "completed"
            leg.call_back("dial action", leg.absolute(document, action), work.cut_off(conference), verb.method)
        raise
    if "action" not in verb.attributes:
        return None
    return await leg.follow("dial action", document, verb.attributes["action"], verb, result)


def _pass_over(leg: Leg, element: Element) -> None:
    """Note the attributes that this carrier does not act upon: Twilio's others, and none of Twilio's."""
    for name in sorted(element.attributes.keys() - PERFORMED.get(element.name, frozenset())):
        leg.tell("passes over", f"{name[:40]} of {element.name}")


def _is_address(text: str) -> bool:
    return bool(E164.fullmatch(text) or SIP.fullmatch(text))


@dataclass(frozen=True, slots=True)
class _Noun:
    """A number to call, with its attributes."""

    number: str
    attributes: dict[str, str]


class _Dial:
    """One Dial of numbers."""

    def __init__(self, account: Account, leg: Leg, verb: Element, document: Document, run: Run) -> None:
        self._account, self._leg, self._verb, self._document, self._run = account, leg, verb, document, run
        self._children: list[_Child] = []
        self._bridged = False
        self._connected: _Child | None = None  # who answered; None: nobody has yet

    async def dial_numbers(self) -> Fields:
        """Call the numbers and stay with who answers; return what the action is told."""
        leg = self._leg
        nouns = self._nouns()
        if not nouns:
            return (("DialCallStatus", "failed"),)
        self._children = [self._place(noun) for noun in nouns]
        try:
            with leg.on_line():
                child = await self._first_answered()
                if child is not None:
                    await self._talk(child)
        finally:
            for each in self._children:
                each.let_go()
        for each in self._children:
            await each.leg.parted.wait()
        return self._result()

    def cut_off(self, conference: Element | None) -> Fields:
        """What the action is told when the one who dialled has hung up."""
        if conference is not None:
            return (("DialCallStatus", "answered"),)
        if self._connected is None:
            return (("DialCallStatus", "no-answer"), ("DialBridged", "false"))
        return self._result()

    # ------------------------------------------------------------------ before

    def _nouns(self) -> list[_Noun]:
        """The numbers that can be called; what is wrong with the others is a violation."""
        children, own = self._verb.children, self._verb.text.strip()
        nouns = [_Noun(own, {})] if own else []
        for child in children:
            if child.name in ("Number", "Sip"):
                nouns.append(_Noun(child.text.strip(), child.attributes))
            else:
                self._leg.violation(None, f"Dial holds a <{child.name[:40]}>: only Number, Sip, Conference")
        for noun in nouns:
            if not _is_address(noun.number):
                self._leg.violation(13224, f"Dial: {noun.number[:40]!r} is no number in E.164 format")
        return [noun for noun in nouns if _is_address(noun.number)][:MOST_NUMBERS] if self._may_call() else []

    def _may_call(self) -> bool:
        caller_id = self._verb.attributes.get("callerId")
        record = self._leg.record
        if caller_id in (None, record.from_number, record.to_number) or not self._account.strict:
            return True
        if self._account.owns(caller_id or ""):
            return True
        self._leg.violation(13214, f"Dial callerId {caller_id!r} is neither the account's nor this call's number")
        return False

    def _place(self, noun: _Noun) -> "_Child":
        leg, attributes = self._leg, self._verb.attributes
        caller_id = attributes.get("callerId") or leg.record.from_number
        callee = self._account.callee(noun.number)
        ringing = Ring(callee, _seconds(leg, attributes, "timeout", RINGS_S), noun.attributes.get("sendDigits", ""))
        child = Leg(
            party_of(callee),
            leg.terms,
            from_number=caller_id,
            to_number=noun.number,
            direction="outbound-dial",
            parent_sid=leg.sid,
        )
        if "statusCallback" in noun.attributes:
            child.status_callback = StatusCallback(
                leg.absolute(self._document, noun.attributes["statusCallback"]),
                noun.attributes.get("statusCallbackMethod", "POST"),
                frozenset(noun.attributes.get("statusCallbackEvent", "completed").split()),
            )
        whisper = noun.attributes.get("url")
        method = "GET" if noun.attributes.get("method", "").upper() == "GET" else "POST"
        source = None if whisper is None else Source("whisper", leg.absolute(self._document, whisper), method)
        placed = _Child(child, ringing, source, partial(self._run, self._account, child))
        self._account.adopt(child, placed.live)
        return placed

    async def _first_answered(self) -> "_Child | None":
        """Who answered first, after the whisper if there is one; None when nobody did."""
        waiting = list(self._children)
        while waiting:
            first = waiting[await first_of(*(each.answered_or_over() for each in waiting))]
            if first.leg.is_answered and not first.leg.parted.is_set():
                self._connected = first
                for other in self._children:
                    if other is not first:
                        other.let_go()
                await first_of(first.is_ready.wait(), first.leg.parted.wait())
                return first if first.is_ready.is_set() else None
            waiting.remove(first)
        return None

    # ------------------------------------------------------------------ together

    async def _talk(self, child: "_Child") -> None:
        leg = self._leg
        leg.answer()
        self._bridged = True
        limit_ms = _seconds(leg, self._verb.attributes, "timeLimit", LASTS_S) * 1000
        with _bridge(leg, child.leg):
            await first_of(
                child.leg.parted.wait(),
                leg.rest(limit_ms),
                _relay_keys(leg, child.leg, self._verb.attributes.get("hangupOnStar") == "true"),
                _relay_keys(child.leg, leg),
            )

    def _result(self) -> Fields:
        child = self._connected or self._children[-1]
        status = child.leg.status
        if self._connected is not None and not child.leg.is_over:
            status = "completed"  # it goes on, but no longer with this one
        fields = [("DialCallStatus", status), ("DialCallSid", child.leg.sid)]
        if child.leg.is_answered:
            fields.append(("DialCallDuration", str(ceil(child.leg.lasted_ms / 1000))))
        return (*fields, ("DialBridged", "true" if self._bridged else "false"))


class _Child:
    """A leg that a Dial calls."""

    def __init__(self, leg: Leg, ringing: Ring, whisper: Source | None, run: Callable[[Source], Any]) -> None:
        self.leg = leg
        self.is_ready = asyncio.Event()  # to be bridged
        self._ringing, self._whisper, self._run = ringing, whisper, run

    async def live(self) -> None:
        """Ring, hear the whisper, and then talk with the one who dialled, or do what the REST API says."""
        leg = self.leg
        await leg.interruptibly(self._begin())
        if self._whisper is not None:
            await self._run(self._whisper)
        if leg.parted.is_set():
            return
        self.is_ready.set()
        try:
            await leg.interruptibly(leg.ended.wait())
        except Replaced as replaced:
            leg.parted.set()
            await self._run(replaced.source)

    async def _begin(self) -> None:
        await ring(self.leg, self._ringing)
        await find_out(self.leg, self._ringing)

    async def answered_or_over(self) -> None:
        await first_of(self.leg.answered.wait(), self.leg.parted.wait())

    def let_go(self) -> None:
        """The one who dialled is gone, or talks with another."""
        if not self.leg.parted.is_set():
            self.leg.interrupt(Over("other side hung up", "", None if self.leg.is_answered else "canceled"))


@contextmanager
def _bridge(one: Leg, other: Leg) -> Iterator[None]:
    """Two legs hear each other while the block runs."""
    with one.on_line(lambda: other.handset.said), other.on_line(lambda: one.handset.said):
        one.tell("bridged with", other.record.number)
        other.tell("bridged with", one.record.number)
        try:
            yield
        finally:
            one.tell("parted from", other.record.number)
            other.tell("parted from", one.record.number)


async def _relay_keys(leg: Leg, other: Leg, star_ends: bool = False) -> None:
    """The other hears the keys that the leg's person presses; until he presses a star, where that ends it."""
    with leg.taking_keys() as keys:
        while True:
            await keys.come()
            key = keys.take()
            if key == "*" and star_ends:
                return
            other.tell("hears key", key)


async def _attend(account: Account, leg: Leg, verb: Element, noun: Element, document: Document) -> None:
    seat = seat_of(leg, noun, document)
    conference = account.conference(noun.text.strip())
    if seat.label and conference.find(seat.label):
        leg.violation(16025, f"the conference has a participant {seat.label[:40]!r} already")
        return
    if len(conference.participants) >= seat.most:
        leg.violation(None, f"the conference has {seat.most} participants already")
        return
    await first_of(
        conference.attend(leg, seat),
        leg.rest(_seconds(leg, verb.attributes, "timeLimit", LASTS_S) * 1000),
        _star(leg, verb.attributes.get("hangupOnStar") == "true"),
    )


async def _star(leg: Leg, ends: bool) -> None:
    """Until the leg's person presses a star, where that ends his Dial."""
    with leg.taking_keys("*" if ends else "") as keys:
        await keys.come()


def seat_of(leg: Leg, noun: Element, document: Document) -> Seat:
    """How a leg takes part, by its Conference noun."""
    attributes = noun.attributes

    def url(name: str) -> str | None:
        given = attributes.get(name)
        return leg.absolute(document, given) if given else given

    most = attributes.get("maxParticipants", "")
    return Seat(
        label=attributes.get("participantLabel", ""),
        muted=attributes.get("muted") == "true",
        beep=attributes.get("beep", "true"),
        starts=attributes.get("startConferenceOnEnter", "true") == "true",
        ends=attributes.get("endConferenceOnExit") == "true",
        wait_url=url("waitUrl"),
        wait_method=attributes.get("waitMethod", "POST"),
        callback_url=url("statusCallback") or None,
        callback_method=attributes.get("statusCallbackMethod", "POST"),
        callback_events=frozenset(attributes.get("statusCallbackEvent", "").split()),
        most=min(int(most), 250) if most.isdecimal() else 250,
    )


def _seconds(leg: Leg, attributes: dict[str, str], name: str, default: int) -> int:
    text = attributes.get(name)
    if text is None:
        return default
    if not text.isdecimal() or not int(text[:6]):
        leg.violation(None, f"Dial {name} {text[:20]!r} is no number of seconds")
        return default
    return int(text[:6])
