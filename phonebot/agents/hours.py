"""
When a number's people are there, as the operator writes it, and how calls are answered when they are not.

    hours = { time_zone = "Europe/Berlin", monday = ["09:00-12:00", "13:00-17:30"], closed = { greeting = "..." } }

`{open}` and `{hours}` are placeholders in the profile's texts. docs/telephony.md explains it to operators.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from pydantic_core import ErrorDetails

from phonebot.agents import faults
from phonebot.agents.table import Table, TimeZone
from phonebot.agents.timetable import WEEKDAYS, Span, Timetable, span

PLACEHOLDERS = ("open", "hours")
DAYS = tuple(day.lower() for day in WEEKDAYS)
MAX_SPANS, MAX_DATES, MAX_DAYS_AT_ONCE = 10, 200, 366
MAX_SAID_CHARACTERS = 2_000

_ADDRESS = re.compile(r"\+[1-9]\d{6,14}|sips?:[!-~]{3,200}")
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)(?: to (\d{4}-\d\d-\d\d))? (closed|\S+)")
_SPANS = 'an array of at most 10 spans such as ["09:00-12:00", "13:00-17:30"]'
_DATES = 'an array of at most 200 texts such as ["2026-12-24 09:00-12:00", "2026-12-25 to 2026-12-26 closed"]'


def _check_spans(spans: list[str]) -> list[str]:
    for text in spans:
        try:
            span(text)
        except ValueError as error:
            raise ValueError(f"holds {faults.shown(text)}, which {error}") from None
    return spans


def _check_dates(texts: list[str]) -> list[str]:
    for text in texts:
        try:
            for _ in _dated(text):
                pass
        except ValueError as error:
            raise ValueError(f"holds {faults.shown(text)}, which {error}") from None
    return texts


def _check_address(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise ValueError(f"is {faults.shown(address)}; it must be a number such as +15550100009, or a SIP address")
    return address


def _dated(text: str) -> Iterator[tuple[date, Span | None]]:
    """Each day that a text is about, with its span; None: it is closed. Raises ValueError."""
    found = _DATED.fullmatch(text)
    if not found:
        raise ValueError('is no date with a span or with "closed"')
    try:
        first, last = (date.fromisoformat(day or found[1]) for day in found.groups()[:2])
    except ValueError:
        raise ValueError("is about a day that there is not") from None
    if not 0 <= (last - first).days < MAX_DAYS_AT_ONCE:
        raise ValueError(f"ends before it begins, or has more than {MAX_DAYS_AT_ONCE} days")
    held = None if found[3] == "closed" else span(found[3])
    yield from ((first + timedelta(days=day), held) for day in range((last - first).days + 1))


_Day: TypeAlias = Annotated[
    list[str], AfterValidator(_check_spans), Field(max_length=MAX_SPANS, description=_SPANS)
]
_Said: TypeAlias = Annotated[
    Annotated[str, Field(min_length=1, max_length=MAX_SAID_CHARACTERS)] | None,
    Field(description=f"text of 1 to {MAX_SAID_CHARACTERS} characters"),
]
Then: TypeAlias = Literal["talk", "say", "transfer"]


class Closed(Table):
    """
    How a call is answered while it is closed.

    `then` "talk": the bot talks, with `greeting` in place of the profile's, and `prompt` behind its prompt. "say":
    the carrier says `say` and hangs up, without a model. "transfer": it puts the caller through to `to`, having
    said `say`; where nobody answers within `ring_s` it says `unanswered` and hangs up.
    """

    then: Annotated[Then, Field(description='"talk", "say" or "transfer"')] = "talk"
    greeting: _Said = None
    prompt: _Said = None
    say: _Said = None
    to: Annotated[
        Annotated[str, AfterValidator(_check_address)] | None,
        Field(description='a number such as "+15550100009", or a SIP address'),
    ] = None
    ring_s: Annotated[int, Field(ge=5, le=120, description="a whole number of seconds from 5 to 120")] = 20
    unanswered: _Said = None

    @property
    def problem(self) -> str | None:
        """What is missing, or would have no effect: a sentence that begins with the key."""
        needed = _NEEDED.get(self.then)
        if needed and getattr(self, needed) is None:
            return f'hours.closed.{needed} is missing: then = "{self.then}" needs it'
        for key, field in type(self).model_fields.items():
            if key not in ("then", *_MEANT[self.then]) and getattr(self, key) != field.default:
                return f'hours.closed.{key} has no meaning with then = "{self.then}"'
        return None


_NEEDED: dict[Then, str] = {"say": "say", "transfer": "to"}
_MEANT: dict[Then, tuple[str, ...]] = {
    "talk": ("greeting", "prompt"),
    "say": ("say",),
    "transfer": ("to", "say", "ring_s", "unanswered"),
}


class Hours(Table):
    """
    Spans by weekday; a day without any is closed. `dates` are different from their weekday.

    A span is of the day on which it begins, and may end on the next. `closed` None: calls are answered alike.
    """

    time_zone: TimeZone
    monday: _Day = []
    tuesday: _Day = []
    wednesday: _Day = []
    thursday: _Day = []
    friday: _Day = []
    saturday: _Day = []
    sunday: _Day = []
    dates: Annotated[list[str], AfterValidator(_check_dates), Field(max_length=MAX_DATES, description=_DATES)] = []
    closed: Annotated[
        Closed | None, Field(description='a table such as { greeting = "We are closed. May I take a message?" }')
    ] = None

    @cached_property
    def timetable(self) -> Timetable:
        dates: dict[date, list[Span]] = {}
        for text in self.dates:
            for day, held in _dated(text):
                dates.setdefault(day, []).extend([held] if held else [])
        week = {number: tuple(map(span, getattr(self, day))) for number, day in enumerate(DAYS)}
        return Timetable(ZoneInfo(self.time_zone), week, {day: tuple(spans) for day, spans in dates.items()})

    def values(self, now: datetime) -> dict[str, str]:
        """What stands for the placeholders at a moment."""
        return {"open": self.timetable.at(now).words, "hours": self.timetable.words(now)}

    def closed_at(self, now: datetime) -> Closed | None:
        """How a call at this moment is answered otherwise than by the profile; None: it is not."""
        return None if self.closed is None or self.timetable.at(now).is_open else self.closed


HOURS = 'a table such as { time_zone = "Europe/Berlin", monday = ["09:00-17:30"] }'
FOR_MODEL, FOR_CARRIER = ("greeting", "prompt"), ("say", "unanswered")
"""Texts of `closed` that may hold placeholders: of the second those of a lookup not, for it is not waited for."""


def sentence(loc: tuple[int | str, ...], fault: ErrorDetails) -> str:
    """What is wrong with it: where, why, what is allowed. `loc` is the fault's place below `hours`."""
    if len(loc) > 1 and loc[0] == "closed":
        return faults.sentence("hours.closed", str(loc[1]), Closed, fault)
    return faults.sentence("hours", str(loc[0]) if loc else "", Hours, fault, HOURS)
