"""A profile's hours: what may stand there, what is told otherwise, and how a call is answered by them."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from phonebot.agents.answering import answer
from phonebot.agents.hours import Hours
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError

NEW_YORK = ZoneInfo("America/New_York")
OPEN = datetime(2026, 11, 27, 15, 0, tzinfo=ZoneInfo("UTC"))  # Friday, 10:00 in New York
CLOSED = datetime(2026, 11, 27, 23, 30, tzinfo=ZoneInfo("UTC"))
WEEK = {"time_zone": "America/New_York", "friday": ["09:00-17:00"]}


def profile_of(closed: dict[str, Any] | None = None, **table: Any) -> Profile:
    return Profile.from_table({"hours": WEEK | ({"closed": closed} if closed else {}), **table}, "test")


def wrong(hours: Any, **table: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table({"hours": hours, **table}, "test")
    (problem,) = caught.value.problems
    return problem


def test_a_profile_without_hours_is_answered_as_it_is() -> None:
    profile = Profile(greeting="Hi")
    answered = answer(profile, OPEN)
    assert answered.profile is profile
    assert (answered.closed, answered.values, answered.now) == (None, {}, OPEN)


def test_within_the_hours_the_profile_stays_and_its_placeholders_are_known() -> None:
    profile = profile_of({"greeting": "Closed"}, greeting="Hi, we are {open}")
    answered = answer(profile, OPEN)
    assert answered.profile is profile
    assert answered.closed is None
    assert answered.now.isoformat() == "2026-11-27T10:00:00-05:00"
    assert answered.values == {
        "open": "open until 17:00",
        "hours": "Monday to Thursday closed, Friday 09:00-17:00, Saturday to Sunday closed"
        " (time zone America/New_York)",
    }


def test_outside_them_the_greeting_is_another_and_the_prompt_goes_on() -> None:
    profile = profile_of(
        {"greeting": "Closed", "prompt": "Take a message."},
        greeting="Hi",
        greeting_audio="hi.wav",
        prompt="Be kind.",
    ).with_greeting_clip("AAAA")
    answered = answer(profile, CLOSED)
    made = answered.profile
    assert (made.greeting, made.greeting_audio, made.greeting_clip) == ("Closed", None, "")
    assert made.prompt == "Be kind.\n\nTake a message."
    assert made.version == profile.version
    assert answered.values["open"] == "closed until Friday 4 December, 09:00"


def test_outside_them_a_recorded_greeting_without_another_stays() -> None:
    profile = profile_of({"prompt": "Take a message."}, greeting="Hi", greeting_audio="hi.wav")
    made = answer(profile.with_greeting_clip("AAAA"), CLOSED).profile
    assert (made.greeting, made.greeting_audio, made.greeting_clip) == ("Hi", "hi.wav", "AAAA")


def test_dates_may_have_several_spans_and_last_for_days() -> None:
    dates = ["2026-11-27 09:00-10:00", "2026-11-27 19:00-20:00", "2026-12-04 to 2026-12-11 closed"]
    timetable = Hours.model_validate(WEEK | {"dates": dates}).timetable
    assert timetable.at(CLOSED).words == "closed until 19:00"
    after = datetime(2026, 11, 27, 21, 0, tzinfo=NEW_YORK)
    assert timetable.at(after).words == "closed until Friday 18 December, 09:00"


@pytest.mark.parametrize(
    ("hours", "problem"),
    [
        ([], "hours is an array; it must be a table such as"),
        ({}, "hours.time_zone is missing; it must be the name of a time zone such as"),
        ({"time_zone": "Berlin"}, 'hours.time_zone is "Berlin", no time zone of this machine; it must be'),
        ({"time_zone": "../etc/passwd"}, 'hours.time_zone is "../etc/passwd", no time zone of this machine'),
        (WEEK | {"monday": "09:00-17:00"}, 'hours.monday is "09:00-17:00"; it must be an array of at most 10'),
        (WEEK | {"monday": ["9-17"]}, 'hours.monday holds "9-17", which is no span such as 09:00-17:30'),
        (WEEK | {"monday": ["09:00-09:00"]}, 'hours.monday holds "09:00-09:00", which ends when it begins'),
        (WEEK | {"mondays": []}, "hours.mondays is not a known key; the nearest is monday"),
        (WEEK | {"dates": ["24.12. closed"]}, 'hours.dates holds "24.12. closed", which is no date with a span'),
        (WEEK | {"dates": ["2026-02-30 closed"]}, "which is about a day that there is not"),
        (WEEK | {"dates": ["2026-12-24 to 2026-12-23 closed"]}, "which ends before it begins"),
        (WEEK | {"dates": ["2026-12-24 9-12"]}, 'hours.dates holds "2026-12-24 9-12", which is no span such as'),
        (WEEK | {"closed": "no"}, 'hours.closed is "no"; it must be a table such as'),
        (WEEK | {"closed": {"then": "ring"}}, 'hours.closed.then is "ring"; it must be "talk", "say" or'),
        (WEEK | {"closed": {"then": "say"}}, 'hours.closed.say is missing: then = "say" needs it'),
        (WEEK | {"closed": {"then": "transfer"}}, 'hours.closed.to is missing: then = "transfer" needs it'),
        (WEEK | {"closed": {"say": "Bye"}}, 'hours.closed.say has no meaning with then = "talk"'),
        (WEEK | {"closed": {"then": "transfer", "to": "911"}}, 'hours.closed.to is "911"; it must be a number'),
        (WEEK | {"closed": {"prompt": "{now"}}, "hours.closed.prompt holds {, but only {caller}"),
    ],
)
def test_what_is_wrong_is_told_with_what_is_allowed(hours: Any, problem: str) -> None:
    assert problem in wrong(hours)


def test_its_placeholders_are_known_only_with_it() -> None:
    with pytest.raises(ProfileError, match=r"prompt holds \{open\}"):
        Profile.from_table({"prompt": "We are {open}"}, "test")


def test_what_the_carrier_says_cannot_hold_what_is_looked_up() -> None:
    lookup = {"url": "https://crm.example.com/{caller}", "values": {"customer": "x"}}
    problem = wrong(WEEK | {"closed": {"then": "say", "say": "Bye {customer}"}}, lookup=lookup)
    assert problem.startswith("hours.closed.say holds {customer}, but only {caller}")
    assert profile_of({"greeting": "Hi {customer}, we are {open}"}, lookup=lookup).hours is not None


def test_a_lookup_cannot_fill_its_placeholders() -> None:
    with pytest.raises(ProfileError, match=r"lookup\.values holds open, which is replaced already"):
        Profile.from_table({"lookup": {"url": "https://a.example.com/", "values": {"open": "x"}}}, "test")
