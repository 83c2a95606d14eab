"""
Whether somebody may be called now, and whether once more: decided from plain values, with the time given.

    match next_step(rules, asked_at, datetime.now(UTC)):
        case Wait(until, why): ...
        case Drop(result, why): ...
        case None: ...                      # dial
    over = after("no_answer", attempts=1, rules=rules)

Quiet hours are those of the profile's time zone, by its clocks: where they are put forward or back the hours are
shorter or longer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from phonebot.agents.outbound import MIDNIGHT_MINUTES, Outbound
from phonebot.store.outbound import Over

LONGEST_WAIT = timedelta(days=7)
"""Whoever could not be called for so long is not called any more: what it was about is over."""

# By CallStatus (Twilio, Call resource, Status). A call that is `canceled` was ended by its account.
MISSES = {"busy": "busy", "no-answer": "no_answer", "failed": "failed", "canceled": "cancelled"}
SENTENCES = {
    "busy": "the line was busy",
    "no_answer": "nobody answered",
    "failed": "the network could not connect the call: the number may be wrong or out of service",
    "machine": "an answering machine answered, and the profile says to hang up on it",
    "fax": "a fax machine answered",
    "cancelled": "the call was ended from elsewhere before it was answered",
}


@dataclass(frozen=True, slots=True)
class Wait:
    """Not before `until`."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Drop:
    """Not at all."""

    result: str
    why: str


def next_step(rules: Outbound, asked_at: datetime, now: datetime) -> Wait | Drop | None:
    """What is to be done with a call that is due; None: dial."""
    if now - asked_at > LONGEST_WAIT:
        return Drop("expired", f"it could not be made for {LONGEST_WAIT.days} days")
    until = quiet_until(rules, now)
    if until is None:
        return None
    local = until.astimezone(ZoneInfo(rules.time_zone))
    return Wait(until, f"quiet hours until {local:%Y-%m-%d %H:%M} ({rules.time_zone})")


def quiet_until(rules: Outbound, now: datetime) -> datetime | None:
    """When the quiet hours end in which `now` lies; None: it lies in none."""
    zone = ZoneInfo(rules.time_zone)
    if not _is_quiet(rules, now, zone):
        return None
    return next(end for end in _edges(rules, now, zone) if end > now and not _is_quiet(rules, end, zone))


def _is_quiet(rules: Outbound, moment: datetime, zone: ZoneInfo) -> bool:
    local = moment.astimezone(zone)
    return rules.is_quiet(local.weekday(), local.hour * 60 + local.minute)


def _edges(rules: Outbound, now: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """
    Every moment from today's midnight on at which a window begins or ends, in order.

    Nine days hold each edge of a week at least once, also where clocks are put forward past one. A profile whose
    whole week is quiet is refused, so one of them is not quiet.
    """
    minutes = {0, *(edge % MIDNIGHT_MINUTES for window in rules.windows for edge in (window.begin, window.end))}
    today = now.astimezone(zone).date()
    for ahead in range(10):
        day = today + timedelta(days=ahead)
        yield from sorted(
            datetime.combine(day, time(minute // 60, minute % 60), zone).astimezone(UTC) for minute in minutes
        )


def after(result: str, attempts: int, rules: Outbound, problem: str = "") -> Over:
    """What follows an attempt that ended so: the `attempts`-th one."""
    if result in ("answered", "message_left"):
        return Over(result, "done")
    problem = problem or SENTENCES.get(result, "")
    if result == "cancelled":
        return Over(result, "cancelled", problem)
    if result in rules.retry_on and attempts <= rules.retries:
        return Over(result, problem=problem, retry_s=rules.retry_after_s)
    return Over(result, problem=problem)


def result_of(status: str, answered_by: str | None, rules: Outbound, left: bool = False) -> str | None:
    """
    How an attempt ended, by its CallStatus; None: it has not. `left`: our message was said to its end.

    Whoever hung up before it was found out who he is counts as a person.
    """
    if status != "completed":
        return MISSES.get(status)
    if answered_by == "fax":
        return "fax"
    if is_machine(answered_by) and rules.machine != "talk":
        return "message_left" if left else "machine"
    return "answered"


def is_machine(answered_by: str | None) -> bool:
    """By Twilio's AnsweredBy (Answering Machine Detection): `machine_start`, `machine_end_beep`..."""
    return answered_by is not None and answered_by.startswith("machine_")
