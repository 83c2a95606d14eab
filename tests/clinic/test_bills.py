"""The billing's function, on a real SQLite file."""

from datetime import date
from pathlib import Path

import pytest

from phonebot.clinic.bills import Bill, Bills, billing_tools
from phonebot.tools import ToolContext, ToolError

ADA, BEN = "+15550100001", "+15550100011"


def test_a_caller_is_told_the_bill_of_his_last_visit(tmp_path: Path) -> None:
    bills = Bills(tmp_path / "made" / "clinic.db")
    bills.start_over(
        [
            Bill(ADA, date(2026, 11, 3), "check-up", 40),
            Bill(ADA, date(2026, 9, 30), "filling", 90),
            Bill(BEN, date(2026, 11, 20), "crown", 900),
        ]
    )
    (find_bill,) = billing_tools(Bills(tmp_path / "made" / "clinic.db"))
    told = find_bill(ToolContext("CA1", ADA))
    assert told == {"amount": "40 dollars", "treatment": "check-up", "visit": "November 3"}


def test_a_caller_who_owes_nothing_is_told_so(tmp_path: Path) -> None:
    bills = Bills(tmp_path / "clinic.db")
    bills.start_over([Bill(ADA, date(2026, 11, 3), "check-up", 40)])
    bills.start_over([])
    (find_bill,) = billing_tools(bills)
    with pytest.raises(ToolError, match="no open bill"):
        find_bill(ToolContext("CA1", ADA))
