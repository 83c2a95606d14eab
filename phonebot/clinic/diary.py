"""
A clinic's diary: a table of appointments in SQLite, and one of what was done to them by which call.

    diary = Diary(Path("data/clinic.db"))
    diary.book("+15550100001", datetime(2026, 12, 1, 10, 30), call_sid)

What cannot be done raises ToolError: its sentence is what the model is told. Each method is one transaction on a
connection of its own, so it may be called from any thread, and by several processes. Times are the clinic's own,
without a zone.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from phonebot.tools import ToolError

State: TypeAlias = Literal["booked", "cancelled"]
What: TypeAlias = Literal["booked", "moved", "cancelled"]

DEADLINE_S = 5.0  # for other connections to let go of the file
MAX_ROWS = 1_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS appointments (
    id INTEGER PRIMARY KEY,
    caller TEXT NOT NULL,
    starts TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('booked', 'cancelled'))
);
-- Whatever asks at once: nobody is given a time that somebody has.
CREATE UNIQUE INDEX IF NOT EXISTS one_at_a_time ON appointments (starts) WHERE state = 'booked';
CREATE TABLE IF NOT EXISTS changes (
    id INTEGER PRIMARY KEY,
    appointment INTEGER NOT NULL REFERENCES appointments (id),
    call_sid TEXT NOT NULL,
    what TEXT NOT NULL CHECK (what IN ('booked', 'moved', 'cancelled')),
    starts TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS changes_by_call ON changes (call_sid);
"""


@dataclass(frozen=True, slots=True)
class Appointment:
    """A row of `appointments`."""

    number: int
    caller: str
    starts: datetime
    state: State


@dataclass(frozen=True, slots=True)
class Change:
    """A row of `changes`: what a call did to an appointment, and when that was to start afterwards."""

    appointment: int
    what: What
    starts: datetime


class Diary:
    """The diary in this file, which is made if there is none. Raises sqlite3.Error where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection:
            connection.executescript(_SCHEMA)

    def start_over(self, booked: Iterable[tuple[str, datetime]]) -> None:
        """Forget everything; these callers have these appointments."""
        with self._transaction() as rows:
            rows.execute("DELETE FROM changes")
            rows.execute("DELETE FROM appointments")
            rows.executemany(
                "INSERT INTO appointments (caller, starts, state) VALUES (?, ?, 'booked')",
                [(caller, _written(starts)) for caller, starts in booked],
            )

    def taken(self, since: datetime, until: datetime) -> set[datetime]:
        """When appointments start from `since` on, before `until`."""
        with self._transaction() as rows:
            found = rows.execute(
                "SELECT starts FROM appointments WHERE state = 'booked' AND starts >= ? AND starts < ? LIMIT ?",
                (_written(since), _written(until), MAX_ROWS),
            )
            return {datetime.fromisoformat(starts) for (starts,) in found}

    def book(self, caller: str, starts: datetime, now: datetime, call_sid: str) -> Appointment:
        """Give the caller this time. A caller has one appointment to come at most."""
        with self._transaction() as rows:
            if had := _next(rows, caller, now):
                raise ToolError(f"Not booked: the caller has an appointment, {spoken(had.starts)}. Move that one.")
            with _refused_if_taken(starts):
                row = rows.execute(
                    "INSERT INTO appointments (caller, starts, state) VALUES (?, ?, 'booked')",
                    (caller, _written(starts)),
                )
            assert row.lastrowid is not None, "a row was inserted"
            booked = Appointment(row.lastrowid, caller, starts, "booked")
            _note(rows, booked, "booked", call_sid)
            return booked

    def move(self, caller: str, starts: datetime, now: datetime, call_sid: str) -> Appointment:
        """Give the caller this time in place of that of his next appointment."""
        with self._transaction() as rows:
            had = _required(rows, caller, now)
            with _refused_if_taken(starts):
                rows.execute("UPDATE appointments SET starts = ? WHERE id = ?", (_written(starts), had.number))
            moved = Appointment(had.number, caller, starts, "booked")
            _note(rows, moved, "moved", call_sid)
            return moved

    def cancel(self, caller: str, now: datetime, call_sid: str) -> Appointment:
        """Cancel the caller's next appointment."""
        with self._transaction() as rows:
            had = _required(rows, caller, now)
            rows.execute("UPDATE appointments SET state = 'cancelled' WHERE id = ?", (had.number,))
            cancelled = Appointment(had.number, caller, had.starts, "cancelled")
            _note(rows, cancelled, "cancelled", call_sid)
            return cancelled

    def appointments(self) -> list[Appointment]:
        """The first `MAX_ROWS` appointments, by their time."""
        with self._transaction() as rows:
            return [
                _appointment(row)
                for row in rows.execute(
                    "SELECT id, caller, starts, state FROM appointments ORDER BY starts, id LIMIT ?", (MAX_ROWS,)
                )
            ]

    def changes(self, call_sid: str) -> list[Change]:
        """What the call did, in order; the first `MAX_ROWS`."""
        with self._transaction() as rows:
            found = rows.execute(
                "SELECT appointment, what, starts FROM changes WHERE call_sid = ? ORDER BY id LIMIT ?",
                (call_sid, MAX_ROWS),
            )
            return [Change(number, what, datetime.fromisoformat(starts)) for number, what, starts in found]

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=DEADLINE_S, isolation_level=None)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """What the block does, all of it or nothing; nobody else writes meanwhile."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back
                yield connection


def spoken(starts: datetime) -> str:
    """A time as one says it: "Tuesday, December 1 at 10:30 AM"."""
    hour = f"{starts:%I:%M}" if starts.minute else f"{starts:%I}"
    return f"{starts:%A, %B} {starts.day} at {hour.lstrip('0')} {starts:%p}"


def _written(starts: datetime) -> str:
    return starts.isoformat(timespec="minutes")


def _appointment(row: tuple[int, str, str, State]) -> Appointment:
    number, caller, starts, state = row
    return Appointment(number, caller, datetime.fromisoformat(starts), state)


def _next(rows: sqlite3.Connection, caller: str, now: datetime) -> Appointment | None:
    """The appointment that the caller has to come."""
    row = rows.execute(
        "SELECT id, caller, starts, state FROM appointments"
        " WHERE caller = ? AND state = 'booked' AND starts >= ? ORDER BY starts LIMIT 1",
        (caller, _written(now)),
    ).fetchone()
    return row and _appointment(row)


def _required(rows: sqlite3.Connection, caller: str, now: datetime) -> Appointment:
    if had := _next(rows, caller, now):
        return had
    raise ToolError("Not done: no appointment is booked from the caller's number.")


@contextmanager
def _refused_if_taken(starts: datetime) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise ToolError(f"Not done: {spoken(starts)} is taken. Find another free time.") from None


def _note(rows: sqlite3.Connection, done: Appointment, what: What, call_sid: str) -> None:
    rows.execute(
        "INSERT INTO changes (appointment, call_sid, what, starts) VALUES (?, ?, ?, ?)",
        (done.number, call_sid, what, _written(done.starts)),
    )
