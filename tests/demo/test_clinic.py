"""The clinic's scene: what its caller finds, what its mind asks for, and what is said of a diary that differs."""

from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from phonebot.agents.numbers import DEFAULT, read_file
from phonebot.clinic.appointments import free_times
from phonebot.clinic.bills import Bills
from phonebot.clinic.diary import Diary
from phonebot.demo.clinic import clinic, shortcomings, start_over
from phonebot.demo.scene import CALLER, Expected, Scene
from phonebot.errors import StoreError

NOW = datetime.fromisoformat("2026-11-27T08:00")  # a Friday
TUESDAY, THURSDAY = datetime.fromisoformat("2026-12-01T10:30"), datetime.fromisoformat("2026-12-03T14:00")
EXPECTED = Expected(
    understood=[], barge_ins=0, last_words="", changes=["booked Tuesday 10:30", "moved Thursday 14:00"]
)


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    diary = Diary(tmp_path / "clinic.db")
    start_over(diary, Bills(tmp_path / "clinic.db"), NOW)
    return diary


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return clinic(tmp_path)


@pytest.mark.parametrize("day", [f"2026-11-{number}" for number in range(23, 30)])
def test_the_caller_finds_the_same_times_whatever_day_it_is_and_after_midnight(tmp_path: Path, day: str) -> None:
    diary, now = Diary(tmp_path / "clinic.db"), datetime.fromisoformat(f"{day}T23:59")
    start_over(diary, Bills(tmp_path / "clinic.db"), now)
    for asked in (now, now + timedelta(minutes=2)):
        assert free_times(diary, "tuesday", asked)[0]["at"].endswith("T10:30")
        assert free_times(diary, "thursday", asked)[0]["at"].endswith("T14:00")


def test_the_profile_names_functions_that_the_scene_has(scene: Scene) -> None:
    profile = read_file(scene.numbers)[DEFAULT].profile
    named = [*profile.tools, *(name for agent in profile.agents.values() for name in agent.tools)]
    assert sorted(map(str, named)) == sorted(each.name for each in scene.functions)


def test_who_calls_from_the_console_has_a_bill_too(tmp_path: Path) -> None:
    clinic(tmp_path)
    bill = Bills(tmp_path / "demo" / "clinic" / "clinic.db").newest_of("browser:admin")
    assert bill is not None
    assert (bill.treatment, bill.dollars) == ("check-up", 40)


def test_what_an_earlier_call_booked_is_gone_when_the_scene_is_set_up(tmp_path: Path) -> None:
    clinic(tmp_path)
    diary = Diary(tmp_path / "demo" / "clinic" / "clinic.db")
    before = diary.appointments()
    diary.book(CALLER, TUESDAY, NOW, "CA1")
    clinic(tmp_path)
    assert diary.appointments() == before


def test_a_file_that_is_no_diary_is_named_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "demo" / "clinic" / "clinic.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=r"clinic\.db cannot be used: file is not a database; remove it"):
        clinic(tmp_path)


def test_a_diary_as_expected_has_no_shortcomings(diary: Diary) -> None:
    diary.book(CALLER, TUESDAY, NOW, "CA1")
    diary.move(CALLER, THURSDAY, NOW, "CA1")
    assert list(shortcomings(diary, "CA1", EXPECTED)) == []


def test_a_change_that_lacks_is_told(diary: Diary) -> None:
    diary.book(CALLER, TUESDAY, NOW, "CA1")
    assert list(shortcomings(diary, "CA1", EXPECTED)) == [
        "the call changed the diary by ['booked Tuesday 10:30'],"
        " expected was ['booked Tuesday 10:30', 'moved Thursday 14:00']"
    ]


def test_an_appointment_that_is_not_as_it_was_left_is_told(diary: Diary) -> None:
    diary.book(CALLER, TUESDAY, NOW, "CA1")
    diary.move(CALLER, THURSDAY, NOW, "CA1")
    diary.cancel(CALLER, NOW, "CA2")
    assert list(shortcomings(diary, "CA1", EXPECTED)) == [
        "the diary holds ['cancelled'] of the caller, his last change was moved"
    ]


def test_what_the_call_left_is_shown_within_80_columns(scene: Scene, tmp_path: Path) -> None:
    assert scene.aftermath is not None
    diary = Diary(tmp_path / "demo" / "clinic" / "clinic.db")
    diary.book(CALLER, datetime.fromisoformat("2100-12-07T10:30"), NOW, "CA1")
    shown = StringIO()
    told = list(scene.aftermath("CA1", scene.expected(), Console(width=80, file=shown)))
    assert len(told) == 1
    assert "2100, 10:30 │ +15550100001 │ booked" in shown.getvalue()
    assert max(map(len, shown.getvalue().splitlines())) <= 80
