"""
What the bot can do at Rosa's Trattoria: find a table, book it, cancel a booking, in a table of SQLite.

    PYTHONPATH=. PHONEBOT_TOOLS=restaurant phonebot serve --dev
    python restaurant.py                # lists the bookings

Who calls is known by his number, which the carrier tells and the model cannot choose. The functions are plain
`def`s, so each runs in a thread of its own and may wait for SQLite.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypedDict, get_args

from pydantic import Field

from phonebot.tools import ToolContext, ToolError, tool

TABLES = {1: 2, 2: 2, 3: 4, 4: 4, 5: 8}  # the number of each, and how many sit there
DAYS_AHEAD = 60
DEADLINE_S = 5.0  # for other calls to let go of the file
YES = ("yes", "that is right")

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Time = Literal["18:00", "20:00"]
Guests = Annotated[int, Field(ge=1, le=8, description="how many come")]

SCHEMA = """
CREATE TABLE IF NOT EXISTS bookings (
    id INTEGER PRIMARY KEY,
    day TEXT NOT NULL,
    time TEXT NOT NULL,
    table_number INTEGER NOT NULL,
    guests INTEGER NOT NULL,
    name TEXT NOT NULL,
    caller TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'booked' CHECK (state IN ('booked', 'cancelled'))
);
-- Whoever asks at the same moment: no table is booked twice.
CREATE UNIQUE INDEX IF NOT EXISTS one_party_each ON bookings (day, time, table_number) WHERE state = 'booked';
"""


class Found(TypedDict):
    """A table that is free: `day` for the functions, `when` for people."""

    day: str
    when: str


class Done(TypedDict):
    """What was booked or cancelled."""

    when: str
    guests: int


@tool(fillers=("One moment, I look at the book.",))
def find_table(day: date | Weekday, time: Time, guests: Guests) -> Found:
    """Finds out whether there is a table. `day` is a date, or a weekday: the next one after today."""
    asked = _open_day(day)
    with _bookings() as rows:
        if _free_table(rows, asked, time, guests) is None:
            others = [each for each in get_args(Time) if _free_table(rows, asked, each, guests)]
            hint = f"At {others[0]} there is one." if others else "Offer another day."
            raise ToolError(f"There is no table for {guests} on {_spoken(asked, time)}. {hint}")
    return {"day": asked.isoformat(), "when": _spoken(asked, time)}


@tool(confirm_words=YES)
def book_table(day: date, time: Time, guests: Guests, name: str, call: ToolContext) -> Done:
    """Books a table that find_table has found, for the caller."""
    asked = _open_day(day)
    with _bookings() as rows:
        table = _free_table(rows, asked, time, guests)
        if table is None:
            raise ToolError("Not booked: the table is gone. Find another one.")
        rows.execute(
            "INSERT INTO bookings (day, time, table_number, guests, name, caller) VALUES (?, ?, ?, ?, ?, ?)",
            (asked.isoformat(), time, table, guests, name[:100], _known(call)),
        )
    return {"when": _spoken(asked, time), "guests": guests}


@tool(confirm_words=YES)
def cancel_booking(call: ToolContext) -> Done:
    """Cancels the caller's next booking."""
    with _bookings() as rows:
        found = rows.execute(
            "SELECT id, day, time, guests FROM bookings"
            " WHERE caller = ? AND state = 'booked' AND day >= ? ORDER BY day, time LIMIT 1",
            (_known(call), date.today().isoformat()),
        ).fetchone()
        if found is None:
            raise ToolError("Nothing is booked from the caller's number.")
        booking, day, time, guests = found
        rows.execute("UPDATE bookings SET state = 'cancelled' WHERE id = ?", (booking,))
    return {"when": _spoken(date.fromisoformat(day), time), "guests": guests}


def _known(call: ToolContext) -> str:
    if not call.caller:
        raise ToolError("Not done: the caller's number is withheld. Ask him to call from another one.")
    return call.caller


def _open_day(day: date | Weekday) -> date:
    today = date.today()
    if isinstance(day, str):
        ahead = (get_args(Weekday).index(day) - today.weekday() - 1) % 7 + 1
        day = today + timedelta(days=ahead)
    if day.weekday() == 0:
        raise ToolError("On Mondays we are closed.")
    if not today < day <= today + timedelta(days=DAYS_AHEAD):
        raise ToolError(f"Tables are booked from tomorrow on, for up to {DAYS_AHEAD} days.")
    return day


def _free_table(rows: sqlite3.Connection, day: date, time: str, guests: int) -> int | None:
    """The smallest one that takes them."""
    taken = {
        number
        for (number,) in rows.execute(
            "SELECT table_number FROM bookings WHERE day = ? AND time = ? AND state = 'booked'",
            (day.isoformat(), time),
        )
    }
    free = [(seats, number) for number, seats in TABLES.items() if number not in taken and seats >= guests]
    return min(free)[1] if free else None


def _spoken(day: date, time: str) -> str:
    return f"{day:%A, %B} {day.day} at {datetime.strptime(time, '%H:%M'):%I %p}".replace(" 0", " ")


@contextmanager
def _bookings() -> Iterator[sqlite3.Connection]:
    """What the block does, all of it or nothing; nobody else writes meanwhile."""
    path = Path(os.environ.get("RESTAURANT_DB", "restaurant.db"))
    with closing(sqlite3.connect(path, timeout=DEADLINE_S, isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        connection.execute("BEGIN IMMEDIATE")
        with connection:  # commits, or rolls back
            yield connection


if __name__ == "__main__":
    with _bookings() as listed:
        for row in listed.execute("SELECT day, time, table_number, guests, name, caller, state FROM bookings"):
            print(*row, sep="  ")
