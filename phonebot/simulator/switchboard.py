"""
A whole emulated carrier account: calls come in and go out, are transferred, meet in conferences and are recorded.

    async with Switchboard.open(account_sid=ACCOUNT, auth_token=TOKEN, speed=20) as carrier:
        service = start(twilio_base_url=carrier.url)          # its REST client asks here
        carrier.add_number("+15550100002", VoiceUrl=f"{service.url}/twilio/voice")
        carrier.callees["+15550100009"] = Human((WaitForBot(), Press("1"), WaitForHangUp()), after_s=4)
        record = await carrier.dial(Caller(...), to_number="+15550100002")
        await carrier.settled()                                # all legs have ended, all callbacks were told

        (colleague,) = carrier.calls_to("+15550100009")        # their CallRecords
        assert colleague.told("heard") == ["The caller wants a refund. Press 1 to take the call."]
        assert carrier.position("+15550100009", "heard") < carrier.position(CALLER, "bridged with", "+15550100009")
        assert carrier.requests[0][:2] == ("POST", f"/2010-04-01/Accounts/{ACCOUNT}/Calls.json")

What each party heard and with whom he was connected are the events of his `CallRecord`, and in the order of all
legs `carrier.events`; what his voice was, `record.heard` (streams) and `record.line_heard` (else). `callees`
tells the kinds of those who are called, `CallbackOddities` and `faults` what goes wrong on the carrier's
side:

    carrier.faults.append(RestFault("POST", "/Calls.json", answer=None))    # created, but the answer never comes

`speed` is how much faster than real time the carrier's own time runs (ringing, Say, Gather's patience, people who
talk on the line or in a conference); media streams stay in real time. Detection of machines is by ear, with
Twilio's thresholds; on a stream, where that takes real seconds, `Human(answered_by="human",
detected_after_ms=100)` cuts it short.

Performed as Twilio documents it: Connect/Stream, Say, Play (audio files, digits), Pause, Gather (keys), Record,
Dial (Number with whisper and callbacks, Conference), Redirect, Reject, Hangup; the REST API of calls,
conferences, participants, recordings and numbers (`rest`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Self

from phonebot.simulator.account import Account, BoardEvent
from phonebot.simulator.callees import Callee
from phonebot.simulator.caller import Caller, Event
from phonebot.simulator.carrier import Oddities
from phonebot.simulator.clock import Clock
from phonebot.simulator.leg import Leg
from phonebot.simulator.network import Network
from phonebot.simulator.notices import Notices
from phonebot.simulator.performing import run
from phonebot.simulator.record import CallRecord
from phonebot.simulator.rest import Number, RestFault, RestServer, serving
from phonebot.simulator.rest_calls import CallResources
from phonebot.simulator.rest_conferences import ConferenceResources
from phonebot.simulator.rest_recordings import RecordingResources
from phonebot.simulator.signing import Route
from phonebot.simulator.stream import Tap
from phonebot.simulator.terms import CallbackOddities, Source, StatusCallback, Terms

NOWHERE = "http://service.invalid"  # moves no URL
ACCOUNT_SID, AUTH_TOKEN = "AC" + "2" * 32, "0123456789abcdef0123456789abcdef"


class Switchboard:
    """An account in use, with its REST API. `open` makes one."""

    def __init__(self, account: Account, rest: RestServer) -> None:
        self.account, self.rest = account, rest
        self._seed = 0  # of the next inbound call

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        service_url: str | None = None,
        public_url: str | None = None,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        speed: float = 1.0,
        ms_per_character: float = 65.0,
        network: Network | None = None,
        oddities: Oddities | None = None,
        callbacks: CallbackOddities | None = None,
        tap: Tap | None = None,
    ) -> AsyncIterator[Self]:
        """
        The account and its REST API on a free loopback port, while the block runs; calls that are left are cut off.

        Where the service believes in another origin than where it is, as behind a proxy, `public_url` is that one
        and `service_url` the other; see `phone.dial`. A Say takes `ms_per_character` of the carrier's time for
        each character.
        """
        route = Route(service_url or NOWHERE, public_url)
        async with running(
            Terms(
                account_sid,
                auth_token,
                route,
                Clock(speed),
                network or Network(),
                oddities or Oddities(),
                callbacks or CallbackOddities(),
                ms_per_character,
                tap,
            )
        ) as account:
            rest = RestServer(account_sid, auth_token, account.numbers)
            for resources in (CallResources, ConferenceResources, RecordingResources):
                rest.add(resources(account))
            async with serving(rest):
                account.base_url = f"{rest.url}{rest.path}"
                yield cls(account, rest)

    @property
    def url(self) -> str:
        """Where the REST API is: the service takes it for https://api.twilio.com."""
        return self.rest.url

    @property
    def requests(self) -> list[tuple[str, str, dict[str, str]]]:
        """
        All that the REST API was asked: method, path, parameters; a parameter given twice has both, by a blank.
        """
        return self.rest.requests

    @property
    def faults(self) -> list[RestFault]:
        """What the REST API gets wrong next; each is gone once it has happened."""
        return self.rest.faults

    @property
    def callees(self) -> dict[str, Callee]:
        """Whom an outbound leg reaches, by number; any other number is nobody's."""
        return self.account.callees

    @property
    def events(self) -> list[BoardEvent]:
        """What happened on all legs, in order."""
        return self.account.events

    def add_number(self, phone_number: str, **parameters: str) -> Number:
        """Give the account a number, with VoiceUrl, VoiceFallbackUrl, StatusCallback... as in Twilio's API."""
        number = Number(phone_number, parameters)
        self.account.numbers.append(number)
        return number

    async def dial(
        self, caller: Caller, *, to_number: str, from_number: str = "+15550100001", max_call_s: float = 14_400.0
    ) -> CallRecord:
        """Have somebody call one of the account's numbers, and stay until his leg has ended."""
        return await self.leave(caller, to_number=to_number, from_number=from_number, max_call_s=max_call_s)

    def leave(
        self, caller: Caller, *, to_number: str, from_number: str = "+15550100001", max_call_s: float = 14_400.0
    ) -> "asyncio.Task[CallRecord]":
        """The same, beside the test. Raises LookupError when the number is none of the account's."""
        number = next((each for each in self.account.numbers if each.phone_number == to_number), None)
        if number is None or "VoiceUrl" not in number.set:
            raise LookupError(f"{to_number} is no number of the account with a VoiceUrl: use add_number")
        self._seed += 1
        return come_in(
            self.account,
            caller,
            number,
            from_number=from_number,
            max_call_s=max_call_s,
            seed=self._seed,
        )

    def calls_to(self, number: str) -> list[CallRecord]:
        """The records of the legs that this number was called by, in the order in which they were placed."""
        return [leg.record for leg in self.account.legs.values() if leg.record.to_number == number]

    def position(self, number: str, kind: str, detail: str = "") -> int:
        """The place among `events` of the first of this person's and kind whose detail contains a text."""
        for position, event in enumerate(self.events):
            if (event.number, event.kind) == (number, kind) and detail in event.detail:
                return position
        story = "\n".join(map(str, self.events))
        raise LookupError(f"{number} {kind} {detail} never happened, but:\n{story}")

    async def until(self, number: str, kind: str, detail: str = "", *, within_s: float = 15.0) -> None:
        """
        Wait in real time for such an event, unless there was one. Raises TimeoutError when it does not happen.
        """
        async with asyncio.timeout(within_s):
            while not self._has_happened(number, kind, detail):
                self.account.happened.clear()
                await self.account.happened.wait()

    def _has_happened(self, number: str, kind: str, detail: str) -> bool:
        return any((each.number, each.kind) == (number, kind) and detail in each.detail for each in self.events)

    async def settled(self) -> None:
        """Until no leg lives any more and all callbacks were told."""
        await self.account.settled()


@asynccontextmanager
async def running(terms: Terms, *, strict: bool = True) -> AsyncIterator[Account]:
    """An account whose clock ticks while the block runs."""
    clock = asyncio.create_task(terms.clock.run())
    account = Account(terms, Notices(terms.route, terms.auth_token), strict=strict)
    try:
        yield account
    finally:
        await account.close()
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)


def come_in(
    account: Account,
    caller: Caller,
    number: Number,
    *,
    from_number: str,
    max_call_s: float,
    seed: int = 0,
    on_event: Callable[[Event], None] | None = None,
) -> "asyncio.Task[CallRecord]":
    """A call comes in to a number: its webhook is asked, and the TwiML runs."""
    leg = Leg(
        caller,
        account.terms,
        from_number=from_number,
        to_number=number.phone_number,
        limit_s=max_call_s,
        seed=seed,
    )
    if on_event is not None:
        leg.observers.append(on_event)
    given = number.set
    status_url, fallback_url = given.get("StatusCallback"), given.get("VoiceFallbackUrl")
    public = account.terms.route.public
    if status_url:
        leg.status_callback = StatusCallback(public(status_url), given.get("StatusCallbackMethod", "POST"))
    fallback = None
    if fallback_url:
        fallback = Source("fallback", public(fallback_url), given.get("VoiceFallbackMethod", "POST"))
    url = public(given["VoiceUrl"].partition("#")[0])
    source = Source("voice", url, given.get("VoiceMethod", "POST"), fallback=fallback)
    return account.adopt(leg, partial(run, account, leg, source))
