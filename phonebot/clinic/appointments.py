"""
What the clinic's receptionist can do while a caller is on the line: find a time, book it, move it, cancel it.

    tools = appointment_tools(Diary(path), now=lambda: datetime.now())

The functions are plain `def`s, so each runs in a thread of its own and may wait for SQLite. Who calls is known by
his number, which the carrier tells and the model cannot choose.
"""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Annotated, Literal, TypeAlias, TypedDict, get_args

from pydantic import Field, NaiveDatetime

from phonebot.clinic.diary import Diary, spoken
from phonebot.tools import Tool, ToolContext, ToolError, tool

Weekday: TypeAlias = Literal["monday", "tuesday", "wednesday", "thursday", "friday"]
Start: TypeAlias = Annotated[
    NaiveDatetime, Field(description="one of the times that find_free_times gave, as it is written there")
]

WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
TIMES = (time(9), time(10, 30), time(14), time(15, 30))
"""When appointments start, Monday to Friday."""

WEEKS_AHEAD = 8
MOST_OFFERED = 3


class FreeTime(TypedDict):
    """A time that can be booked: `at` for the functions, `when` for people."""

    at: str
    when: str


class FreeTimes(TypedDict):
    """At least one."""

    free: list[FreeTime]


class Done(TypedDict):
    """The appointment that something was done to."""

    appointment: int
    when: str


def appointment_tools(diary: Diary, now: Callable[[], datetime]) -> tuple[Tool, ...]:
    """The functions, on this diary. `now` gives the clinic's time, without a zone."""

    @tool
    def find_free_times(day: Weekday) -> FreeTimes:
        """Finds free times on the next such day that has any. Offer them before you book or move anything."""
        return {"free": free_times(diary, day, now())}

    @tool
    def book_appointment(at: Start, call: ToolContext) -> Done:
        """Books an appointment for the caller, at a time to which he has agreed."""
        booked = diary.book(_known(call), _checked(at, now()), now(), call.call_sid)
        return {"appointment": booked.number, "when": spoken(booked.starts)}

    @tool
    def move_appointment(to: Start, call: ToolContext) -> Done:
        """Moves the caller's next appointment to another time, to which he has agreed."""
        moved = diary.move(_known(call), _checked(to, now()), now(), call.call_sid)
        return {"appointment": moved.number, "when": spoken(moved.starts)}

    @tool(confirm_words=("yes", "that is right", "that is fine"))
    def cancel_appointment(call: ToolContext) -> Done:
        """Cancels the caller's next appointment."""
        cancelled = diary.cancel(_known(call), now(), call.call_sid)
        return {"appointment": cancelled.number, "when": spoken(cancelled.starts)}

    return find_free_times, book_appointment, move_appointment, cancel_appointment


def free_times(diary: Diary, day: Weekday, now: datetime) -> list[FreeTime]:
    """The first free times on the next such day, tomorrow at the soonest, that has any. Raises ToolError."""
    ahead = (WEEKDAYS.index(day) - now.weekday() - 1) % 7 + 1
    for week in range(WEEKS_AHEAD):
        date = now.date() + timedelta(days=ahead, weeks=week)
        starts = [datetime.combine(date, each) for each in TIMES]
        taken = diary.taken(starts[0], starts[-1] + timedelta(minutes=1))
        if free := [each for each in starts if each not in taken][:MOST_OFFERED]:
            return [{"at": each.isoformat(timespec="minutes"), "when": spoken(each)} for each in free]
    raise ToolError(f"No {day.capitalize()} has a free time within {WEEKS_AHEAD} weeks: offer another day.")


def _known(call: ToolContext) -> str:
    if not call.caller:
        raise ToolError("Not done: the caller's number is withheld, so the diary cannot know him.")
    return call.caller


def _checked(at: datetime, now: datetime) -> datetime:
    if at <= now or at.weekday() >= len(WEEKDAYS) or at.time() not in TIMES:
        raise ToolError("Not done: no appointment starts then. Take one of the times that find_free_times gives.")
    return at
