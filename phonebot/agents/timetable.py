"""
When somebody is there: days of the week, dates that are different, and what holds at a moment.

    table = Timetable(ZoneInfo("Europe/Berlin"), {0: (span("09:00-17:30"),)}, {date(2026, 12, 24): ()})
    table.at(now).is_open
    table.at(now).words                   # "open until 17:30", "closed until Monday 30 November, 09:00"

A span belongs to the day on which it begins, and may end after midnight. It is a stretch of time, not of the
clock's face: an hour that a day has twice, when summer time ends, is within a span twice; one that it lacks begins
it later.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
AHEAD_DAYS = 62
"""So far the next change is looked for: what is the same for longer is told without its end."""
MAX_TOLD_DATES = 20
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Span:
    """From a time of a day to another, in minutes since its midnight; `end` may be on the next day."""

    begin: int
    end: int

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end if self.end <= 24 * 60 else self.end - 24 * 60)}"


def span(text: str) -> Span:
    """That of "09:00-17:30", or of "18:00-02:00", which ends on the next day. Raises ValueError."""
    found = _SPAN.fullmatch(text)
    if not found:
        raise ValueError("is no span such as 09:00-17:30")
    hours, minutes, end_hours, end_minutes = map(int, found.groups())
    begin, end = hours * 60 + minutes, end_hours * 60 + end_minutes
    if end > 24 * 60:
        raise ValueError("ends after 24:00: what ends on the next day is written as 18:00-02:00")
    if begin == end:
        raise ValueError("ends when it begins: a whole day is 00:00-24:00")
    return Span(begin, end if end > begin else end + 24 * 60)


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands at a moment. `changes_at`, in the table's zone: when it ends; None: not within AHEAD_DAYS."""

    is_open: bool
    now: datetime
    changes_at: datetime | None

    @property
    def words(self) -> str:
        """Such as "open until 17:30"."""
        state = "open" if self.is_open else "closed"
        if self.changes_at is None:
            return state
        clock = f"{self.changes_at:%H:%M}"
        if self.changes_at.date() == self.now.date():
            return f"{state} until {clock}"
        return f"{state} until {_named(self.changes_at.date())}, {clock}"


@dataclass(frozen=True, slots=True)
class Timetable:
    """`week`: by weekday, Monday is 0; `dates` are different from their weekday. What is not in it is closed."""

    zone: ZoneInfo
    week: Mapping[int, tuple[Span, ...]]
    dates: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)

    def at(self, moment: datetime) -> Standing:
        """`moment` must know its time zone, whichever it is."""
        now = moment.astimezone(self.zone)
        for begin, end in self._stretches(now.date()):
            if moment < begin:
                return Standing(False, now, self._within_reach(begin, now))
            if moment < end:
                return Standing(True, now, self._within_reach(end, now))
        return Standing(False, now, None)

    def words(self, moment: datetime) -> str:
        """The week, and dates from this moment's on, in a sentence each."""
        told = [self._week(), *self._dates(moment.astimezone(self.zone).date())]
        return f"{'; '.join(told)} (time zone {self.zone.key})"

    def _within_reach(self, change: datetime, now: datetime) -> datetime | None:
        change = change.astimezone(self.zone)
        return change if change.date() < now.date() + timedelta(days=AHEAD_DAYS) else None

    def _stretches(self, today: date) -> Iterator[tuple[datetime, datetime]]:
        """In UTC, from yesterday's first on, in order; what meets or overlaps is one."""
        held: tuple[datetime, datetime] | None = None
        for ahead in range(-1, AHEAD_DAYS + 1):
            for begin, end in self._of(today + ahead * _DAY):
                if held and begin <= held[1]:
                    held = (held[0], max(held[1], end))
                    continue
                if held:
                    yield held
                held = (begin, end)
        if held:
            yield held

    def _of(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        for each in sorted(self.on(day), key=lambda each: each.begin):
            # Where the clock shows a time twice it ends with the second, where never an hour later, as it begins.
            end = max(self._moment(day, each.end, fold) for fold in (0, 1))
            yield self._moment(day, each.begin), end

    def _moment(self, day: date, minutes: int, fold: int = 0) -> datetime:
        """In UTC: moments of one zone would be compared by their clocks' faces, which repeat."""
        days, minutes = divmod(minutes, 24 * 60)
        face = time(minutes // 60, minutes % 60, fold=fold)
        return datetime.combine(day + days * _DAY, face, self.zone).astimezone(UTC)

    def on(self, day: date) -> tuple[Span, ...]:
        """The spans that begin on that day."""
        return self.dates[day] if day in self.dates else self.week.get(day.weekday(), ())

    def _week(self) -> str:
        told: list[str] = []
        first = 0
        for day in range(1, 8):
            if day < 7 and self.week.get(day, ()) == self.week.get(first, ()):
                continue
            days = WEEKDAYS[first] if day - first == 1 else f"{WEEKDAYS[first]} to {WEEKDAYS[day - 1]}"
            told.append(f"{days} {_spans(self.week.get(first, ()))}")
            first = day
        return ", ".join(told)

    def _dates(self, today: date) -> Iterator[str]:
        coming = sorted(day for day in self.dates if day >= today)[:MAX_TOLD_DATES]
        yield from (f"{_named(day)} {day.year} {_spans(self.dates[day])}" for day in coming)


def _spans(spans: tuple[Span, ...]) -> str:
    return " and ".join(map(str, sorted(spans, key=lambda each: each.begin))) or "closed"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _named(day: date) -> str:
    """Not strftime: its names follow the process's locale."""
    return f"{WEEKDAYS[day.weekday()]} {day.day} {_MONTHS[day.month - 1]}"
