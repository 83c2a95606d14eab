"""The receptionist's functions, on a real SQLite file."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from phonebot.clinic.appointments import TIMES, appointment_tools
from phonebot.clinic.diary import Change, Diary
from phonebot.tools import Tool, ToolContext, ToolError
from phonebot.tools.running import ToolFault
from phonebot.tools.threads import Threads

NOW = datetime(2026, 11, 27, 8, 0)  # a Friday
TUESDAY, THURSDAY = datetime(2026, 12, 1, 10, 30), datetime(2026, 12, 3, 14, 0)
CALL = ToolContext("CA1", "+15550100001")


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "clinic.db")


@pytest.fixture
def tools(diary: Diary) -> dict[str, Tool]:
    return {each.name: each for each in appointment_tools(diary, lambda: NOW)}


async def ran(tool: Tool, call: ToolContext = CALL, /, **arguments: Any) -> Any:
    """What the model is told, having sent these arguments; the function runs in a thread, as in a call."""
    output = await tool.run(json.dumps(arguments), call, Threads().run)
    assert isinstance(output, str)
    return json.loads(output)


async def test_a_caller_books_moves_and_cancels_as_the_model_asks(diary: Diary, tools: dict[str, Tool]) -> None:
    found = await ran(tools["find_free_times"], day="tuesday")
    assert found["free"][1] == {"at": "2026-12-01T10:30", "when": "Tuesday, December 1 at 10:30 AM"}
    booked = await ran(tools["book_appointment"], at=found["free"][1]["at"])
    assert booked == {"appointment": 1, "when": "Tuesday, December 1 at 10:30 AM"}
    moved = await ran(tools["move_appointment"], to="2026-12-03T14:00")
    assert moved == {"appointment": 1, "when": "Thursday, December 3 at 2 PM"}
    assert await ran(tools["cancel_appointment"]) == moved
    assert diary.changes("CA1") == [
        Change(1, "booked", TUESDAY),
        Change(1, "moved", THURSDAY),
        Change(1, "cancelled", THURSDAY),
    ]


async def test_three_free_times_are_offered_and_none_that_is_taken(diary: Diary, tools: dict[str, Tool]) -> None:
    diary.start_over([("+15550100011", TUESDAY)])
    found = await ran(tools["find_free_times"], day="tuesday")
    assert [each["at"] for each in found["free"]] == ["2026-12-01T09:00", "2026-12-01T14:00", "2026-12-01T15:30"]
    found = await ran(tools["find_free_times"], day="monday")
    assert len(found["free"]) == 3


@pytest.mark.parametrize(
    ("now", "day", "offered"),
    [
        (NOW, "friday", "2026-12-04T09:00"),  # not today
        (NOW, "monday", "2026-11-30T09:00"),
        (NOW - timedelta(days=1), "friday", "2026-11-27T09:00"),
        (NOW + timedelta(days=2), "monday", "2026-11-30T09:00"),  # said on a Sunday
    ],
)
async def test_a_day_is_the_next_of_its_name(diary: Diary, now: datetime, day: str, offered: str) -> None:
    find_free_times = appointment_tools(diary, lambda: now)[0]
    assert (await ran(find_free_times, day=day))["free"][0]["at"] == offered


async def test_a_day_that_is_full_is_looked_for_in_the_weeks_after(diary: Diary, tools: dict[str, Tool]) -> None:
    def full(week: int) -> list[tuple[str, datetime]]:
        day = (TUESDAY + timedelta(weeks=week)).date()
        return [(f"+1555010{week:02}{n:02}", datetime.combine(day, each)) for n, each in enumerate(TIMES)]

    diary.start_over([*full(0), *full(1)])
    found = await ran(tools["find_free_times"], day="tuesday")
    assert found["free"][0]["at"] == "2026-12-15T09:00"
    diary.start_over([each for week in range(8) for each in full(week)])
    with pytest.raises(ToolError, match="No Tuesday has a free time within 8 weeks"):
        await ran(tools["find_free_times"], day="tuesday")


@pytest.mark.parametrize("at", ["2026-12-01T11:00", "2026-12-05T10:30", "2026-11-26T10:30", "2026-12-01T10:30:01"])
async def test_a_time_at_which_nothing_starts_is_not_booked(diary: Diary, tools: dict[str, Tool], at: str) -> None:
    with pytest.raises(ToolError, match="no appointment starts then"):
        await ran(tools["book_appointment"], at=at)
    assert diary.appointments() == []


async def test_a_time_of_another_zone_is_refused_before_the_function_runs(tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolFault, match="at: Input should not have timezone info"):
        await ran(tools["book_appointment"], at="2026-12-01T10:30:00Z")


async def test_another_callers_appointment_is_not_touched(diary: Diary, tools: dict[str, Tool]) -> None:
    diary.start_over([("+15550100011", TUESDAY)])
    with pytest.raises(ToolError, match="no appointment is booked from the caller's number"):
        await ran(tools["cancel_appointment"])
    assert [each.state for each in diary.appointments()] == ["booked"]


async def test_who_withholds_his_number_can_book_nothing(diary: Diary, tools: dict[str, Tool]) -> None:
    with pytest.raises(ToolError, match="number is withheld"):
        await ran(tools["book_appointment"], ToolContext("CA1"), at="2026-12-01T10:30")
    assert diary.appointments() == []


def test_only_to_cancel_takes_the_callers_word(tools: dict[str, Tool]) -> None:
    assert [name for name, each in tools.items() if each.rule.consent] == ["cancel_appointment"]
