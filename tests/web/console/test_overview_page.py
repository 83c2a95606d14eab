"""What the calls came to: the period, the changes, the page."""

from datetime import date

import pytest
from starlette.datastructures import QueryParams

from phonebot.store.overview import Figures
from phonebot.web.console.overview_page import Period, period_of, tiles

TODAY = date(2026, 11, 27)


def asked(query: str) -> Period:
    return period_of(QueryParams(query), TODAY)


@pytest.mark.parametrize(
    ("query", "first", "last", "days"),
    [
        ("", date(2026, 10, 29), TODAY, 30),
        ("days=7", date(2026, 11, 21), TODAY, 7),
        ("days=90", date(2026, 8, 30), TODAY, 90),
        ("days=8", date(2026, 10, 29), TODAY, 30),
        ("from=2026-11-01&to=2026-11-03", date(2026, 11, 1), date(2026, 11, 3), None),
        ("from=2026-11-01", date(2026, 11, 1), date(2026, 11, 1), None),
    ],
)
def test_a_period_is_chosen_by_its_length_or_by_its_days(
    query: str, first: date, last: date, days: int | None
) -> None:
    assert asked(query) == Period(first, last, days)


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-11-02&to=2026-11-01",
        "from=2025-01-01&to=2026-11-27",
        "from=0001-01-01",
        "to=9999-12-31",
    ],
)
def test_a_period_that_cannot_be_is_said_and_the_usual_one_shown(query: str) -> None:
    period = asked(query)
    assert period.problem
    assert (period.first, period.last) == (date(2026, 10, 29), TODAY)


def test_a_period_ends_with_its_last_day() -> None:
    period = asked("from=2026-11-01&to=2026-11-02")
    assert period.since.isoformat() == "2026-11-01T00:00:00+00:00"
    assert period.until.isoformat() == "2026-11-03T00:00:00+00:00"
    assert period.all_days == [date(2026, 11, 1), date(2026, 11, 2)]


def change_of(name: str, now: Figures, before: Figures) -> tuple[str, str]:
    (tile,) = (tile for tile in tiles(now, before) if tile.name == name)
    return tile.change, tile.tone


@pytest.mark.parametrize(
    ("name", "now", "before", "change"),
    [
        ("Calls", Figures(calls=12), Figures(calls=10), ("+20 %", "")),
        ("Calls", Figures(calls=5), Figures(calls=10), ("−50 %", "")),
        ("Calls", Figures(calls=10), Figures(calls=10), ("as before", "")),
        ("Calls", Figures(calls=10), Figures(), ("none before", "")),
        (
            "Silence before an answer",
            Figures(latency_p50_ms=640),
            Figures(latency_p50_ms=700),
            ("−0.06 s", "better"),
        ),
        (
            "Silence before an answer",
            Figures(latency_p50_ms=702),
            Figures(latency_p50_ms=700),
            ("as before", ""),
        ),
        ("Silence before an answer", Figures(latency_p50_ms=640), Figures(), ("", "")),
        ("Errors", Figures(calls=1, errors=3), Figures(calls=1, errors=2), ("+50 %", "worse")),
        (
            "Speech that was heard",
            Figures(generated_ms=100, heard_ms=90),
            Figures(generated_ms=100, heard_ms=95),
            ("−5.0 points", ""),
        ),
    ],
)
def test_a_tile_tells_the_change_against_the_time_before(
    name: str, now: Figures, before: Figures, change: tuple[str, str]
) -> None:
    assert change_of(name, now, before) == change


def test_calls_without_a_price_are_said_to_be_left_out() -> None:
    (cost,) = (
        tile
        for tile in tiles(Figures(calls=3, priced=1, priced_ms=60_000, cost_usd=0.25), Figures())
        if tile.name == "Cost"
    )
    assert (cost.value, cost.more) == ("$0.25", "$0.25 a minute, 2 calls without a price")
