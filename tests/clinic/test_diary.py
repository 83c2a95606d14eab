"""The diary on real SQLite files."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from phonebot.clinic.diary import Appointment, Change, Diary, spoken
from phonebot.tools import ToolError

NOW = datetime(2026, 11, 27, 8, 0)
TUESDAY, THURSDAY = datetime(2026, 12, 1, 10, 30), datetime(2026, 12, 3, 14, 0)
ADA, BEN = "+15550100001", "+15550100011"


@pytest.fixture
def diary(tmp_path: Path) -> Diary:
    return Diary(tmp_path / "made" / "clinic.db")


def test_an_appointment_is_booked_moved_and_cancelled_and_each_step_is_kept(diary: Diary) -> None:
    booked = diary.book(ADA, TUESDAY, NOW, "CA1")
    assert booked == Appointment(1, ADA, TUESDAY, "booked")
    assert diary.move(ADA, THURSDAY, NOW, "CA1") == Appointment(1, ADA, THURSDAY, "booked")
    assert diary.cancel(ADA, NOW, "CA2") == Appointment(1, ADA, THURSDAY, "cancelled")
    assert diary.appointments() == [Appointment(1, ADA, THURSDAY, "cancelled")]
    assert diary.changes("CA1") == [Change(1, "booked", TUESDAY), Change(1, "moved", THURSDAY)]
    assert diary.changes("CA2") == [Change(1, "cancelled", THURSDAY)]


def test_what_was_written_is_there_for_whoever_opens_the_file_next(diary: Diary) -> None:
    diary.book(ADA, TUESDAY, NOW, "CA1")
    assert Diary(diary.path).appointments() == diary.appointments() != []


def test_a_time_that_somebody_has_is_not_given_to_another(diary: Diary) -> None:
    diary.start_over([(BEN, TUESDAY)])
    with pytest.raises(ToolError, match="Tuesday, December 1 at 10:30 AM is taken"):
        diary.book(ADA, TUESDAY, NOW, "CA1")
    diary.book(ADA, THURSDAY, NOW, "CA1")
    with pytest.raises(ToolError, match="is taken"):
        diary.move(ADA, TUESDAY, NOW, "CA1")
    assert diary.changes("CA1") == [Change(2, "booked", THURSDAY)]
    assert [each.starts for each in diary.appointments() if each.caller == ADA] == [THURSDAY]


def test_a_time_that_was_cancelled_is_free(diary: Diary) -> None:
    diary.start_over([(BEN, TUESDAY)])
    assert diary.taken(TUESDAY, THURSDAY) == {TUESDAY}
    diary.cancel(BEN, NOW, "CA1")
    assert diary.taken(TUESDAY, THURSDAY) == set()
    assert diary.book(ADA, TUESDAY, NOW, "CA2").number == 2


def test_times_are_taken_from_the_first_on_and_before_the_last(diary: Diary) -> None:
    diary.start_over([(ADA, TUESDAY), (BEN, THURSDAY)])
    assert diary.taken(TUESDAY, THURSDAY) == {TUESDAY}


def test_a_caller_has_one_appointment_to_come(diary: Diary) -> None:
    diary.book(ADA, TUESDAY, NOW, "CA1")
    with pytest.raises(ToolError, match="has an appointment, Tuesday, December 1 at 10:30 AM"):
        diary.book(ADA, THURSDAY, NOW, "CA1")
    after = datetime(2026, 12, 1, 11, 0)
    assert diary.book(ADA, THURSDAY, after, "CA1").number == 2


def test_a_caller_without_an_appointment_to_come_can_move_and_cancel_nothing(diary: Diary) -> None:
    diary.start_over([(BEN, THURSDAY), (ADA, datetime(2026, 11, 3, 9, 0))])
    with pytest.raises(ToolError, match="no appointment is booked"):
        diary.move(ADA, TUESDAY, NOW, "CA1")
    with pytest.raises(ToolError, match="no appointment is booked"):
        diary.cancel(ADA, NOW, "CA1")
    assert [each.state for each in diary.appointments()] == ["booked", "booked"]


def test_of_callers_who_want_one_time_at_once_one_gets_it(diary: Diary) -> None:
    def book(n: int) -> bool:
        try:
            diary.book(f"+1555010{n:04}", TUESDAY, NOW, f"CA{n}")
        except ToolError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(book, range(16))) == 1
    assert len(diary.appointments()) == 1


def test_starting_over_leaves_what_it_is_told(diary: Diary) -> None:
    diary.book(ADA, TUESDAY, NOW, "CA1")
    diary.start_over([(BEN, THURSDAY)])
    assert [(each.caller, each.starts) for each in diary.appointments()] == [(BEN, THURSDAY)]
    assert diary.changes("CA1") == []


@pytest.mark.parametrize(
    ("starts", "said"),
    [
        (TUESDAY, "Tuesday, December 1 at 10:30 AM"),
        (THURSDAY, "Thursday, December 3 at 2 PM"),
        (datetime(2026, 12, 14, 12, 0), "Monday, December 14 at 12 PM"),
    ],
)
def test_a_time_is_worded_as_one_says_it(starts: datetime, said: str) -> None:
    assert spoken(starts) == said
