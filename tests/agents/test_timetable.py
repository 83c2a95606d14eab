"""When it is open: at the edges of spans and days, over midnight, on dates that differ, when clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from phonebot.agents.timetable import Span, Timetable, span

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = (span("09:00-12:00"), span("13:00-17:30"))


def table(
    week: dict[int, tuple[str, ...]], dates: dict[str, tuple[str, ...]] | None = None, zone: ZoneInfo = BERLIN
) -> Timetable:
    return Timetable(
        zone,
        {day: tuple(map(span, spans)) for day, spans in week.items()},
        {date.fromisoformat(day): tuple(map(span, spans)) for day, spans in (dates or {}).items()},
    )


def local(text: str, fold: int = 0, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def words(hours: Timetable, text: str, fold: int = 0) -> str:
    return hours.at(local(text, fold)).words


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-23T08:59:59", "closed until 09:00"),
        ("2026-11-23T09:00", "open until 12:00"),
        ("2026-11-23T11:59:59", "open until 12:00"),
        ("2026-11-23T12:00", "closed until 13:00"),
        ("2026-11-23T17:30", "closed until Monday 30 November, 09:00"),
        ("2026-11-29T23:59", "closed until Monday 30 November, 09:00"),
    ],
)
def test_a_span_is_open_from_its_begin_on_and_closed_at_its_end(at: str, told: str) -> None:
    assert words(Timetable(BERLIN, {0: OFFICE}), at) == told


def test_the_zone_of_the_moment_does_not_matter() -> None:
    hours = Timetable(BERLIN, {0: OFFICE})
    moment = local("2026-11-23T09:00")
    assert hours.at(moment.astimezone(UTC)) == hours.at(moment.astimezone(ZoneInfo("Asia/Tokyo")))
    assert hours.at(moment.astimezone(UTC)).is_open
    assert not hours.at(moment.astimezone(UTC) - timedelta(microseconds=1)).is_open


@pytest.mark.parametrize(
    ("at", "told"),
    [
        ("2026-11-27T17:59", "closed until 18:00"),
        ("2026-11-27T23:59", "open until Saturday 28 November, 02:00"),
        ("2026-11-28T00:00", "open until 02:00"),
        ("2026-11-28T02:00", "closed until Friday 4 December, 18:00"),
    ],
)
def test_a_span_may_end_on_the_next_day(at: str, told: str) -> None:
    assert words(table({4: ("18:00-02:00",)}), at) == told


def test_days_that_meet_are_one_stretch() -> None:
    hours = table({4: ("18:00-24:00",), 5: ("00:00-24:00",), 6: ("00:00-06:00", "05:00-07:00")})
    assert words(hours, "2026-11-27T20:00") == "open until Sunday 29 November, 07:00"


def test_always_open_and_never_open_have_no_end() -> None:
    assert words(table(dict.fromkeys(range(7), ("00:00-24:00",))), "2026-11-27T20:00") == "open"
    assert words(table({}), "2026-11-27T20:00") == "closed"


def test_a_date_replaces_what_begins_on_it_and_not_what_began_the_day_before() -> None:
    hours = table({3: ("18:00-02:00",), 4: ("09:00-17:00",)}, {"2026-12-25": (), "2026-12-31": ("10:00-12:00",)})
    assert words(hours, "2026-12-25T01:59") == "open until 02:00"
    assert words(hours, "2026-12-25T10:00") == "closed until Thursday 31 December, 10:00"
    assert words(hours, "2026-12-31T18:30") == "closed until Friday 1 January, 09:00"


def test_an_hour_that_comes_twice_is_within_a_span_twice() -> None:
    """In Berlin 02:00 to 03:00 comes twice on 25 October 2026."""
    hours = table({5: ("22:00-02:30",)})
    assert words(hours, "2026-10-25T02:15", fold=0) == "open until 02:30"
    assert words(hours, "2026-10-25T02:45", fold=0) == "open until 02:30"
    assert words(hours, "2026-10-25T02:29", fold=1) == "open until 02:30"
    assert not hours.at(local("2026-10-25T02:30", fold=1)).is_open
    late = table({6: ("02:15-02:45",)})
    assert not late.at(local("2026-10-25T02:14", fold=0)).is_open
    assert late.at(local("2026-10-25T02:15", fold=0)).is_open
    assert late.at(local("2026-10-25T02:44", fold=1)).is_open


def test_a_day_on_which_clocks_go_back_is_an_hour_longer() -> None:
    hours = table({6: ("00:00-24:00",)})
    standing = hours.at(local("2026-10-25T00:00"))
    assert standing.changes_at is not None
    assert standing.changes_at.astimezone(UTC) - local("2026-10-25T00:00").astimezone(UTC) == timedelta(hours=25)


def test_an_hour_that_a_day_lacks_begins_a_span_later() -> None:
    """In Berlin 02:00 is followed by 03:00 on 29 March 2026."""
    hours = table({6: ("02:30-05:00",)})
    assert words(hours, "2026-03-29T01:59") == "closed until 03:30"
    assert hours.at(local("2026-03-29T03:30")).is_open
    assert not hours.at(local("2026-03-29T03:29")).is_open
    lacked = table({6: ("02:15-02:45",)})
    assert not lacked.at(local("2026-03-29T03:00")).is_open
    assert lacked.at(local("2026-03-29T03:15")).words == "open until 03:45"


def test_the_clock_of_another_hemisphere_changes_the_other_way() -> None:
    sydney = ZoneInfo("Australia/Sydney")
    hours = table({6: ("01:00-04:00",)}, zone=sydney)
    begin = local("2026-10-04T01:00", zone=sydney)
    assert hours.at(begin).changes_at == local("2026-10-04T04:00", zone=sydney)
    assert (local("2026-10-04T04:00", zone=sydney).astimezone(UTC) - begin.astimezone(UTC)) == timedelta(hours=2)


def test_the_week_is_told_with_days_that_are_alike_in_one_and_with_dates_to_come() -> None:
    hours = table(
        dict.fromkeys(range(4), ("09:00-12:00", "13:00-17:00")) | {4: ("18:00-02:00",)},
        {"2026-12-24": ("09:00-12:00",), "2026-12-25": (), "2025-12-25": ()},
    )
    assert hours.words(local("2026-11-27T20:00")) == (
        "Monday to Thursday 09:00-12:00 and 13:00-17:00, Friday 18:00-02:00, Saturday to Sunday closed; "
        "Thursday 24 December 2026 09:00-12:00; Friday 25 December 2026 closed (time zone Europe/Berlin)"
    )


def test_a_span_is_read_as_it_is_written() -> None:
    assert span("00:00-24:00") == Span(0, 1440)
    assert span("18:00-02:00") == Span(1080, 1560)
    assert [str(span(text)) for text in ("09:05-17:30", "18:00-02:00", "00:00-24:00")] == [
        *("09:05-17:30", "18:00-02:00", "00:00-24:00")
    ]


@pytest.mark.parametrize("text", ["9:00-17:00", "09:00", "09:00-17:00 ", "25:00-26:00", "09:60-10:00"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no span such as 09:00-17:30"):
        span(text)


def test_a_span_without_a_length_or_past_midnight_by_number_is_refused_with_the_remedy() -> None:
    with pytest.raises(ValueError, match="a whole day is 00:00-24:00"):
        span("09:00-09:00")
    with pytest.raises(ValueError, match="is written as 18:00-02:00"):
        span("18:00-24:30")
