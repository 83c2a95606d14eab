"""
The clinic's demo: functions that write to a real table, which is shown when the call is over.

The diary starts the same each time: of the times on the next Tuesdays and Thursdays some are taken, and the caller
has a bill and no appointment. So has whoever calls from the console.
"""

import sqlite3
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from phonebot.clinic.appointments import WEEKDAYS, Weekday, appointment_tools
from phonebot.clinic.bills import Bill, Bills, billing_tools
from phonebot.clinic.diary import Appointment, Diary
from phonebot.demo.scene import CALLER, Expected, Scene
from phonebot.errors import StoreError
from phonebot.serving import demo_folder

FILE = "clinic.db"
BROWSER = "browser:admin"  # who calls from the console, having signed in by the demo's link
TAKEN: tuple[tuple[Weekday, time], ...] = (
    ("tuesday", time(9)),
    ("thursday", time(9)),
    ("thursday", time(10, 30)),
)
WEEKS = 2  # whose times are taken: the next Tuesday is another one from midnight on


def clinic(data_dir: Path) -> Scene:
    """
    An appointment is booked, moved and cancelled. The diary in the data folder starts over.

    Raises StoreError where it cannot be used.
    """
    folder, data = demo_folder() / "clinic", data_dir / "demo" / "clinic"
    try:
        diary, bills = Diary(data / FILE), Bills(data / FILE)
        start_over(diary, bills, now())
    except sqlite3.Error as error:
        raise StoreError(
            f"{data / FILE} cannot be used: {error}; remove it, or choose another --data-dir"
        ) from error

    def aftermath(call_sid: str, expected: Expected, console: Console) -> Iterator[str]:
        console.print(_appointments(diary), _changes(diary, call_sid), sep="\n")
        yield from shortcomings(diary, call_sid, expected)

    functions = (*appointment_tools(diary, now), *billing_tools(bills))
    return Scene(folder, folder / "script.toml", data, functions, aftermath)


def now() -> datetime:
    """The clinic's time: that of this machine, without a zone."""
    return datetime.now().astimezone().replace(tzinfo=None)


def start_over(diary: Diary, bills: Bills, today: datetime) -> None:
    """What the caller finds: see above."""
    taken = [
        datetime.combine(_next(day, today) + timedelta(weeks=week), starts)
        for week in range(WEEKS)
        for day, starts in TAKEN
    ]
    diary.start_over((f"+1555010001{n}", starts) for n, starts in enumerate(sorted(taken), 1))
    visit = (today - timedelta(days=14)).date()
    bills.start_over(Bill(caller, visit, "check-up", 40) for caller in (CALLER, BROWSER))


def _next(day: Weekday, today: datetime) -> date:
    return today.date() + timedelta(days=(WEEKDAYS.index(day) - today.weekday() - 1) % 7 + 1)


def shortcomings(diary: Diary, call_sid: str, expected: Expected) -> Iterator[str]:
    """What the call did otherwise to the diary than it should, and what the diary has otherwise than it should."""
    changes = diary.changes(call_sid)
    done = [f"{each.what} {each.starts:%A %H:%M}" for each in changes]
    if done != expected.changes:
        yield f"the call changed the diary by {done}, expected was {expected.changes}"
    left = [each.state for each in diary.appointments() if each.caller == CALLER]
    if changes and left != ["cancelled" if changes[-1].what == "cancelled" else "booked"]:
        yield f"the diary holds {left} of the caller, his last change was {changes[-1].what}"


def _appointments(diary: Diary) -> Table:
    table = Table(title=f"appointments in {diary.path.name}", title_justify="left", title_style="bold")
    for column in ("id", "starts", "caller", "state"):
        table.add_column(column)
    for each in diary.appointments():
        table.add_row(str(each.number), _time(each.starts), each.caller, each.state, style=_style(each))
    return table


def _style(each: Appointment) -> str:
    return "" if each.caller == CALLER else "dim"


def _changes(diary: Diary, call_sid: str) -> Table:
    table = Table(title="changes by this call", title_justify="left", title_style="bold")
    for column in ("appointment", "what", "starts"):
        table.add_column(column)
    for each in diary.changes(call_sid):
        table.add_row(str(each.appointment), each.what, _time(each.starts))
    return table


def _time(starts: datetime) -> str:
    return f"{starts:%a %d %b %Y, %H:%M}"
