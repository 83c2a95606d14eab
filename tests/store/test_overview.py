"""What calls came to, in figures, on both databases."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from phonebot.store.calls import CallStore
from phonebot.store.database import Database
from phonebot.store.overview import DayFigures, Figures, Overview, percentile
from phonebot.store.tables import CallRow, TurnRow

DESK, SHOP = "+15550100000", "+15550100001"
MONDAY = datetime(2026, 11, 23, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def calls(database: Database) -> CallStore:
    return CallStore(database)


async def file(
    calls: CallStore, sid: str, started_at: datetime, latencies_ms: tuple[int, ...] = (), **terms: Any
) -> None:
    values = {"number": DESK, "duration_ms": 30_000, **terms}
    call = CallRow(call_sid=sid, from_number="+1555", to_number=DESK, started_at=started_at, **values)
    turns = [TurnRow(sequence=0, who="caller", text="Hello")]
    turns += [
        TurnRow(sequence=number, who="bot", text="Hello", latency_ms=latency_ms)
        for number, latency_ms in enumerate(latencies_ms, 1)
    ]
    await calls.file(call, turns)


async def test_figures_are_added_up_by_day_and_number_and_in_all(calls: CallStore) -> None:
    figures = {"interruptions": 2, "generated_ms": 5000, "heard_ms": 4000, "corrections": 1, "errors": 1}
    await file(calls, "CA1", MONDAY, (500, 900), cost_usd=0.25, **figures)
    await file(calls, "CA2", MONDAY + DAY / 2, (700,), cost_usd=None, **figures)
    await file(calls, "CA3", MONDAY + DAY / 2, number=SHOP)
    await file(calls, "CA4", MONDAY + DAY, (100,), cost_usd=0.5)
    desk = Figures(2, 60_000, 1, 0.25, 700, 900, 4, 10_000, 8000, 2, 2, 30_000)
    tuesday = Figures(1, 30_000, 1, 0.5, 100, 100, priced_ms=30_000)
    assert await calls.overview(MONDAY, MONDAY + 7 * DAY) == Overview(
        Figures(4, 120_000, 2, 0.75, 500, 900, 4, 10_000, 8000, 2, 2, 60_000),
        (
            DayFigures(date(2026, 11, 23), DESK, desk),
            DayFigures(date(2026, 11, 23), SHOP, Figures(1, 30_000)),
            DayFigures(date(2026, 11, 24), DESK, tuesday),
        ),
        {
            date(2026, 11, 23): Figures(3, 90_000, 1, 0.25, 700, 900, 4, 10_000, 8000, 2, 2, 30_000),
            date(2026, 11, 24): tuesday,
        },
        {
            DESK: Figures(3, 90_000, 2, 0.75, 500, 900, 4, 10_000, 8000, 2, 2, 60_000),
            SHOP: Figures(1, 30_000),
        },
    )
    assert (desk.minutes, desk.cost_per_minute_usd) == (1, 0.5)  # the other call has no price
    assert Figures(1, 30_000).cost_per_minute_usd is None


async def test_an_overview_has_the_calls_of_its_span_and_number_alone(calls: CallStore) -> None:
    await file(calls, "CA1", MONDAY - timedelta(microseconds=1))
    await file(calls, "CA2", MONDAY)
    await file(calls, "CA3", MONDAY + DAY - timedelta(microseconds=1))
    await file(calls, "CA4", MONDAY + DAY)
    await file(calls, "CA5", MONDAY, number=SHOP)
    assert [day.figures.calls for day in (await calls.overview(MONDAY, MONDAY + DAY, DESK)).days] == [2]
    assert (await calls.overview(MONDAY, MONDAY + DAY)).total.calls == 3


async def test_an_overview_without_calls_is_empty(calls: CallStore) -> None:
    assert await calls.overview(MONDAY, MONDAY + DAY) == Overview(Figures(), (), {}, {})


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [([], None, None), ([7], 7, 7), ([1, 2], 1, 2), (list(range(1, 101)), 50, 95), ([5] * 19 + [9], 5, 5)],
)
def test_a_percentile_is_the_value_that_so_many_are_not_above(
    values: list[int], p50: int | None, p95: int | None
) -> None:
    assert (percentile(Counter(values), 50), percentile(Counter(values), 95)) == (p50, p95)
