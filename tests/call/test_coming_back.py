"""A call that was with the bot before: it goes on where it was."""

from datetime import UTC, datetime

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.call.actions import Check
from phonebot.call.inputs import ServiceStops
from phonebot.call.language import instructed
from phonebot.call.limits import TIME_IS_UP
from phonebot.call.plan import EarlierLine
from phonebot.call.planning import plan_for
from phonebot.call.responses import exactly
from phonebot.realtime.events import (
    CreateItem,
    CreateResponse,
    Message,
    Part,
    Response,
    ResponseCreated,
    ResponseDone,
    SpokenTextDelta,
    Transcription,
)

EARLIER = (
    EarlierLine("bot", "Hello, how can I help?"),
    EarlierLine("caller", "I want to talk to billing."),
    EarlierLine("instruction", "Nobody in billing answered. Say so."),
)


def test_what_was_said_enters_the_conversation_and_the_bot_goes_on() -> None:
    driver = CallDriver(replace(PLAN, earlier=EARLIER))
    assert driver.told(CreateItem, CreateResponse) == [
        CreateItem(Message("assistant", (Part("output_text", text="Hello, how can I help?"),))),
        CreateItem(Message("user", (Part("input_text", text="I want to talk to billing."),))),
        CreateItem(Message("system", (Part("input_text", text="Nobody in billing answered. Say so."),))),
        CreateResponse(event_id="response-1"),
    ]


def test_the_caller_is_not_greeted_again() -> None:
    profile = Profile(greeting="Hello, how can I help?")
    now = datetime(2026, 11, 27, tzinfo=UTC)
    first = plan_for(profile, caller="", number="", now=now)
    again = plan_for(profile, caller="", number="", now=now, earlier=EARLIER)
    assert (first.greeting, again.greeting) == ("Hello, how can I help?", None)
    assert again.earlier == EARLIER


NOW = datetime(2026, 11, 27, tzinfo=UTC)
TWO = Profile.from_table(
    {
        "prompt": "You answer.",
        "transcription": {"model": "any", "language": "en"},
        "handoffs": ["billing"],
        "agents": {
            "billing": {
                "description": "Bills.",
                "prompt": "You know bills.",
                "guardrails": [{"name": "secret", "pattern": "x", "on": "bot", "then": "end"}],
            }
        },
    },
    "test",
)


def test_the_agent_who_had_the_call_has_it_again() -> None:
    plan = plan_for(TWO, caller="", number="", now=NOW, earlier=EARLIER, agent="billing")
    assert plan.session.instructions == "You know bills."
    assert [agent.name for agent in plan.agents] == ["billing", "main"]
    driver = CallDriver(plan)
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    checks = driver.feed(SpokenTextDelta("resp_1", "item_1", 0, 0, "x" * 200))
    assert [check.guardrails for check in checks if isinstance(check, Check)] == [("secret",)]


def test_where_the_agent_is_gone_the_first_one_has_the_call() -> None:
    plan = plan_for(TWO, caller="", number="", now=NOW, earlier=EARLIER, agent="nobody")
    assert plan.session.instructions == "You answer."


def test_the_language_that_was_spoken_is_spoken_again() -> None:
    plan = plan_for(TWO, caller="", number="", now=NOW, earlier=EARLIER, agent="billing", language="de-DE")
    assert plan.session.instructions == instructed("You know bills.", "de-DE")
    assert isinstance(plan.session.transcription, Transcription)
    assert plan.session.transcription.language == "de"
    driver = CallDriver(plan)
    driver.feed(ServiceStops(goes_on=False))
    driver.feed(ResponseCreated(Response("resp_1", "in_progress")))
    driver.feed(ResponseDone(Response("resp_1", "completed")))
    asked = driver.told(CreateResponse)[-1]
    assert isinstance(asked, CreateResponse)
    assert asked.options
    assert asked.options.instructions == exactly(TIME_IS_UP.text, "de-DE").instructions
