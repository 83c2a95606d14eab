"""
What the clinic's billing knows: the bills of a caller, a table in SQLite.

    bills = Bills(Path("data/clinic.db"))
    tools = billing_tools(bills)
"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypedDict

from phonebot.clinic.diary import DEADLINE_S
from phonebot.tools import Tool, ToolContext, ToolError, tool

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bills (
    caller TEXT NOT NULL,
    visit TEXT NOT NULL,
    treatment TEXT NOT NULL,
    dollars INTEGER NOT NULL CHECK (dollars > 0)
)
"""


@dataclass(frozen=True, slots=True)
class Bill:
    """What a caller has still to pay for a visit."""

    caller: str
    visit: date
    treatment: str
    dollars: int


class OpenBill(TypedDict):
    """A bill as the model is told of it."""

    amount: str
    treatment: str
    visit: str


class Bills:
    """The bills in this file, which is made if there is none. Raises sqlite3.Error where it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(self._connect()) as connection:
            connection.execute(_SCHEMA)

    def start_over(self, bills: Iterable[Bill]) -> None:
        """Forget all bills but these."""
        with closing(self._connect()) as connection, connection:
            connection.execute("DELETE FROM bills")
            connection.executemany(
                "INSERT INTO bills VALUES (?, ?, ?, ?)",
                [(each.caller, each.visit.isoformat(), each.treatment, each.dollars) for each in bills],
            )

    def newest_of(self, caller: str) -> Bill | None:
        """The bill of the caller's last visit that has one."""
        with closing(self._connect()) as connection:
            row = connection.execute(
                "SELECT caller, visit, treatment, dollars FROM bills WHERE caller = ? ORDER BY visit DESC LIMIT 1",
                (caller,),
            ).fetchone()
        return row and Bill(row[0], date.fromisoformat(row[1]), row[2], row[3])

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=DEADLINE_S)


def billing_tools(bills: Bills) -> tuple[Tool, ...]:
    """The functions, on these bills."""

    @tool
    def find_bill(call: ToolContext) -> OpenBill:
        """Finds what the caller has still to pay."""
        bill = bills.newest_of(call.caller)
        if bill is None:
            raise ToolError("There is no open bill for the caller's number.")
        return {
            "amount": f"{bill.dollars} dollars",
            "treatment": bill.treatment,
            "visit": f"{bill.visit:%B} {bill.visit.day}",
        }

    return (find_bill,)
