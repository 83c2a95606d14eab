"""
How the calls that a number makes are made, as the operator writes it.

    outbound = { machine = "leave_message", message = "Please call us back.", quiet = ["20:00-09:00"] }

Quiet hours and attempts are applied by phonebot/outbound/policy.py. docs/telephony.md explains it to operators.
"""

import re
from typing import Annotated, Literal, NamedTuple, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import NONE_IF_BLANK, Switch, Table, TimeZone

REASON = "reason"
"""The placeholder of these texts that stands for why somebody is called."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""By datetime.weekday."""
MIDNIGHT_MINUTES = 24 * 60

Miss: TypeAlias = Literal["busy", "no_answer", "failed", "machine"]
"""How an attempt came to nothing that another one may mend: `failed` is the network's, `machine` was hung up on."""

_WINDOW = re.compile(r"(?:(mon|tue|wed|thu|fri|sat|sun) )?([0-2][0-9]):([0-5][0-9])-([0-2][0-9]):([0-5][0-9])")
_QUIET = 'at most 20 times of day such as ["20:00-09:00", "sun 00:00-24:00"]'


class Window(NamedTuple):
    """
    Hours of a day, in minutes from its midnight: `end` is not in it, and before `begin` it is the next day's.

    `day` None: of each day, else an index of DAYS.
    """

    day: int | None
    begin: int
    end: int


def window_of(text: str) -> Window:
    """Raises ValueError with what is wrong, as the end of a sentence."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise ValueError(f"holds {faults.shown(text)}; it must be {_QUIET}")
    begin, end = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    if begin >= MIDNIGHT_MINUTES or end > MIDNIGHT_MINUTES:
        raise ValueError(f"holds {faults.shown(text)}: a day has 24 hours")
    if begin == end:
        raise ValueError(f"holds {faults.shown(text)}: it begins and ends at the same time; all day is 00:00-24:00")
    return Window(DAYS.index(found[1]) if found[1] else None, begin, end)


def _check_quiet(windows: list[str]) -> list[str]:
    for text in windows:
        window_of(text)
    return windows


_MISSES = 'an array of "busy", "no_answer", "failed" and "machine"'


class Outbound(Table):
    """
    `greeting`: what the bot says first in a call that it makes; None: the profile's. `prompt`: what it is told of
    such a call, after the profile's. `machine`: what is done when an answering machine answers. `message` is what
    is left on it, after its beep. These texts may hold `{reason}`: why somebody is called.

    `detect`: whether it is found out who answers. A call is tried again after each miss in `retry_on`, `retries`
    times at most, `retry_after_s` after the end of the one before. Nobody is rung for longer than `ring_s`, nor in
    the `quiet` hours of `time_zone`. At most `at_once` calls of the number are made at a time.
    """

    greeting: Annotated[
        Annotated[str, Field(max_length=2_000)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 2000 characters"),
    ] = None
    prompt: Annotated[
        Annotated[str, Field(max_length=5_000)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 5000 characters"),
    ] = None
    machine: Annotated[
        Literal["hang_up", "leave_message", "talk"], Field(description='"hang_up", "leave_message" or "talk"')
    ] = "hang_up"
    message: Annotated[
        Annotated[str, Field(max_length=1_000)] | None,
        NONE_IF_BLANK,
        Field(description="text of at most 1000 characters"),
    ] = None
    detect: Switch = True
    ring_s: Annotated[int, Field(ge=5, le=600, description="a whole number of seconds from 5 to 600")] = 30
    retries: Annotated[int, Field(ge=0, le=10, description="a whole number from 0 to 10")] = 2
    retry_after_s: Annotated[
        int, Field(ge=1, le=86_400, description="a whole number of seconds from 1 to 86400")
    ] = 900
    retry_on: Annotated[list[Miss], Field(max_length=4, description=_MISSES)] = ["busy", "no_answer", "failed"]
    quiet: Annotated[list[str], AfterValidator(_check_quiet), Field(max_length=20, description=_QUIET)] = []
    time_zone: TimeZone = "UTC"
    at_once: Annotated[int, Field(ge=1, le=100, description="a whole number from 1 to 100")] = 5

    @model_validator(mode="after")
    def _check_message(self) -> Self:
        """What would have no effect is refused: a profile promises nothing that is not done."""
        if self.machine == "leave_message" and self.message is None:
            raise ValueError('outbound.message is missing: machine = "leave_message" leaves it')
        if self.message is not None and self.machine != "leave_message":
            raise ValueError('outbound.message needs outbound.machine = "leave_message"')
        if self.machine == "leave_message" and not self.detect:
            raise ValueError("outbound.detect must be true to leave a message: else nobody knows of the machine")
        if "machine" in self.retry_on and not (self.detect and self.machine == "hang_up"):
            raise ValueError('outbound.retry_on holds "machine", which needs detect, and machine = "hang_up"')
        if self.is_never_allowed:
            raise ValueError("outbound.quiet leaves no minute of the week in which somebody may be called")
        return self

    @property
    def texts(self) -> dict[str, str]:
        """Those that hold placeholders, by their keys."""
        found = {"greeting": self.greeting, "prompt": self.prompt, "message": self.message}
        return {key: text for key, text in found.items() if text is not None}

    @property
    def windows(self) -> tuple[Window, ...]:
        """The quiet hours."""
        return tuple(map(window_of, self.quiet))

    @property
    def is_never_allowed(self) -> bool:
        """Whether the quiet hours are the whole week."""
        edges = {0, *(edge % MIDNIGHT_MINUTES for window in self.windows for edge in (window.begin, window.end))}
        return all(self.is_quiet(day, edge) for day in range(7) for edge in edges)

    def is_quiet(self, day: int, minute: int) -> bool:
        """Whether nobody is called at a minute of a day; `day` is an index of DAYS."""
        return any(_holds(window, day, minute) for window in self.windows)


def _holds(window: Window, day: int, minute: int) -> bool:
    is_todays = window.day in (None, day)
    if window.begin < window.end:
        return is_todays and window.begin <= minute < window.end
    is_yesterdays = window.day in (None, (day - 1) % 7)
    return (is_todays and minute >= window.begin) or (is_yesterdays and minute < window.end)


OUTBOUND = 'a table such as { machine = "leave_message", message = "Please call us back.", retries = 1 }'


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `outbound`."""
    if not loc and fault["type"] == "value_error":
        return faults.bounded(str(fault["ctx"]["error"]))
    key = str(loc[0]) if loc else ""
    return faults.sentence("outbound", key, Outbound, fault, OUTBOUND)
