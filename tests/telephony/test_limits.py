"""Calls to the whole service that nobody speaks in, that last too long, or that cost too much."""

from service_driver import LONG_ANSWER, PROFILE, SPEECH, Service, StartService

from phonebot.agents.profile import Profile
from phonebot.call.actions import CallerSilent, LimitNear, LimitReached
from phonebot.simulator.caller import Say, WaitForBot, WaitForHangUp, WaitForQuiet

BYE = "Time to go"
MODEL = "gpt-realtime-2.1"  # it has a list price


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


async def test_a_model_without_a_list_price_is_not_watched_and_its_call_says_so(
    start_service: StartService,
) -> None:
    service = await start_service(profile=profile_of(model="my-own", max_cost_usd=0.0001, max_call_s=10))
    record = await service.dial(WaitForBot(), WaitForQuiet(500))
    assert record.passed, record
    (witness,) = service.witnesses
    assert witness.troubles == ["max_cost_usd is not watched: no list price of the model my-own is known"]
    assert not witness.saw(LimitReached)
