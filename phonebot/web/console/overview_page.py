"""
What the calls of some days came to: figures, compared with as many days before, and charts of each day; and what
calls have cost today, beside what they may.

    GET /console/overview?days=30&number=             (viewer)
    GET /console/overview?from=2026-11-01&to=2026-11-27

Days are those of UTC: a day is the same for everyone who looks at it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from phonebot.caps.today import Today
from phonebot.store.calls import CallStore
from phonebot.store.overview import Figures, Overview
from phonebot.store.tables import NUMBER_CHARACTERS
from phonebot.web.console import calls_page, figures
from phonebot.web.console.charts import Chart, bars, day_words, lines
from phonebot.web.console.frame import Frame
from phonebot.web.console.guard import Guard, Visitor
from phonebot.web.console.queries import text_in, with_chosen

PATH = "console/overview"
PERIODS = (7, 30, 90)
USUAL_DAYS = 30
MOST_DAYS = 366
NOTHING = Figures()
AS_BEFORE = "as before"
TELLING_MS = 10  # less silence nobody hears


@dataclass(frozen=True, slots=True)
class Period:
    """From `first` to `last`, both included. `days` None: it was chosen by its days and not by its length."""

    first: date
    last: date
    days: int | None
    problem: str = ""

    @property
    def length(self) -> timedelta:
        return self.last - self.first + timedelta(days=1)

    @property
    def since(self) -> datetime:
        return datetime.combine(self.first, time(), UTC)

    @property
    def until(self) -> datetime:
        return self.since + self.length

    @property
    def all_days(self) -> list[date]:
        return [self.first + timedelta(days=at) for at in range(self.length.days)]


@dataclass(frozen=True, slots=True)
class Tile:
    """`change` against the time before, in words. `tone`: whether that is for the better, if it is either."""

    name: str
    value: str
    more: str
    change: str
    tone: Literal["better", "worse", ""]


@dataclass(frozen=True, slots=True)
class Row:
    """A number or a day of the tables. `path` leads to its calls."""

    name: str
    path: str
    figures: Figures


class OverviewPage:
    """`clock` gives the time in UTC."""

    def __init__(
        self,
        calls: CallStore,
        today: Callable[[], Today],
        guard: Guard,
        frame: Frame,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._guard = guard
        self._calls = calls
        self._today = today
        self._frame = frame
        self._clock = clock

    def routes(self) -> list[BaseRoute]:
        return [Route(f"/{PATH}", self._guard.require("viewer", self._show), methods=["GET"])]

    async def _show(self, request: Request, visitor: Visitor) -> Response:
        query = request.query_params
        period = period_of(query, self._clock().date())
        number = text_in(query, "number", NUMBER_CHARACTERS)
        of_number = number or None
        now = await self._calls.overview(period.since, period.until, of_number)
        before = await self._calls.overview(period.since - period.length, period.since, of_number)
        numbers = await self._calls.numbers()
        response = self._frame.page(
            request,
            "overview.html",
            visitor=visitor,
            here="overview",
            period=period,
            periods=PERIODS,
            number=number,
            numbers=with_chosen(numbers, number),
            has_calls=bool(numbers),
            today=self._today(),
            total=now.total,
            tiles=tiles(now.total, before.total),
            charts=charts(period.all_days, now),
            by_number=[Row(each, calls_path(period, each), total) for each, total in now.by_number.items()],
            by_day=day_rows(now, number),
            path_of=lambda days: _path(days=days, number=number),
            path_of_number=lambda each: _path(**_asked(period), number=each),
        )
        response.headers["hx-push-url"] = _path(**_asked(period), number=number).removeprefix("console/")
        return response


def period_of(query: QueryParams, today: date) -> Period:
    """The days that a query asks for; the usual ones, with a sentence, where it cannot be used."""
    first, last = query.get("from", ""), query.get("to", "")
    usual = Period(today - timedelta(days=USUAL_DAYS - 1), today, USUAL_DAYS)
    if first or last:
        try:
            begin, end = date.fromisoformat(first or last), date.fromisoformat(last or first)
        except ValueError:
            return _with_problem(usual, "A date is written as 2026-11-27.")
        if not timedelta() <= end - begin < timedelta(days=MOST_DAYS):
            return _with_problem(usual, f"A period has 1 to {MOST_DAYS} days, and From comes before To.")
        if not 1970 < begin.year < 9999 or end.year >= 9999:
            return _with_problem(usual, "There are no calls in that year.")
        return Period(begin, end, None)
    days = query.get("days", "")
    length = int(days) if days in map(str, PERIODS) else USUAL_DAYS
    return Period(today - timedelta(days=length - 1), today, length)


def _with_problem(usual: Period, problem: str) -> Period:
    return Period(usual.first, usual.last, usual.days, problem)


def tiles(now: Figures, before: Figures) -> list[Tile]:
    per_call = f"{now.interruptions / now.calls:.1f} a call" if now.calls else ""
    heard, heard_before = heard_share(now), heard_share(before)
    unpriced = now.calls - now.priced
    return [
        Tile("Calls", figures.count(now.calls), "", _growth(now.calls, before.calls), ""),
        Tile("Minutes", figures.minutes(now.duration_ms), "", _growth(now.duration_ms, before.duration_ms), ""),
        Tile(
            "Cost",
            figures.money(now.cost_usd),
            ", ".join(_of_cost(now.cost_per_minute_usd, unpriced)),
            _growth(now.cost_usd, before.cost_usd),
            "",
        ),
        Tile(
            "Silence before an answer",
            figures.seconds(now.latency_p50_ms),
            f"p95 {figures.seconds(now.latency_p95_ms)}" if now.latency_p95_ms is not None else "",
            _difference(now.latency_p50_ms, before.latency_p50_ms, lambda ms: f"{abs(ms) / 1000:.2f} s"),
            _tone(now.latency_p50_ms, before.latency_p50_ms, least=TELLING_MS),
        ),
        Tile(
            "Interruptions",
            figures.count(now.interruptions),
            per_call,
            _growth(now.interruptions, before.interruptions),
            "",
        ),
        Tile(
            "Speech that was heard",
            figures.percent(heard),
            f"of {figures.minutes(now.generated_ms)} min" if now.generated_ms else "",
            _difference(heard, heard_before, lambda share: f"{abs(share) * 100:.1f} points"),
            "",
        ),
        Tile(
            "Corrections",
            figures.count(now.corrections),
            "told to the model",
            _growth(now.corrections, before.corrections),
            "",
        ),
        Tile(
            "Errors",
            figures.count(now.errors),
            "",
            _growth(now.errors, before.errors),
            _tone(now.errors, before.errors) if before.calls else "",
        ),
    ]


def _of_cost(per_minute_usd: float | None, unpriced: int) -> Iterator[str]:
    if per_minute_usd is not None:
        yield f"{figures.money(per_minute_usd)} a minute"
    if unpriced:
        yield f"{unpriced:,} calls without a price"


def charts(days: list[date], overview: Overview) -> list[Chart]:
    of = [overview.by_day.get(day, NOTHING) for day in days]
    return [
        bars("Calls", days, [each.calls for each in of], figures.count),
        bars("Minutes", days, [each.minutes for each in of], _minutes, whole=False),
        lines(
            "Silence before an answer",
            days,
            {
                "half of them": [each.latency_p50_ms for each in of],
                "95 in 100": [each.latency_p95_ms for each in of],
            },
            figures.seconds,
            "From the caller's last word to the first sound of the answer that he heard: at most",
        ),
        bars(
            "Cost",
            days,
            [each.cost_usd for each in of],
            figures.money,
            "Of calls whose model has a price",
            whole=False,
        ),
        bars("Interruptions", days, [each.interruptions for each in of], figures.count),
        lines(
            "Speech that was heard",
            days,
            {"heard": [heard_share(each) for each in of]},
            figures.percent,
            "Of what the bot generated; the rest was cut off by the caller",
            top=1,
        ),
        bars(
            "Corrections",
            days,
            [each.corrections for each in of],
            figures.count,
            "How often the model was told that less was heard than it said",
        ),
        bars("Errors", days, [each.errors for each in of], figures.count),
    ]


def _minutes(value: float | None) -> str:
    return figures.minutes(None if value is None else value * 60_000)


def heard_share(of: Figures) -> float | None:
    return of.heard_ms / of.generated_ms if of.generated_ms else None


def day_rows(overview: Overview, number: str) -> list[Row]:
    """The days that had calls, the newest first."""
    return [
        Row(day_words(day), calls_path(Period(day, day, None), number), total)
        for day, total in reversed(overview.by_day.items())
    ]


def calls_path(period: Period, number: str) -> str:
    """Where the calls of a period are listed; like the period, by days of UTC."""
    return calls_page.Asked(number=number, first=period.first, last=period.last, zone="UTC").path()


def _asked(period: Period) -> dict[str, str]:
    if period.days is not None:
        return {"days": str(period.days)}
    return {"from": period.first.isoformat(), "to": period.last.isoformat()}


def _path(**query: object) -> str:
    return f"{PATH}?{urlencode({name: value for name, value in query.items() if value})}"


def _growth(now: float | None, before: float | None) -> str:
    """By how much a sum has grown."""
    if not before:
        return "" if not now else "none before"
    share = round(((now or 0) - before) / before * 100)
    return AS_BEFORE if share == 0 else f"{'+' if share > 0 else '−'}{abs(share):,} %"


def _difference(now: float | None, before: float | None, words: Callable[[float], str]) -> str:
    if now is None or before is None:
        return ""
    said = words(now - before)
    if not any(digit in said for digit in "123456789"):
        return AS_BEFORE
    return f"{'+' if now > before else '−'}{said}"


def _tone(now: float | None, before: float | None, least: float = 0) -> Literal["better", "worse", ""]:
    """Of a figure that had better be small; a change of less than `least` is neither."""
    if now is None or before is None or now == before or abs(now - before) < least:
        return ""
    return "worse" if now > before else "better"
