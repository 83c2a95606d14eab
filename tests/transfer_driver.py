"""
A caller, the whole service with its embedded model, and an account at the emulated carrier with colleagues in it.

    async with staged(start_service, profile, {COLLEAGUE: Human(...)}) as stage:
        record = await stage.called(*ASKS, WaitForHangUp())
        stage.heard_by(COLLEAGUE)

Ringing and what is said on the line pass a hundred times as fast as real time; media streams do not.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from board_driver import ADA
from service_driver import ACCOUNT_SID, PROFILE, SPEECH, TOKEN, Service, StartService, until
from switchboard_driver import CALLER, COLLEAGUE, LINE

from phonebot.agents.profile import Profile
from phonebot.call.actions import Line
from phonebot.simulator.callees import Callee
from phonebot.simulator.caller import Caller, Say, WaitForQuiet
from phonebot.simulator.mind import Call, Context
from phonebot.simulator.mind import Say as Speak
from phonebot.simulator.record import CallRecord
from phonebot.simulator.switchboard import Switchboard
from phonebot.store.store import Store

SUMMARY = "He has a question about his bill."
PUT_THROUGH = "One moment."
ASKS = (WaitForQuiet(300), Say(SPEECH, "a question"))
_EXACTLY = re.compile(r'exactly these words, and nothing else: "([^"]*)"')


class Receptionist:
    """A mind that transfers whoever speaks to it, once, and says what it is told to."""

    def __init__(self, **arguments: str) -> None:
        self._arguments = {"summary": SUMMARY} | arguments
        self._called = False

    def answer(self, context: Context) -> tuple[Speak | Call, ...]:
        newest = context.history[-1] if context.history else None
        asked = context.request or (newest.text if newest and newest.role == "system" else "")
        if exact := _EXACTLY.search(asked):
            return (Speak(exact[1]),)
        if newest and context.heard is None and "came to nothing" in newest.text:
            return (Speak("Sorry " + newest.text.partition(": ")[2].partition(".")[0]),)
        if context.heard is None or self._called:
            return (Speak("Hi" if context.heard is None else "Well"),)
        self._called = True
        return (Call("transfer_call", self._arguments),)


@dataclass
class Stage:
    service: Service
    carrier: Switchboard

    async def called(self, *steps: Any) -> CallRecord:
        """Somebody calls; back when all is over."""
        record = await self.carrier.dial(Caller(*steps), to_number=LINE, from_number=CALLER)
        await self.carrier.settled()
        return record

    async def told(self, text: str, place: int) -> None:
        """Wait until the bot has said this on a stream, the first or another, and the caller has heard it."""
        await until(lambda: len(self.service.witnesses) > place and ("bot", text) in self.lines(place))

    async def hang_up(self) -> None:
        """Let an operator end the call that is in progress."""
        (call,) = await self.service.board.calls()
        await self.service.board.hang_up(call.call_sid, ADA)

    def begin(self, *steps: Any) -> "asyncio.Task[CallRecord]":
        """Somebody calls, beside the test."""
        return self.carrier.leave(Caller(*steps), to_number=LINE, from_number=CALLER)

    def heard_by(self, number: str) -> list[str]:
        """What the carrier's voice told this person, each time that he was called."""
        return [text for record in self.carrier.calls_to(number) for text in record.told("heard")]

    def lines(self, place: int = 0) -> list[tuple[str, str]]:
        """What was said on the call's streams: the first, or another."""
        return [(line.role, line.text) for line in self.service.witnesses[place].saw(Line)]

    def asked(self, method: str, path_end: str) -> list[dict[str, str]]:
        """The parameters of the requests of the REST API of this kind."""
        return [given for how, path, given in self.carrier.requests if how == method and path.endswith(path_end)]


def answered_by(**table: object) -> Profile:
    """A profile that may transfer."""
    given = {"tools": ["transfer_call"], "transfer_to": COLLEAGUE} | table
    given["transfer"] = {"say": PUT_THROUGH, **dict(given.get("transfer", {}))}  # type: ignore[call-overload]
    return Profile.from_table(PROFILE.model_dump(exclude_none=True, exclude={"transfer"}) | given, "test")


@asynccontextmanager
async def staged(
    start: StartService,
    profile: Profile,
    minds: Callable[[], Any] = Receptionist,
    has_account: bool = True,
    model_url: str | None = None,
    callees: Mapping[str, Callee | None] | None = None,
    speed: float = 100,
    store: Store | None = None,
) -> AsyncIterator[Stage]:
    """`callees` by number; None: nobody has it."""
    async with Switchboard.open(speed=speed, auth_token=TOKEN, account_sid=ACCOUNT_SID) as carrier:
        account = {"TWILIO_ACCOUNT_SID": ACCOUNT_SID, "TWILIO_API_URL": carrier.url} if has_account else {}
        service = await start(profile=profile, minds=minds, model_url=model_url, store=store, **account)
        status = f"{service.url}/twilio/status"
        carrier.add_number(LINE, VoiceUrl=f"{service.url}/twilio/voice", StatusCallback=status)
        carrier.callees.update({number: callee for number, callee in (callees or {}).items() if callee})
        yield Stage(service, carrier)
        await service.stop()
