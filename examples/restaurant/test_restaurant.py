"""Rehearsals: `pytest` holds these calls in virtual time, with the profile of numbers.toml."""

import sqlite3
from pathlib import Path

import pytest
from restaurant import book_table, cancel_booking, find_table

from phonebot.rehearsal.phone import Phone


@pytest.fixture
def book(phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of bookings of a phone that reaches the trattoria."""
    monkeypatch.setenv("RESTAURANT_DB", str(tmp_path / "restaurant.db"))
    phone.tools(find_table, book_table, cancel_booking)
    phone.model(Path(__file__).with_name("script.toml"))
    return tmp_path / "restaurant.db"


def bookings(book: Path) -> list[tuple[str, str, int, str, str]]:
    with sqlite3.connect(book) as rows:
        found = rows.execute("SELECT time, name, guests, caller, state FROM bookings").fetchall()
    rows.close()
    return found


def ask_for_a_table(phone: Phone) -> None:
    phone.dial(caller="+15550100077")
    phone.expect_heard("how can I help")
    phone.say("I would like to book a table for Friday.")
    phone.expect_called("find_table", {"day": "friday", "guests": 2})
    phone.expect_heard("What is your name")
    phone.say("My name is Rachel.")
    phone.expect_called("book_table")
    phone.expect_heard("Is that right?")


def test_a_table_is_booked_once_the_caller_has_said_yes(phone: Phone, book: Path) -> None:
    ask_for_a_table(phone)
    assert bookings(book) == []
    phone.say("That is right.")
    phone.expect_heard("It is booked: Friday")
    assert bookings(book) == [("20:00", "Rachel", 2, "+15550100077", "booked")]
    phone.say("That is all, thanks.")
    phone.expect_heard("goodbye")
    phone.expect_hung_up("bot_hung_up")


def test_a_caller_who_interrupts_with_no_has_no_table(phone: Phone, book: Path) -> None:
    phone.dial()
    phone.say("I would like to book a table for Friday.")
    phone.expect_heard("What is your name")
    phone.say("My name is Rachel.")
    phone.interrupt("No, thank you.", after_ms=900)
    phone.expect_interrupted(heard_ms=(900, 1400))
    phone.expect_heard("Then all stays as it is")
    assert bookings(book) == []


def test_a_booking_is_cancelled_by_the_number_that_calls(phone: Phone, book: Path) -> None:
    ask_for_a_table(phone)
    phone.say("That is right.")
    phone.expect_heard("It is booked")
    phone.say("Please cancel my table.")
    phone.expect_heard("Shall I really cancel")
    phone.say("Yes, please.")
    phone.expect_heard("is cancelled")
    assert [state for *_, state in bookings(book)] == ["cancelled"]
