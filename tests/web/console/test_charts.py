"""Charts of days: where things are drawn, and what they say."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonebot.web.console.charts import HEIGHT_PX, Bar, Dot, Label, bars, lines
from phonebot.web.console.figures import count, money, seconds

MONDAY = date(2026, 11, 23)


def days(number: int) -> list[date]:
    return [MONDAY + timedelta(days=at) for at in range(number)]


def test_a_bar_is_as_high_as_its_share_of_a_round_number() -> None:
    chart = bars("Calls", days(4), [0, 7, None, 14], count)
    assert chart.scale == ("20", "10", "0")
    assert chart.bars == (Bar(28.5, 18, 78, 42), Bar(78.5, 18, 36, 84))
    assert [slot.words for slot in chart.slots] == [
        "Mon 23 Nov: 0",
        "Tue 24 Nov: 7",
        "Wed 25 Nov: –",
        "Thu 26 Nov: 14",
    ]


@pytest.mark.parametrize(
    ("most", "scale"),
    [
        (0, ("2", "1", "0")),
        (1, ("2", "1", "0")),
        (3, ("4", "2", "0")),
        (24, ("30", "15", "0")),
        (61, ("80", "40", "0")),
    ],
)
def test_the_scale_of_whole_numbers_is_whole(most: int, scale: tuple[str, str, str]) -> None:
    assert bars("Calls", days(1), [most], count).scale == scale


def test_the_scale_of_other_figures_is_round() -> None:
    assert bars("Cost", days(1), [2.6], money, whole=False).scale == ("$3.00", "$1.50", "$0.00")
    assert lines("Silence", days(1), {"p50": [640]}, seconds).scale == ("0.80 s", "0.40 s", "0 s")


def test_a_line_has_a_gap_where_a_day_has_no_value() -> None:
    (series,) = lines("Silence", days(4), {"p50": [500, 1000, None, 250]}, seconds).series
    assert series.path == "M12.5 60.0L37.5 0.0M87.5 90.0"
    assert series.dots == (Dot(12.5, 60), Dot(37.5, 0), Dot(87.5, 90))


def test_a_day_tells_all_its_lines_by_their_names() -> None:
    chart = lines("Silence", days(1), {"half": [500], "most": [None]}, seconds)
    assert chart.slots[0].words == "Mon 23 Nov: half 0.50 s, most –"


def test_many_days_have_dots_only_where_a_line_would_not_be_seen() -> None:
    values = [500.0] * 50 + [None, 600.0, None] + [500.0] * 37
    (series,) = lines("Silence", days(90), {"p50": values}, seconds).series
    assert len(series.dots) == 1


@pytest.mark.parametrize(
    ("number", "labels"),
    [
        (1, ["23 Nov"]),
        (2, ["23 Nov", "24 Nov"]),
        (7, ["23 Nov", "25 Nov", "27 Nov", "29 Nov"]),
        (90, ["23 Nov", "16 Dec", "8 Jan", "20 Feb"]),
    ],
)
def test_the_first_and_the_last_day_are_named_and_some_between(number: int, labels: list[str]) -> None:
    chart = bars("Calls", days(number), [1] * number, count)
    assert [label.words for label in chart.labels] == labels
    assert chart.labels[0] == Label(0, "start", "23 Nov")


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=40), st.booleans())
def test_whatever_the_values_all_is_within_the_chart(values: list[float | None], whole: bool) -> None:
    chart = bars("Any", days(len(values)), values, count, whole=whole)
    for bar in chart.bars:
        assert 0 <= bar.top_px <= HEIGHT_PX
        assert bar.top_px + bar.height_px == pytest.approx(HEIGHT_PX, abs=0.02)
        assert bar.left >= 0
        assert bar.left + bar.width <= 100
    assert chart.is_empty == (not any(values))
