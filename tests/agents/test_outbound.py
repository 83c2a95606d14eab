"""How a number calls out: what may stand in its profile, and the hours in which nobody is called."""

from typing import Any

import pytest

from phonebot.agents.outbound import Outbound
from phonebot.agents.profile import Profile
from phonebot.errors import ProfileError

MON, SAT, SUN = 0, 5, 6


def wrong(**keys: Any) -> str:
    with pytest.raises(ProfileError) as caught:
        Profile.from_table({"outbound": keys}, "test")
    (problem,) = caught.value.problems
    return problem


def quiet(*windows: str) -> Outbound:
    outbound: Outbound = Profile.from_table({"outbound": {"quiet": list(windows)}}, "test").outbound
    return outbound


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"machine": "beep"}, 'outbound.machine is "beep"; it must be "hang_up", "leave_message" or "talk"'),
        ({"machine": "leave_message"}, 'outbound.message is missing: machine = "leave_message" leaves it'),
        ({"message": "Hi"}, 'outbound.message needs outbound.machine = "leave_message"'),
        (
            {"machine": "leave_message", "message": "Hi", "detect": False},
            "outbound.detect must be true to leave a message: else nobody knows of the machine",
        ),
        (
            {"machine": "leave_message", "message": "Hi {name}"},
            "outbound.message holds {name}, but only {caller}, {number}, {now}, {language}, {reason} are replaced;"
            " a brace itself is written {{ or }}",
        ),
        (
            {"machine": "talk", "retry_on": ["machine"]},
            'outbound.retry_on holds "machine", which needs detect, and machine = "hang_up"',
        ),
        ({"retries": 11}, "outbound.retries is 11; it must be a whole number from 0 to 10"),
        ({"ring_s": 4}, "outbound.ring_s is 4; it must be a whole number of seconds from 5 to 600"),
        (
            {"retry_on": ["lunch"]},
            'outbound.retry_on is "lunch"; it must be an array of "busy", "no_answer", "failed" and "machine"',
        ),
        (
            {"time_zone": "Mars/Olympus"},
            'outbound.time_zone is "Mars/Olympus", no time zone of this machine; it must be the name of a'
            ' time zone such as "Europe/Berlin"',
        ),
        (
            {"quiet": ["8pm-9am"]},
            'outbound.quiet holds "8pm-9am"; it must be at most 20 times of day such as ["20:00-09:00", "sun '
            '00:00-24:00"]',
        ),
        ({"quiet": ["20:00-25:00"]}, 'outbound.quiet holds "20:00-25:00": a day has 24 hours'),
        (
            {"quiet": ["08:00-08:00"]},
            'outbound.quiet holds "08:00-08:00": it begins and ends at the same time; all day is 00:00-24:00',
        ),
        (
            {"quiet": ["00:00-12:00", "12:00-24:00"]},
            "outbound.quiet leaves no minute of the week in which somebody may be called",
        ),
        ({"retrys": 1}, "outbound.retrys is not a known key; the nearest is retries"),
    ],
)
def test_what_is_wrong_is_said_with_what_is_allowed(keys: dict[str, Any], problem: str) -> None:
    assert wrong(**keys) == problem


def test_quiet_hours_over_midnight_belong_to_the_day_on_which_they_begin() -> None:
    nights = quiet("20:00-09:00")
    assert [nights.is_quiet(MON, hour * 60) for hour in (8, 9, 19, 20, 23)] == [True, False, False, True, True]
    saturday = quiet("sat 20:00-09:00")
    assert [saturday.is_quiet(day, 8 * 60) for day in (SAT, SUN, MON)] == [False, True, False]
    assert [saturday.is_quiet(day, 21 * 60) for day in (SAT, SUN)] == [True, False]


def test_a_whole_day_is_quiet_to_its_last_minute() -> None:
    sunday = quiet("sun 00:00-24:00")
    assert [sunday.is_quiet(SUN, minute) for minute in (0, 24 * 60 - 1)] == [True, True]
    assert [sunday.is_quiet(SAT, 24 * 60 - 1), sunday.is_quiet(MON, 0)] == [False, False]


def test_a_profile_that_says_nothing_hangs_up_on_machines_and_has_no_quiet_hours() -> None:
    outbound = Profile().outbound
    assert (outbound.machine, outbound.retries, outbound.windows) == ("hang_up", 2, ())
    assert not outbound.is_never_allowed
