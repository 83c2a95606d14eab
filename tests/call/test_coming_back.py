"""A call that was with the bot before: it goes on where it was."""

from datetime import UTC, datetime

from driver import PLAN, CallDriver
from msgspec.structs import replace

from phonebot.agents.profile import Profile
from phonebot.call.plan import EarlierLine, plan_for
from phonebot.realtime.events import CreateItem, CreateResponse, Message, Part

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
