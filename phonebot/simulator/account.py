"""
What there is in an emulated account: its numbers, its legs, whom they can reach, its conferences and recordings.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from phonebot.simulator.callees import Callee, Invalid
from phonebot.simulator.caller import Event
from phonebot.simulator.conference import Conference
from phonebot.simulator.leg import Leg
from phonebot.simulator.notices import Notices
from phonebot.simulator.record import CallRecord
from phonebot.simulator.recording import Recording, RecordingOrder
from phonebot.simulator.rest import Number
from phonebot.simulator.terms import Terms

E164 = re.compile(r"\+[1-9]\d{1,14}")
SIP = re.compile(r"sips?:[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True)
class BoardEvent:
    """An event of one leg (`CallRecord.events`) among those of all: `number` is that of the person at its phone."""

    number: str
    kind: str
    detail: str
    call_sid: str
    at_ms: float  # of the leg's own clock

    def __str__(self) -> str:
        return f"{self.number} {self.kind} {self.detail}".rstrip()


class Account:
    """
    The state of an account, while it is in use.

    `strict` refuses a caller ID that is neither the account's nor the call's; numbers that are not in `callees`
    reach `anybody`.
    """

    def __init__(self, terms: Terms, notices: Notices, *, strict: bool = True) -> None:
        self.terms, self.notices = terms, notices
        self.strict = strict
        self.base_url = ""  # of the account's resources in the REST API, once that is served
        self.numbers: list[Number] = []
        self.verified: set[str] = set()  # caller IDs of others, which the account may use
        self.callees: dict[str, Callee] = {}
        self.anybody: Callee = Invalid()
        self.legs: dict[str, Leg] = {}  # all there ever were, by CallSid
        self.conferences: list[Conference] = []  # likewise
        self.recordings: dict[str, Recording] = {}  # by RecordingSid; without those that were deleted
        self.events: list[BoardEvent] = []
        self.happened = asyncio.Event()  # set by each event; whoever waits for one clears it
        self._lives: set[asyncio.Task[CallRecord]] = set()

    def owns(self, number: str) -> bool:
        """Whether the account may call from a number."""
        return number in self.verified or any(each.phone_number == number for each in self.numbers)

    def callee(self, number: str) -> Callee:
        """Whom a number reaches."""
        is_address = E164.fullmatch(number) or SIP.fullmatch(number)
        return self.callees.get(number, self.anybody) if is_address else Invalid()

    def _note(self, leg: Leg, event: Event) -> None:
        self.events.append(BoardEvent(leg.record.number, event.kind, event.detail, leg.sid, event.at_ms))
        self.happened.set()

    # ------------------------------------------------------------------ legs

    def adopt(self, leg: Leg, life: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[CallRecord]:
        """Have a leg live its life, beside whoever wanted it."""
        self.legs[leg.sid] = leg
        leg.observers.append(partial(self._note, leg))
        task = asyncio.create_task(leg.live(life))
        self._lives.add(task)
        return task

    async def settled(self) -> None:
        """Until no leg lives any more, and all callbacks have been told. Raises what a leg failed with."""
        while self._lives:
            done, _ = await asyncio.wait(set(self._lives), return_when=asyncio.FIRST_COMPLETED)
            self._lives -= done
            for task in done:
                task.result()
        await self.notices.delivered()

    async def close(self) -> None:
        """Cut off the legs that still live. Raises what one failed with, which nobody has heard of."""
        for task in self._lives:
            task.cancel()
        ends = await asyncio.gather(*self._lives, return_exceptions=True)
        await self.notices.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    # ------------------------------------------------------------------ conferences and recordings

    def conference(self, name: str) -> Conference:
        """The conference of this name that has not ended, or a new one."""
        found = next((each for each in self.conferences if each.name == name and each.status != "completed"), None)
        if found is None:
            found = Conference(self.terms.account_sid, name, self.notices.tell)
            self.conferences.append(found)
        return found

    def record(self, leg: Leg, order: RecordingOrder) -> Recording:
        """Begin to record a leg."""
        recording = Recording(
            leg,
            order,
            self.base_url,
            lambda method, url, fields: self.notices.tell(leg.sid, "recording", method, url, fields),
        )
        self.recordings[recording.sid] = recording
        return recording

    def recordings_of(self, leg: Leg) -> list[Recording]:
        return [each for each in self.recordings.values() if each.leg is leg]
