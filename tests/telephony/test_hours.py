"""Calls to the whole service while a number is closed: who answers, and what is paid for."""

import pytest
from service_driver import PROFILE, TOKEN, StartService
from switchboard_driver import CALLER, COLLEAGUE, LINE

from phonebot.agents.profile import Profile
from phonebot.simulator.callees import LISTENS, Busy, Callee, Human
from phonebot.simulator.caller import Caller, HangUp, Pause, WaitForBot
from phonebot.simulator.record import CallRecord
from phonebot.simulator.switchboard import Switchboard

NEVER = {"time_zone": "Europe/Berlin"}
ALWAYS = NEVER | {
    day: ["00:00-24:00"] for day in ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
}
NIGHT_DESK = {"then": "transfer", "to": COLLEAGUE, "say": "One moment.", "unanswered": "Nobody is there, {caller}."}


def profile_of(**table: object) -> Profile:
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | table, "test")


async def called(start: StartService, profile: Profile, callee: Callee | None = None) -> CallRecord:
    """Somebody calls a number that is answered by this profile, and listens for as long as there is anything."""
    service = await start(profile=profile)
    async with Switchboard.open(speed=100, auth_token=TOKEN) as carrier:
        carrier.add_number(LINE, VoiceUrl=f"{service.url}/twilio/voice")
        if callee:
            carrier.callees[COLLEAGUE] = callee
        record = await carrier.dial(Caller(*LISTENS), to_number=LINE)
        await carrier.settled()
    assert record.passed, record
    assert service.model is not None
    assert service.model.sessions == ()
    _, figures = await service.request("GET", "/metrics")
    assert 'phonebot_calls_turned_away_total{why="closed"} 1.0' in figures
    await service.stop()
    assert (record.streams, service.logs()) == ([], [])
    return record


async def test_a_closed_number_that_says_so_opens_no_stream_and_no_model(start_service: StartService) -> None:
    closed = {"then": "say", "say": "Wir sind {open}, {caller}."}
    record = await called(start_service, profile_of(language="de-AT", hours=NEVER | {"closed": closed}))
    assert record.told("heard") == [f"Wir sind closed, {CALLER}."]
    assert b'language="de-DE"' in record.exchanges[0].body


async def test_a_closed_number_that_puts_through_connects_the_night_desk(start_service: StartService) -> None:
    profile = profile_of(hours=NEVER | {"closed": NIGHT_DESK})
    record = await called(start_service, profile, Human((Pause(ms=500), HangUp()), after_s=1))
    assert record.told("heard") == ["One moment."]
    assert record.told("bridged with") == [COLLEAGUE]


@pytest.mark.parametrize("callee", [Busy(), None], ids=["busy", "nobody's number"])
async def test_where_nobody_answers_there_the_caller_is_told(
    start_service: StartService, callee: Callee | None
) -> None:
    record = await called(start_service, profile_of(hours=NEVER | {"closed": NIGHT_DESK}), callee)
    assert record.told("heard") == ["One moment.", f"Nobody is there, {CALLER}."]


@pytest.mark.parametrize(("hours", "greeting"), [(ALWAYS, "Hi"), (NEVER, "Closed, it is closed")])
async def test_the_bot_greets_by_the_hours(start_service: StartService, hours: object, greeting: str) -> None:
    assert isinstance(hours, dict)
    closed = {"greeting": "Closed, it is {open}", "prompt": "Take a message."}
    service = await start_service(profile=profile_of(hours=hours | {"closed": closed}, prompt="We are {open}."))
    record = await service.dial(WaitForBot(), HangUp())
    assert record.passed, record
    await service.stop()
    plan = service.log().plan
    assert plan.greeting == greeting
    added = "\n\nTake a message." if hours is NEVER else ""
    assert plan.session.instructions == f"We are {'open' if hours is ALWAYS else 'closed'}.{added}"


async def test_a_closed_number_may_still_call_somebody(start_service: StartService) -> None:
    service = await start_service(profile=profile_of(hours=NEVER | {"closed": {"then": "say", "say": "Bye"}}))
    _, twiml = await service.post("/twilio/voice", Direction="outbound-api")
    assert "<Stream" in twiml


async def test_what_is_asked_after_a_transfer_must_be_signed(start_service: StartService) -> None:
    service = await start_service(profile=profile_of(hours=NEVER | {"closed": NIGHT_DESK}))
    assert (await service.post("/twilio/closed", token=None))[0] == 403
