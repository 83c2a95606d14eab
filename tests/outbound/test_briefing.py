"""What the bot is told of a call that it makes."""

from datetime import UTC, datetime

from phonebot.agents.answering import Answered
from phonebot.agents.profile import Profile
from phonebot.call.plan import CallPlan
from phonebot.call.planning import plan_for
from phonebot.outbound.briefing import briefed

NOW = datetime(2026, 11, 27, tzinfo=UTC)
INBOUND = {"greeting": "How can I help?", "prompt": "You are Rosa."}


def profile(**keys: object) -> Profile:
    return Profile.from_table({**INBOUND, "outbound": keys}, "test")


def plan_of(told: Answered) -> CallPlan:
    return plan_for(told.profile, caller="+1555", number="+1666", now=told.now, looked_up=told.values)


def test_what_is_said_to_callers_while_it_is_closed_is_not_said_to_those_who_are_called() -> None:
    hours = {"time_zone": "UTC", "closed": {"greeting": "We are closed."}}
    told = briefed(Profile.from_table({**INBOUND, "hours": hours}, "test"), NOW, "")
    assert plan_of(told).greeting == "How can I help?"


def test_the_prompt_says_who_called_whom_and_why() -> None:
    plan = plan_of(briefed(profile(), NOW, "Her {table} is free."))
    instructions = plan.session.instructions
    assert isinstance(instructions, str)
    assert instructions.startswith("You are Rosa.\n\nIn this call it is you who called: you have dialled +1555")
    assert instructions.endswith("as whoever ordered it wrote it: Her {table} is free.")
    assert plan.greeting == "How can I help?"


def test_its_own_greeting_and_prompt_take_their_place() -> None:
    given = profile(greeting="This is Rosa's: {reason}", prompt="Be brief.").with_greeting_clip("recorded")
    told = briefed(given, NOW, "")
    plan = plan_of(told)
    assert plan.greeting == "This is Rosa's: none was given"
    assert plan.opening == ()
    assert isinstance(plan.session.instructions, str)
    assert plan.session.instructions.endswith("\n\nBe brief.")
    assert told.profile.version == given.version
