"""Whether somebody may be called now, and once more."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.agents.outbound import Outbound
from phonebot.outbound.policy import Drop, Wait, after, next_step, quiet_until, result_of
from phonebot.store.outbound import Over

BERLIN = "Europe/Berlin"
NIGHTS = Outbound(quiet=["20:00-09:00"], time_zone=BERLIN)
WEEKENDS = Outbound(quiet=["20:00-09:00", "sat 00:00-24:00", "sun 00:00-24:00"], time_zone=BERLIN)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("rules", "now", "until"),
    [
        (NIGHTS, "2026-11-27 12:00", None),
        (NIGHTS, "2026-11-27 18:59", None),  # 19:59 in Berlin
        (NIGHTS, "2026-11-27 19:00", "2026-11-28 08:00"),
        (NIGHTS, "2026-11-28 07:59", "2026-11-28 08:00"),
        (NIGHTS, "2026-11-28 08:00", None),
        (WEEKENDS, "2026-11-27 19:30", "2026-11-30 08:00"),  # Friday evening
        (NIGHTS, "2026-03-28 19:30", "2026-03-29 07:00"),  # clocks are put forward: 09:00 is an hour earlier
        (NIGHTS, "2026-10-24 18:30", "2026-10-25 08:00"),  # and back
        # 02:30 is skipped on this day, and read as an hour later.
        (Outbound(quiet=["01:00-02:30"], time_zone=BERLIN), "2026-03-29 00:30", "2026-03-29 01:30"),
    ],
)
def test_quiet_hours_end_by_the_clocks_of_their_time_zone(rules: Outbound, now: str, until: str | None) -> None:
    assert quiet_until(rules, utc(now)) == (None if until is None else utc(until))


@given(
    st.lists(st.sampled_from(["20:00-09:00", "sun 00:00-24:00", "12:00-13:30", "sat 13:00-08:15"]), max_size=4),
    st.sampled_from([BERLIN, "UTC", "America/New_York", "Asia/Kathmandu", "Pacific/Apia"]),
    st.integers(0, 4 * 366 * 24 * 60).map(lambda minutes: utc("2024-01-01") + timedelta(minutes=minutes)),
)
def test_the_end_of_quiet_hours_is_ahead_and_not_quiet(quiet: list[str], zone: str, now: datetime) -> None:
    rules = Outbound(quiet=quiet, time_zone=zone)
    until = quiet_until(rules, now)
    if until is not None:
        assert now < until < now + timedelta(days=8)
        assert quiet_until(rules, until) is None


def test_a_call_waits_for_the_end_of_the_quiet_hours_and_says_so() -> None:
    now = utc("2026-11-27 20:00")
    assert next_step(NIGHTS, now, now) == Wait(
        utc("2026-11-28 08:00"), "quiet hours until 2026-11-28 09:00 (Europe/Berlin)"
    )
    assert next_step(NIGHTS, now, utc("2026-11-28 08:00")) is None


def test_a_call_that_could_not_be_made_for_a_week_is_given_up() -> None:
    now = utc("2026-11-27 12:00")
    assert next_step(NIGHTS, now - timedelta(days=7, minutes=1), now) == Drop(
        "expired", "it could not be made for 7 days"
    )


@pytest.mark.parametrize(
    ("result", "attempts", "over"),
    [
        ("answered", 1, Over("answered", "done")),
        ("message_left", 3, Over("message_left", "done")),
        ("no_answer", 1, Over("no_answer", problem="nobody answered", retry_s=900)),
        ("no_answer", 2, Over("no_answer", problem="nobody answered", retry_s=900)),
        ("no_answer", 3, Over("no_answer", problem="nobody answered")),
        ("fax", 1, Over("fax", problem="a fax machine answered")),
        (
            "machine",
            1,
            Over("machine", problem="an answering machine answered, and the profile says to hang up on it"),
        ),
    ],
)
def test_an_attempt_is_followed_by_another_as_often_as_the_profile_says(
    result: str, attempts: int, over: Over
) -> None:
    assert after(result, attempts, Outbound()) == over


def test_a_machine_is_called_again_where_the_profile_says_so() -> None:
    assert after("machine", 1, Outbound(retry_on=["machine"], retry_after_s=60)).retry_s == 60


@pytest.mark.parametrize(
    ("status", "answered_by", "keys", "left", "result"),
    [
        ("ringing", None, {}, False, None),
        ("busy", None, {}, False, "busy"),
        ("no-answer", None, {}, False, "no_answer"),
        ("canceled", None, {}, False, "cancelled"),
        ("completed", None, {}, False, "answered"),
        ("completed", "human", {}, False, "answered"),
        ("completed", "unknown", {}, False, "answered"),
        ("completed", "machine_start", {}, False, "machine"),
        ("completed", "machine_start", {"machine": "talk"}, False, "answered"),
        ("completed", "machine_end_beep", {"machine": "leave_message", "message": "Hi"}, True, "message_left"),
        ("completed", "machine_end_beep", {"machine": "leave_message", "message": "Hi"}, False, "machine"),
        ("completed", "fax", {"machine": "talk"}, False, "fax"),
    ],
)
def test_how_an_attempt_ended(
    status: str, answered_by: str | None, keys: dict[str, Any], left: bool, result: str | None
) -> None:
    assert result_of(status, answered_by, Outbound(**keys), left) == result
