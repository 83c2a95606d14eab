"""Who dials, at a carrier that refuses, does not say, or says it late; and processes that die over a call."""

import asyncio
from datetime import datetime
from typing import Any

import pytest

from phonebot.agents.profile import Profile
from phonebot.errors import AccountError, CarrierRefused, CarrierUnreachable
from phonebot.outbound import dialler as dialling
from phonebot.outbound.dialler import Dialler
from phonebot.outbound.progress import Attempted, Progress
from phonebot.store.audit import Actor
from phonebot.store.database import Database
from phonebot.store.outbound import OutboundCall, OutboundStore

US, HER = "+15550100000", "+15550100009"
RULES = {"outbound": {"retry_after_s": 1, "retries": 0, "machine": "leave_message", "message": "Hi"}}


class Carrier:
    """An account that does as it is told: it places calls, or raises; and says how each stands."""

    def __init__(self) -> None:
        self.placed: list[dict[str, Any]] = []
        self.hung_up: list[str] = []
        self.error: AccountError | None = None  # raised once, by what is asked next
        self.shown: str | None = None
        self.states: dict[str, str] = {}

    def _fail(self) -> None:
        error, self.error = self.error, None
        if error:
            raise error

    async def create_call(self, to: str, from_: str, **terms: Any) -> str:
        self.placed.append({"to": to, "from_": from_, **terms})
        self._fail()
        return f"CA{len(self.placed)}"

    async def find_call(self, to: str, from_: str, since: datetime) -> str | None:
        return self.shown

    async def hang_up(self, call_sid: str) -> None:
        self.hung_up.append(call_sid)

    async def call_state(self, call_sid: str) -> str | None:
        self._fail()
        return self.states.get(call_sid)


class Office:
    """A queue and a carrier; `run` lets a process work at it until something is so."""

    def __init__(self, database: Database) -> None:
        self.store = OutboundStore(database)
        self.carrier = Carrier()
        self.progress = Progress(self.store, lambda number, caller: Profile.from_table(RULES, "test"))

    async def order(self) -> OutboundCall:
        return await self.store.add(HER, US, Actor("ada"))

    async def run(self, call: OutboundCall, is_so: Any, **terms: Any) -> OutboundCall:
        profile = Profile.from_table(RULES, "test")
        async with (
            asyncio.timeout(20),
            Dialler(
                self.store,
                self.progress,
                self.carrier,
                lambda number, caller: profile,
                public_url="https://bot.example.com",
                who="this",
                **terms,
            ),
        ):
            while not is_so(now := await self.store.get(call.id)):
                await asyncio.sleep(0.01)
        return now


@pytest.fixture
def office(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> Office:
    """It looks again at once."""
    for name in ("LOOK_S", "LATER_S", "REFUSED_S", "RINGING_S", "CROWDED_S"):
        monkeypatch.setattr(dialling, name, 0.05)
    monkeypatch.setattr(dialling, "POLL_S", 0.02)
    return Office(sqlite)


async def test_what_the_carrier_is_told_to_ask_names_the_attempt(office: Office) -> None:
    call = await office.run(await office.order(), lambda now: now.call_sid)
    (placed,) = office.carrier.placed
    assert placed == {
        "to": HER,
        "from_": US,
        "url": f"https://bot.example.com/twilio/voice?outbound={call.id}-1",
        "status_callback": f"https://bot.example.com/twilio/status?outbound={call.id}-1",
        "ring_s": 30,
        "limit_s": 960,
        "machine_detection": "DetectMessageEnd",
        "amd_callback": f"https://bot.example.com/twilio/amd?outbound={call.id}-1",
    }


@pytest.mark.parametrize(
    "error",
    [
        CarrierRefused(20003, "Authenticate", "check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        CarrierUnreachable("Twilio answers with status 429", status=429),
    ],
)
async def test_what_the_account_cannot_do_now_is_done_later_and_does_not_count(
    office: Office, error: AccountError
) -> None:
    office.carrier.error = error
    call = await office.run(await office.order(), lambda now: now.call_sid)
    assert (len(office.carrier.placed), call.attempts, len(call.tries)) == (2, 1, 1)


async def test_a_call_of_which_nobody_knows_is_looked_for_and_not_placed_again(office: Office) -> None:
    office.carrier.error = CarrierUnreachable("it did not answer", unsure=True)
    office.carrier.shown, office.carrier.states = "CA77", {"CA77": "completed"}
    call = await office.run(await office.order(), lambda now: now.is_over)
    assert (call.call_sid, call.result, len(office.carrier.placed)) == ("CA77", "answered", 1)


async def test_one_that_the_carrier_never_shows_has_failed(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "UNSURE", dialling.UNSURE * 0)
    office.carrier.error = CarrierUnreachable("it did not answer", unsure=True)
    call = await office.run(await office.order(), lambda now: now.is_over)
    assert (call.result, len(office.carrier.placed)) == ("failed", 1)
    assert call.problem == "the carrier did not say whether the call was placed, and does not show it"


async def test_a_call_of_another_order_is_not_taken_for_the_one_that_is_looked_for(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await office.run(await office.order(), lambda now: now.call_sid)
    await office.progress.status(Attempted(first.id, 1), "CA1", "completed")
    monkeypatch.setattr(dialling, "UNSURE", dialling.UNSURE * 0)
    office.carrier.error, office.carrier.shown = CarrierUnreachable("no answer", unsure=True), "CA1"
    second = await office.run(await office.order(), lambda now: now.is_over)
    assert (second.result, second.call_sid) == ("failed", None)


async def test_an_attempt_whose_process_died_is_looked_for_by_another(office: Office, sqlite: Database) -> None:
    call = await office.order()
    dying = OutboundStore(sqlite, lease_s=-1)
    (job,) = await dying.claim("another", 1)
    await dying.begin(job, at_once=1, look_s=-1)
    office.carrier.shown, office.carrier.states = "CA5", {"CA5": "no-answer"}
    call = await office.run(call, lambda now: now.is_over)
    assert (call.call_sid, call.result, office.carrier.placed) == ("CA5", "no_answer", [])


async def test_a_call_whose_callbacks_do_not_come_is_asked_for(office: Office, sqlite: Database) -> None:
    call = await office.order()
    dying = OutboundStore(sqlite, lease_s=-1)
    (job,) = await dying.claim("another", 1)
    await dying.begin(job, at_once=1, look_s=-1)
    await dying.dialled(job, "CA6", look_s=-1)
    office.carrier.error = CarrierUnreachable("it is away")
    office.carrier.states = {"CA6": "busy"}
    call = await office.run(call, lambda now: now.is_over)
    assert (call.result, call.problem) == ("busy", "the line was busy")


async def test_a_call_that_was_cancelled_before_it_had_a_name_is_hung_up(office: Office) -> None:
    call = await office.order()
    (job,) = await office.store.claim("another", 1)
    await office.store.begin(job, at_once=1, look_s=60)
    await office.store.cancel(call.id, Actor("ada"))
    await office.store.dialled(job, "CA7", look_s=60)
    office.carrier.states = {"CA7": "canceled"}
    call = await office.run(call, lambda now: now.is_over)
    assert (call.state, office.carrier.hung_up) == ("cancelled", ["CA7"])


async def test_a_process_that_stops_begins_no_calls(office: Office) -> None:
    call = await office.order()
    asked: list[None] = []

    def may_dial() -> bool:
        asked.append(None)
        return False

    await office.run(call, lambda now: len(asked) > 3, may_dial=may_dial)
    assert office.carrier.placed == []
