"""Calls to the whole service that nobody speaks in, that last too long, or that cost too much."""

from pathlib import Path

import pytest
from service_driver import LONG_ANSWER, PROFILE, SPEECH, TOKEN, Service, StartService, form_of_call
from switchboard_driver import COLLEAGUE, LINE
from webhook_server import webhook_server

from phonebot.agents.numbers import Numbers
from phonebot.agents.profile import Profile
from phonebot.call.actions import CallerSilent, LimitNear, LimitReached
from phonebot.errors import SettingsError
from phonebot.settings import load
from phonebot.simulator.callees import LISTENS, Human
from phonebot.simulator.caller import Caller, HangUp, Pause, Say, WaitForBot, WaitForHangUp, WaitForQuiet
from phonebot.simulator.switchboard import Switchboard
from phonebot.web.app import create_app

BYE = "Time to go"
MODEL = "gpt-realtime-2.1"  # it has a price


def profile_of(**table: object) -> Profile:
    return Profile.from_table(PROFILE.model_dump(exclude_none=True) | {"model": MODEL} | table, "test")


def said(service: Service) -> list[str]:
    """By the bot, as the embedded model knows."""
    (witness,) = service.witnesses
    assert witness.session is not None
    return [line.text for line in witness.session.lines if line.role == "assistant"]


async def test_a_silent_caller_is_asked_and_hears_the_goodbye_to_its_end(start_service: StartService) -> None:
    silent = {"after_s": 2, "times": 1, "say": "Hello", "goodbye": BYE}
    service = await start_service(profile=profile_of(no_input=silent))
    record = await service.dial(WaitForHangUp())
    assert (record.outcome, record.passed) == ("bot hung up", True)
    assert said(service) == ["Hi", "Hello", BYE]
    await service.stop()
    log = service.log()
    assert log.header.outcome == "no_input"
    assert [a.times for step in log.steps for a in step.actions if isinstance(a, CallerSilent)] == [1, 0]


async def test_a_call_is_left_with_words_once_its_model_has_cost_too_much(start_service: StartService) -> None:
    service = await start_service(profile=profile_of(max_cost_usd=0.0001, limits={"goodbye": BYE}))
    record = await service.dial(WaitForHangUp())
    assert (record.outcome, record.passed) == ("bot hung up", True)
    assert said(service) == ["Hi", BYE]
    (witness,) = service.witnesses
    (reached,) = witness.saw(LimitReached)
    assert (reached.limit, reached.most) == ("cost", 0.0001)
    assert reached.used >= 0.0001
    await service.stop()
    assert service.log().header.outcome == "cost_limit"


async def test_a_call_that_lasts_too_long_is_warned_and_left_with_words(start_service: StartService) -> None:
    service = await start_service(profile=profile_of(max_cost_usd=5, max_call_s=10, limits={"goodbye": BYE}))
    record = await service.dial(WaitForBot(), WaitForQuiet(300), Say(SPEECH), WaitForHangUp())
    assert (record.outcome, record.passed) == ("bot hung up", True)
    assert said(service) == ["Hi", LONG_ANSWER, BYE]
    (witness,) = service.witnesses
    assert [near.limit for near in witness.saw(LimitNear)] == ["time"]
    assert [reached.limit for reached in witness.saw(LimitReached)] == ["time"]
    await service.stop()
    assert service.log().header.outcome == "time_limit"


async def test_a_model_without_a_price_is_not_watched_and_its_call_says_so(
    start_service: StartService,
) -> None:
    service = await start_service(profile=profile_of(model="my-own", max_cost_usd=0.0001, max_call_s=10))
    record = await service.dial(WaitForBot(), WaitForQuiet(500))
    assert record.passed, record
    (witness,) = service.witnesses
    assert witness.troubles == ["max_cost_usd is not watched: no price of the model my-own is known"]
    assert not witness.saw(LimitReached)


OWN_PRICES = """
as_of = 2026-12-01

[models."my-own"]
text = { input = 1000, output = 1000 }
audio = { input = 1000, output = 1000 }
"""


async def test_a_model_with_a_price_of_the_operators_own_is_watched_and_shown_beside_its_caps(
    start_service: StartService, tmp_path: Path
) -> None:
    (tmp_path / "own.toml").write_text(OWN_PRICES)
    profile = profile_of(model="my-own", max_cost_usd=0.001, max_cost_per_day_usd=50, max_call_s=20)
    service = await start_service(profile=profile, PHONEBOT_PRICES=str(tmp_path / "own.toml"))
    record = await service.dial(WaitForHangUp())
    assert (record.outcome, record.passed) == ("bot hung up", True)
    (witness,) = service.witnesses
    (reached,) = witness.saw(LimitReached)
    assert (reached.limit, reached.most) == ("cost", 0.001)
    assert reached.used > 0.001


# ------------------------------------------------------------------------------------------- caps of a day


async def test_a_cap_of_the_day_ends_the_call_that_reaches_it_and_no_other_is_answered_by_a_model(
    start_service: StartService,
) -> None:
    sorry = {"goodbye": BYE, "sorry": "Bis morgen, {caller}."}
    profile = profile_of(max_cost_per_day_usd=0.0001, limits=sorry, language="de-DE", greeting="Hi")
    async with webhook_server(200) as alarms:
        service = await start_service(
            profile=profile, PHONEBOT_ALARM_URL=alarms.url, PHONEBOT_ALARM_SIGN_WITH="A", PHONEBOT_SECRET_A="key"
        )
        record = await service.dial(WaitForHangUp())
        assert (record.outcome, record.passed) == ("bot hung up", True)
        assert said(service) == ["Hi", BYE]
        (witness,) = service.witnesses
        assert [reached.limit for reached in witness.saw(LimitReached)] == ["number_day"]
        (alarm,) = await alarms.told()
        assert (alarm.json["cap"], alarm.json["level"], alarm.json["most_usd"]) == ("number_day", "reached", 0.0001)
        assert "X-Phonebot-Signature" in alarm.headers
        status, twiml = await service.post("/twilio/voice")
        assert status == 200
        assert "<Stream" not in twiml
        assert f'language="de-DE">Bis morgen, {form_of_call()["From"]}.</Say>' in twiml
        status, twiml = await service.post("/twilio/voice", Direction="outbound-api")
        assert "<Say" not in twiml
        _, figures = await service.request("GET", "/metrics")
        assert 'phonebot_alarms_total{level="reached"} 1.0' in figures
        assert 'phonebot_limits_reached_total{limit="number_day"} 1.0' in figures
        assert "phonebot_spent_today_usd 0.0\n" not in figures
    await service.stop()
    assert service.log().header.outcome == "cost_limit"


async def test_a_cap_of_the_deployment_puts_who_calls_through_to_a_person(start_service: StartService) -> None:
    service = await start_service(profile=profile_of(transfer_to=COLLEAGUE), PHONEBOT_MAX_COST_PER_DAY_USD="0.0001")
    async with Switchboard.open(speed=100, auth_token=TOKEN) as carrier:
        carrier.add_number(LINE, VoiceUrl=f"{service.url}/twilio/voice")
        carrier.callees[COLLEAGUE] = Human((Pause(ms=500), HangUp()), after_s=1)
        spends = await carrier.dial(Caller(WaitForHangUp()), to_number=LINE)
        put_through = await carrier.dial(Caller(*LISTENS), to_number=LINE)
        await carrier.settled()
    assert spends.passed, spends
    assert (put_through.streams, put_through.told("bridged with")) == ([], [COLLEAGUE])
    (witness,) = service.witnesses
    assert [reached.limit for reached in witness.saw(LimitReached)] == ["day"]


def test_a_secret_for_alarms_that_is_not_set_is_told_at_the_start() -> None:
    settings = load({"PHONEBOT_ALARM_SIGN_WITH": "A"}, env_file=None)
    with pytest.raises(SettingsError, match="PHONEBOT_ALARM_SIGN_WITH is A: set PHONEBOT_SECRET_A, too"):
        create_app(settings, Numbers.single(PROFILE))
